use std::collections::HashSet;

use mongodb::bson::oid::ObjectId;
use orderflow_chassis::task::to_completion;
use orderflow_contract::{Id, Invalid, page, text, time::timestamp};
use orderflow_faults::At;
use orderflow_proto::catalog::v1::{self as pb, inventory_service_server::InventoryService};
use prost::Message;
use tonic::{Request, Response, Status};

use super::money;
use crate::{
    app::{Catalog, Outcome, Released},
    domain::{HeldLine, MAX_LINES, MAX_QUANTITY, Problem, RefusedLine, Wish, WishLine},
    steps::Step,
    store::{Entry, Recorded, State},
};

/// Orders in a request.
const MAX_ORDERS: usize = 256;

/// `InventoryService` over a catalog.
pub(crate) struct InventoryGrpc(pub(crate) Catalog);

#[tonic::async_trait]
impl InventoryService for InventoryGrpc {
    async fn reserve(
        &self,
        request: Request<pb::ReserveRequest>,
    ) -> Result<Response<pb::ReserveResponse>, Status> {
        let wishes = wishes(&request.get_ref().items)?;
        let is_readable: Vec<_> = wishes.iter().map(Option::is_some).collect();
        let readable = wishes.into_iter().flatten().collect();
        let decided = self.0.reserve(readable).at(Step::Reserve).await?;
        let mut decided = decided.into_iter();
        let outcome = |is_readable: bool| {
            let decided = is_readable.then(|| decided.next()).flatten();
            pb::ReserveOutcome {
                outcome: Some(encode_outcome(decided.unwrap_or(Outcome::Undecided))),
            }
        };
        Ok(Response::new(pb::ReserveResponse {
            outcomes: is_readable.into_iter().map(outcome).collect(),
        }))
    }

    async fn release(
        &self,
        request: Request<pb::ReleaseRequest>,
    ) -> Result<Response<pb::ReleaseResponse>, Status> {
        let order_ids = ids("order_ids", &request.get_ref().order_ids)?;
        let outcomes = self.0.release(order_ids).at(Step::Release).await?;
        let encode = |outcome| match outcome {
            Released::Yes => pb::ReleaseOutcome::Released,
            Released::NotFound => pb::ReleaseOutcome::NotFound,
            Released::Undecided => pb::ReleaseOutcome::Unspecified,
        };
        Ok(Response::new(pb::ReleaseResponse {
            outcomes: outcomes
                .into_iter()
                .map(|outcome| encode(outcome).into())
                .collect(),
        }))
    }

    async fn get_reservations(
        &self,
        request: Request<pb::GetReservationsRequest>,
    ) -> Result<Response<pb::GetReservationsResponse>, Status> {
        let order_ids = ids("order_ids", &request.get_ref().order_ids)?;
        let reading = self.0.get_reservations(&order_ids);
        let records = reading.at(Step::GetReservations).await?;
        let encoded: Vec<_> = records.into_iter().map(encode_reservation).collect();
        let known: Vec<_> = encoded.iter().map(|r| r.order_id.clone()).collect();
        let (reservations, _) = page::cut(encoded, MAX_ORDERS, Message::encoded_len);
        Ok(Response::new(pb::GetReservationsResponse {
            remaining_order_ids: known[reservations.len()..].to_vec(),
            reservations,
        }))
    }

