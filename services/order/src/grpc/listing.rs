use orderflow_contract::{Id, Invalid, page, text, time};
use orderflow_identity::User;
use orderflow_mongo::keyset::Direction::{Ascending, Descending};
use orderflow_proto::order::v1 as pb;
use prost::Message;

use super::orders::decode_status;
use crate::{
    error::Error,
    store::{ListOrder, Listing, Whose},
};

/// The list that the tokens of this request belong to. Another caller's list is another list, even of the same orders.
pub(super) fn pages(user: &User, request: &pb::ListOrdersRequest) -> page::List {
    let rest = pb::ListOrdersRequest {
        page_size: 0,
        page_token: String::new(),
        ..request.clone()
    };
    page::List::of(&[
        b"ListOrders",
        user.id.to_string().as_bytes(),
        &rest.encode_to_vec(),
    ])
}

pub(super) fn decode(
    user: &User,
    request: &pb::ListOrdersRequest,
    pages: &page::List,
) -> Result<Listing, Error> {
    let mut invalid = Invalid::new();
    let size = invalid.take("page_size", page::size(request.page_size));
    let behind = invalid.take("page_token", pages.position(&request.page_token));
    let status = match request.status {
        0 => Some(None),
        status => invalid.take("status", decode_status(status)).map(Some),
    };
    let user_id = match request.user_id.as_str() {
        "" => Some(None),
        id => invalid.take("user_id", id.parse::<Id>()).map(Some),
    };
    let side = pb::OrderSide::try_from(request.side).map_err(|_| "is not an order's side");
    let side = invalid.take("side", side);
    let mut bound = |field, time: &Option<_>| match time {
        None => Some(None),
        Some(time) => invalid.take(field, time::millis(time)).map(Some),
    };
    let start_time_ms = bound("start_time", &request.start_time);
    let end_time_ms = bound("end_time", &request.end_time);
    let currency = match request.currency_code.as_str() {
        "" => Some(None),
        code => invalid
            .take("currency_code", text::currency_code(code))
            .map(Some),
    };
    let order = match request.order_by.trim() {
        "" | "create_time desc" => Ok(ListOrder::CreateTime(Descending)),
        "create_time" => Ok(ListOrder::CreateTime(Ascending)),
        "total_price" => Ok(ListOrder::Total(Ascending)),
        "total_price desc" => Ok(ListOrder::Total(Descending)),
        _ => Err("must be create_time or total_price, with or without desc"),
    };
    let order = invalid.take("order_by", order);
    let (user_id, side, listing) = invalid.finish(|| {
        let listing = Listing {
            whose: Whose::Everybodys,
            status: status?,
            start_time_ms: start_time_ms?,
            end_time_ms: end_time_ms?,
            currency: currency?,
            order: order?,
            behind: behind?,
            size: size?,
        };
        Some((user_id?, side?, listing))
    })?;
    Ok(Listing {
        whose: whose(user, user_id, side)?,
        ..listing
    })
}

pub(super) fn whose(user: &User, named: Option<Id>, side: pb::OrderSide) -> Result<Whose, Error> {
    if named.is_some_and(|named| named != user.id) && !user.is_admin() {
        return Err(Error::NotAdmin);
    }
    Ok(match (side, named) {
        (pb::OrderSide::Unspecified, None) if user.is_admin() => Whose::Everybodys,
        (pb::OrderSide::Unspecified | pb::OrderSide::Buyer, id) => {
            Whose::BoughtBy(id.unwrap_or(user.id))
        }
        (pb::OrderSide::Seller, id) => Whose::SoldBy(id.unwrap_or(user.id)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(roles: &[&str]) -> User {
        User {
            id: Id::random(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            session_id: Id::random(),
        }
    }

    #[test]
    fn ones_own_unless_admin() {
        let (ada, admin) = (user(&[]), user(&["admin"]));
        let other = Id::random();
        let whose = |user: &User, named, side| whose(user, named, side).ok();
        use pb::OrderSide::{Buyer, Seller, Unspecified};
        assert_eq!(
            whose(&ada, None, Unspecified),
            Some(Whose::BoughtBy(ada.id))
        );
        assert_eq!(
            whose(&ada, Some(ada.id), Seller),
            Some(Whose::SoldBy(ada.id))
        );
        assert_eq!(whose(&ada, Some(other), Buyer), None);
        assert_eq!(whose(&admin, None, Unspecified), Some(Whose::Everybodys));
        assert_eq!(whose(&admin, None, Seller), Some(Whose::SoldBy(admin.id)));
        assert_eq!(
            whose(&admin, Some(other), Unspecified),
            Some(Whose::BoughtBy(other))
        );
    }

    #[test]
    fn every_wrong_field_is_named() {
        let request = pb::ListOrdersRequest {
            page_size: -1,
            page_token: "x".to_owned(),
            status: 99,
            user_id: "$gt".to_owned(),
            side: 7,
            currency_code: "$".to_owned(),
            order_by: "user_id".to_owned(),
            start_time: Some(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
            ..Default::default()
        };
        let ada = user(&[]);
        let Err(Error::Invalid(invalid)) = decode(&ada, &request, &pages(&ada, &request)) else {
            panic!("it was accepted");
        };
        let fields: Vec<_> = invalid
            .violations()
            .iter()
            .map(|v| v.field.as_str())
            .collect();
        assert_eq!(
            fields,
            [
                "page_size",
                "page_token",
                "status",
                "user_id",
                "side",
                "start_time",
                "currency_code",
                "order_by"
            ]
        );
    }
}
