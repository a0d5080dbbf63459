use futures::stream::{BoxStream, Stream, StreamExt};
use orderflow_contract::{Id, Invalid, page};
use orderflow_identity::User;
use orderflow_proto::order::v1 as pb;
use tonic::Status;

use super::{listing::whose, orders::encode};
use crate::{
    app::Told,
    error::Error,
    store::{Position, Whose},
};

/// What resume tokens belong to: whose orders are watched, and by whom.
pub(super) fn watched(user: &User, request: &pb::WatchOrdersRequest) -> page::List {
    page::List::of(&[
        b"WatchOrders",
        user.id.to_string().as_bytes(),
        request.user_id.as_bytes(),
        &request.side.to_be_bytes(),
    ])
}

/// Whose orders to watch, and behind which position.
pub(super) fn decode(
    user: &User,
    request: &pb::WatchOrdersRequest,
    watched: &page::List,
) -> Result<(Whose, Option<Position>), Error> {
    let mut invalid = Invalid::new();
    let user_id = match request.user_id.as_str() {
        "" => Some(None),
        id => invalid.take("user_id", id.parse::<Id>()).map(Some),
    };
    let side = pb::OrderSide::try_from(request.side).map_err(|_| "is not an order's side");
    let side = invalid.take("side", side);
    let behind = watched.position(&request.resume_token);
    let behind = behind.map_err(|_| "must be a resume_token, with everything else as it was");
    let behind = invalid.take("resume_token", behind);
    let (user_id, side, behind) = invalid.finish(|| Some((user_id?, side?, behind?)))?;
    Ok((whose(user, user_id, side)?, behind))
}

/// Responses, and the status in which they end.
pub(super) fn encode_all(
    told: impl Stream<Item = Result<Told, Error>> + Send + 'static,
    user: User,
    watched: page::List,
) -> BoxStream<'static, Result<pb::WatchOrdersResponse, Status>> {
    let encode = move |Told { change, position }| pb::WatchOrdersResponse {
        order: change.and_then(|change| encode(&change.order, &user)),
        resume_token: watched.token(&position),
    };
    told.map(move |told| Ok(encode(told?))).boxed()
}