    async fn list_unsettled(
        &self,
        request: Request<pb::ListUnsettledRequest>,
    ) -> Result<Response<pb::ListUnsettledResponse>, Status> {
        let request = request.get_ref();
        let pages = page::List::of(&[b"ListUnsettled"]);
        let mut invalid = Invalid::new();
        let size = invalid.take("page_size", page::size(request.page_size));
        let behind = invalid.take("page_token", pages.position(&request.page_token));
        let (size, behind) = invalid.finish(|| Some((size?, behind?)))?;

        let reading = self.0.list_unsettled(behind, size);
        let entries = reading.at(Step::ListUnsettled).await?;
        let encode = |entry: Entry| {
            let encoded = pb::JournalEntry {
                id: entry.id.to_hex(),
                order_ids: entry.orders.iter().map(Id::to_string).collect(),
            };
            (encoded, entry.id)
        };
        let entries = entries.into_iter().map(encode).collect();
        let (entries, more) = page::cut(entries, size, |(entry, _)| entry.encoded_len());
        let last = entries.last().filter(|_| more);
        Ok(Response::new(pb::ListUnsettledResponse {
            next_page_token: last.map_or_else(String::new, |(_, id)| pages.token(id)),
            entries: entries.into_iter().map(|(entry, _)| entry).collect(),
        }))
    }

    async fn settle(
        &self,
        request: Request<pb::SettleRequest>,
    ) -> Result<Response<pb::SettleResponse>, Status> {
        let entry_ids = &request.get_ref().entry_ids;
        if !(1..=page::MAX_SIZE).contains(&entry_ids.len()) {
            let expected = format!("must be 1 to {} ids", page::MAX_SIZE);
            return Err(Invalid::field("entry_ids", expected).into());
        }
        let mut invalid = Invalid::new();
        let parse = |(i, id): (usize, &String)| {
            let id = ObjectId::parse_str(id).map_err(|_| "must be the id of a journal entry");
            invalid.take(format!("entry_ids[{i}]"), id)
        };
        let entry_ids: Vec<_> = entry_ids.iter().enumerate().map(parse).collect();
        let entry_ids: Vec<_> = invalid.finish(|| entry_ids.into_iter().collect())?;

        let catalog = self.0.clone();
        to_completion(async move { catalog.settle(&entry_ids).await }).await??;
        Ok(Response::new(pb::SettleResponse {}))
    }
}

fn ids(field: &str, texts: &[String]) -> Result<Vec<Id>, Invalid> {
    if !(1..=MAX_ORDERS).contains(&texts.len()) {
        return Err(Invalid::field(
            field,
            format!("must be 1 to {MAX_ORDERS} ids"),
        ));
    }
    let mut invalid = Invalid::new();
    let parse = |(i, id): (usize, &String)| invalid.take(format!("{field}[{i}]"), id.parse::<Id>());
    let ids: Vec<_> = texts.iter().enumerate().map(parse).collect();
    invalid.finish(|| ids.into_iter().collect())
}

/// The wishes of a batch; `None` for one that is malformed, which is a defect of the caller's and must not harm the others.
fn wishes(items: &[pb::ReserveItem]) -> Result<Vec<Option<Wish>>, Invalid> {
    if !(1..=MAX_ORDERS).contains(&items.len()) {
        return Err(Invalid::field(
            "items",
            format!("must be 1 to {MAX_ORDERS} items"),
        ));
    }
    let parse = |(i, item): (usize, &pb::ReserveItem)| {
        let mut invalid = Invalid::new();
        let wish = wish(&mut invalid, &format!("items[{i}]"), item);
        let report = |invalid: &Invalid| {
            let violations = invalid.violations();
            tracing::error!(order = ?item.order_id, ?violations, "a wish is malformed");
        };
        invalid.finish(|| wish).inspect_err(report).ok()
    };
    Ok(items.iter().enumerate().map(parse).collect())
}

