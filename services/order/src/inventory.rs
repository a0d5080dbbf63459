//! The catalog, as seen from here.

use std::time::Duration;

use orderflow_contract::{Id, time};
use orderflow_identity::service::ServiceIdentity;
use orderflow_proto::{
    catalog::v1::{self as pb, inventory_service_client::InventoryServiceClient},
    money::v1 as money_pb,
};
use orderflow_upstream::{Lease, Upstream, backoff};
use tonic::{Request, Response, Status, service::interceptor::InterceptedService};

use crate::domain::{Line, Money, Placement, PlacementLine};

/// How long one attempt may take. Not a caller's deadline: in a batch the shortest would fail the others.
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;
/// 256 orders of 100 lines are 7.7 MB.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Order ids in a request.
pub(crate) const AT_ONCE: usize = 256;

/// Takes stock and gives it back.
#[derive(Clone)]
pub(crate) struct Inventory {
    catalog: Upstream,
    identity: ServiceIdentity,
}

/// For one call, on one replica of the catalog.
type Client = InventoryServiceClient<InterceptedService<Lease, ServiceIdentity>>;

/// The catalog did not answer, or not in a way that says what happened. Whatever status it may have sent is about this call,
/// not about the orders in it: only an outcome in a decoded reply is an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer from the catalog")]
pub(crate) struct NoAnswer;

/// What became of a placement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reserved {
    /// The order exists, or will.
    Yes(Reservation),
    /// Refused for good.
    Refused(Vec<RefusedLine>),
    /// The order is known with other lines.
    LinesDiffer,
    /// Not decided.
    Undecided,
}

/// Everything that an order is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reservation {
    pub(crate) order_id: Id,
    pub(crate) user_id: Id,
    pub(crate) request_id: Option<String>,
    pub(crate) lines: Vec<Line>,
    pub(crate) total: Money,
    pub(crate) create_time_ms: i64,
    /// Its stock was given back: the order exists, and is cancelled or about to be.
    pub(crate) is_released: bool,
}

/// Orders of which the catalog does not know yet that they exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) order_ids: Vec<Id>,
}

/// A line that cannot be had, and what is so now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedLine {
    pub(crate) product_id: String,
    pub(crate) problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    ProductNotFound,
    InsufficientStock { available: i64 },
    PriceChanged { unit_price: Money },
    CurrencyMismatch { unit_price: Money },
}

impl Inventory {
    pub(crate) fn new(catalog: Upstream, identity: ServiceIdentity) -> Self {
        Self { catalog, identity }
    }

    /// Reserves stock for placements; the outcomes are in their order.
    pub(crate) async fn reserve(
        &self,
        placements: &[Placement],
    ) -> Result<Vec<Reserved>, NoAnswer> {
        let request = pb::ReserveRequest {
            items: placements.iter().map(encode_placement).collect(),
        };
        let reply = self.attempts("Reserve", |mut client| {
            let request = in_time(&request);
            async move { client.reserve(request).await }
        });
        let outcomes = reply.await?.outcomes;
        if outcomes.len() != placements.len() {
            return Err(NoAnswer);
        }
        Ok(outcomes.into_iter().map(decode_outcome).collect())
    }

    /// Gives the stock of orders back; of each once, however often it is asked. The outcomes are in the order of the ids: false
    /// where nothing was ever held.
    pub(crate) async fn release(
        &self,
        order_ids: &[Id],
    ) -> Result<Vec<Result<bool, NoAnswer>>, NoAnswer> {
        let request = pb::ReleaseRequest {
            order_ids: order_ids.iter().map(Id::to_string).collect(),
        };
        let reply = self.attempts("Release", |mut client| {
            let request = in_time(&request);
            async move { client.release(request).await }
        });
        let reply = reply.await?;
        let outcomes: Vec<_> = reply.outcomes().collect();
        let outcome = |i| match outcomes.get(i) {
            Some(pb::ReleaseOutcome::Released) => Ok(true),
            Some(pb::ReleaseOutcome::NotFound) => Ok(false),
            Some(pb::ReleaseOutcome::Unspecified) | None => Err(NoAnswer),
        };
        Ok((0..order_ids.len()).map(outcome).collect())
    }
}

impl Inventory {
    /// A page of the catalog's journal, oldest first, and where it goes on.
    pub(crate) async fn unsettled(
        &self,
        page_token: String,
    ) -> Result<(Vec<Entry>, Option<String>), NoAnswer> {
        let request = pb::ListUnsettledRequest {
            page_size: 0,
            page_token,
        };
        let reply = self.attempts("ListUnsettled", |mut client| {
            let request = in_time(&request);
            async move { client.list_unsettled(request).await }
        });
        let page = reply.await?;
        let next = Some(page.next_page_token).filter(|token| !token.is_empty());
        // An entry with an id that cannot be read is left where it is.
        let entry = |entry: pb::JournalEntry| {
            let order_ids = entry.order_ids.iter().map(|id| id.parse().ok());
            let order_ids: Option<_> = order_ids.collect();
            Some(Entry {
                order_ids: order_ids?,
                id: entry.id,
            })
        };
        Ok((page.entries.into_iter().filter_map(entry).collect(), next))
    }