/// The limits hold here too: they are what makes overflow impossible.
fn wish(invalid: &mut Invalid, path: &str, item: &pb::ReserveItem) -> Option<Wish> {
    let order_id = invalid.take(format!("{path}.order_id"), item.order_id.parse());
    let user_id = invalid.take(format!("{path}.user_id"), item.user_id.parse());
    let request_id = text::request_id(&item.request_id);
    let request_id = invalid.take(format!("{path}.request_id"), request_id);
    if !(1..=MAX_LINES).contains(&item.lines.len()) {
        invalid.add(
            format!("{path}.lines"),
            format!("must be 1 to {MAX_LINES} lines"),
        );
        return None;
    }
    let parse = |(i, line): (usize, &pb::ReserveLine)| {
        let path = format!("{path}.lines[{i}]");
        let product_id = invalid.take(format!("{path}.product_id"), line.product_id.parse());
        let quantity = text::integer(line.quantity, 1..=MAX_QUANTITY);
        let quantity = invalid.take(format!("{path}.quantity"), quantity);
        let expected_unit_price = match &line.expected_unit_price {
            None => Some(None),
            price => {
                let path = format!("{path}.expected_unit_price");
                money::price(invalid, &path, price.as_ref()).map(Some)
            }
        };
        Some(WishLine {
            product_id: product_id?,
            quantity: quantity?,
            expected_unit_price: expected_unit_price?,
        })
    };
    let lines: Vec<_> = item.lines.iter().enumerate().map(parse).collect();
    let mut lines: Vec<_> = lines.into_iter().collect::<Option<_>>()?;
    // Sorted here, not trusted to be: it is by their lines that repeated orders are recognised.
    lines.sort_by_key(|line: &WishLine| line.product_id);
    let distinct: HashSet<_> = lines.iter().map(|line| line.product_id).collect();
    if distinct.len() < lines.len() {
        invalid.add(format!("{path}.lines"), "must not name a product twice");
    }
    Some(Wish {
        order_id: order_id?,
        user_id: user_id?,
        request_id: request_id?,
        lines,
    })
}

fn encode_outcome(outcome: Outcome) -> pb::reserve_outcome::Outcome {
    use pb::reserve_outcome::Outcome as Encoded;
    match outcome {
        Outcome::Recorded(record) if record.state == State::Refused => {
            Encoded::Refused(pb::Refusal {
                lines: record.refused.into_iter().map(encode_refused).collect(),
            })
        }
        Outcome::Recorded(record) => Encoded::Reserved(encode_reservation(record)),
        Outcome::LinesDiffer => Encoded::LinesDiffer(pb::LinesDiffer {}),
        Outcome::Undecided => Encoded::Undecided(pb::Undecided {}),
    }
}

fn encode_reservation(record: Recorded) -> pb::Reservation {
    let state = match record.state {
        State::Held => pb::ReservationState::Held,
        State::Released => pb::ReservationState::Released,
        State::Refused => pb::ReservationState::Refused,
    };
    let currency = record
        .total
        .as_ref()
        .map_or_else(String::new, |total| total.currency.clone());
    let encode_line = |line: HeldLine| pb::ReservationLine {
        product_id: line.product_id.to_string(),
        product_name: line.product_name,
        seller_id: line.seller_id.to_string(),
        quantity: line.quantity,
        unit_price: Some(orderflow_proto::money::v1::Money {
            currency_code: currency.clone(),
            minor_units: line.unit_price,
        }),
    };
    pb::Reservation {
        order_id: record.order_id.to_string(),
        user_id: record.user_id.to_string(),
        request_id: record.request_id.unwrap_or_default(),
        lines: record.lines.into_iter().map(encode_line).collect(),
        total: record.total.map(money::encode),
        create_time: Some(timestamp(record.create_time.timestamp_millis())),
        state: state.into(),
    }
}

fn encode_refused(line: RefusedLine) -> pb::RefusedLine {
    use pb::RefusalReason as Reason;
    let (reason, available, unit_price) = match line.problem {
        Problem::ProductNotFound => (Reason::ProductNotFound, 0, None),
        Problem::InsufficientStock { available } => (Reason::InsufficientStock, available, None),
        Problem::PriceChanged { unit_price } => (Reason::PriceChanged, 0, Some(unit_price)),
        Problem::CurrencyMismatch { unit_price } => (Reason::CurrencyMismatch, 0, Some(unit_price)),
    };
    pb::RefusedLine {
        product_id: line.product_id.to_string(),
        reason: reason.into(),
        available,
        unit_price: unit_price.map(money::encode),
    }
}