    /// What is on record about orders; refusals are left out.
    pub(crate) async fn reservations(&self, ids: &[Id]) -> Result<Vec<Reservation>, NoAnswer> {
        let mut left: Vec<_> = ids.iter().map(Id::to_string).collect();
        let mut found = Vec::new();
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(AT_ONCE));
            let request = pb::GetReservationsRequest { order_ids: left };
            let reply = self.attempts("GetReservations", |mut client| {
                let request = in_time(&request);
                async move { client.get_reservations(request).await }
            });
            let reply = reply.await?;
            found.extend(
                reply
                    .reservations
                    .into_iter()
                    .filter_map(decode_reservation),
            );
            left = [reply.remaining_order_ids, rest].concat();
        }
        Ok(found)
    }

    /// Strikes entries out of the journal.
    pub(crate) async fn settle(&self, entry_ids: &[String]) -> Result<(), NoAnswer> {
        let request = pb::SettleRequest {
            entry_ids: entry_ids.to_vec(),
        };
        let reply = self.attempts("Settle", |mut client| {
            let request = in_time(&request);
            async move { client.settle(request).await }
        });
        reply.await.map(drop)
    }
}

impl Inventory {
    /// The same call once more if there was no answer: all of them are idempotent. On another replica if there is one, and not so
    /// often that a catalog in trouble gets twice the work.
    async fn attempts<T, F>(&self, name: &str, call: impl Fn(Client) -> F) -> Result<T, NoAnswer>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.catalog.budget().offered();
        let mut tried = Vec::new();
        for attempt in 1..=ATTEMPTS {
            if attempt > 1 {
                if !self.catalog.budget().may_repeat() {
                    break;
                }
                tokio::time::sleep(backoff(1)).await;
            }
            let replica = match self.catalog.pick(&tried) {
                Ok(replica) => replica,
                Err(refused) => {
                    tracing::warn!(attempt, %refused, "{name} failed");
                    continue;
                }
            };
            tried.push(replica.address());
            let client = InventoryServiceClient::with_interceptor(replica, self.identity.clone())
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE);
            match tokio::time::timeout(PATIENCE, call(client)).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => {
                    tracing::warn!(attempt, code = %status.code(), message = status.message(), "{name} failed");
                }
                Err(_) => tracing::warn!(attempt, "{name} took longer than {PATIENCE:?}"),
            }
        }
        Err(NoAnswer)
    }
}

fn in_time<T: Clone>(message: &T) -> Request<T> {
    let mut request = Request::new(message.clone());
    request.set_timeout(PATIENCE);
    request
}

fn encode_placement(placement: &Placement) -> pb::ReserveItem {
    let encode = |line: &PlacementLine| pb::ReserveLine {
        product_id: line.product_id.to_string(),
        quantity: line.quantity,
        expected_unit_price: line
            .expected_unit_price
            .as_ref()
            .map(|price| money_pb::Money {
                currency_code: price.currency.clone(),
                minor_units: price.minor_units,
            }),
    };
    pb::ReserveItem {
        order_id: placement.order_id.to_string(),
        user_id: placement.user_id.to_string(),
        request_id: placement.request_id.clone().unwrap_or_default(),
        lines: placement.lines.iter().map(encode).collect(),
    }
}

fn decode_outcome(outcome: pb::ReserveOutcome) -> Reserved {
    use pb::reserve_outcome::Outcome;
    match outcome.outcome {
        Some(Outcome::Reserved(reservation)) => match decode_reservation(reservation) {
            Some(reservation) => Reserved::Yes(reservation),
            None => {
                tracing::error!("the catalog sent a reservation that cannot be read");
                Reserved::Undecided
            }
        },
        Some(Outcome::Refused(refusal)) => Reserved::Refused(
            refusal
                .lines
                .into_iter()
                .filter_map(decode_refused)
                .collect(),
        ),
        Some(Outcome::LinesDiffer(_)) => Reserved::LinesDiffer,
        Some(Outcome::Undecided(_)) | None => Reserved::Undecided,
    }
}

fn decode_reservation(reservation: pb::Reservation) -> Option<Reservation> {
    let decode_line = |line: pb::ReservationLine| {
        Some(Line {
            product_id: line.product_id.parse().ok()?,
            product_name: line.product_name,
            seller_id: line.seller_id.parse().ok()?,
            quantity: line.quantity,
            unit_price: line.unit_price?.minor_units,
        })
    };
    Some(Reservation {
        is_released: match reservation.state() {
            pb::ReservationState::Held => false,
            pb::ReservationState::Released => true,
            pb::ReservationState::Refused | pb::ReservationState::Unspecified => return None,
        },
        order_id: reservation.order_id.parse().ok()?,
        user_id: reservation.user_id.parse().ok()?,
        request_id: Some(reservation.request_id).filter(|id| !id.is_empty()),
        lines: reservation
            .lines
            .into_iter()
            .map(decode_line)
            .collect::<Option<_>>()?,
        total: decode_money(reservation.total?),
        create_time_ms: time::millis(&reservation.create_time?).ok()?,
    })
}

fn decode_refused(line: pb::RefusedLine) -> Option<RefusedLine> {
    let unit_price = line.unit_price.clone().map(decode_money);
    let problem = match line.reason() {
        pb::RefusalReason::ProductNotFound => Problem::ProductNotFound,
        pb::RefusalReason::InsufficientStock => Problem::InsufficientStock {
            available: line.available,
        },
        pb::RefusalReason::PriceChanged => Problem::PriceChanged {
            unit_price: unit_price?,
        },
        pb::RefusalReason::CurrencyMismatch => Problem::CurrencyMismatch {
            unit_price: unit_price?,
        },
        pb::RefusalReason::Unspecified => return None,
    };
    Some(RefusedLine {
        product_id: line.product_id,
        problem,
    })
}

fn decode_money(money: money_pb::Money) -> Money {
    Money {
        currency: money.currency_code,
        minor_units: money.minor_units,
    }
}
