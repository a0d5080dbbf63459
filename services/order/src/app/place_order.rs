use std::time::Duration;

use orderflow_mongo::is_outage;
use tokio::time::{Instant, sleep};

use super::Orders;
use crate::{
    domain::{Order, Placement, Status},
    error::Error,
    inventory::{Reservation, Reserved},
};

/// How long writing an order is tried again while MongoDB is out of reach. After that the caller gets "unknown".
const WRITING: Duration = Duration::from_secs(10);

impl Orders {
    /// Places an order: stock first, then the order itself. Once the stock is reserved the order will exist, whatever happens
    /// here; so nothing is ever given back on the way.
    pub(crate) async fn place_order(&self, placement: Placement) -> Result<Order, Error> {
        let _place = self.placing.try_acquire().map_err(|_| Error::Busy)?;
        let mut outcomes = self
            .inventory
            .reserve(std::slice::from_ref(&placement))
            .await?;
        match outcomes.pop() {
            Some(Reserved::Yes(reservation)) => self.order_of(reservation).await,
            Some(Reserved::Refused(lines)) => Err(Error::Refused(lines)),
            Some(Reserved::LinesDiffer) => Err(Error::RequestIdReused),
            Some(Reserved::Undecided) | None => Err(Error::Unknown),
        }
    }

    /// The order that a reservation promises: written now, or found as somebody else has written it.
    async fn order_of(&self, reservation: Reservation) -> Result<Order, Error> {
        let order = pending(&reservation);
        if reservation.is_released {
            // It exists, else nobody could have cancelled it; to write it anew would bring it back to life.
            return self.store.order(order.id).await?.ok_or(Error::Inconsistent);
        }
        let until = Instant::now() + WRITING;
        loop {
            match self.insert(&order).await {
                Ok(Some(order)) => return Ok(order),
                // There already, but not yet for a majority; or the outcome is unknown. The same insert again tells.
                Ok(None) => {}
                Err(error) if is_outage(&error) => {
                    tracing::warn!(order = %order.id, %error, "an order could not be written, trying again");
                }
                Err(error) => return Err(error.into()),
            }
            if Instant::now() > until {
                return Err(Error::Unknown);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The order as it is now; `None` if it is there, but cannot be seen yet.
    async fn insert(&self, order: &Order) -> Result<Option<Order>, mongodb::error::Error> {
        let there_already = self
            .store
            .insert_orders(std::slice::from_ref(order))
            .await?;
        if there_already.is_empty() {
            return Ok(Some(order.clone()));
        }
        self.store.order(order.id).await
    }
}

/// An order from its reservation and nothing else: whoever writes it writes the same.
fn pending(reservation: &Reservation) -> Order {
    Order {
        id: reservation.order_id,
        user_id: reservation.user_id,
        request_id: reservation.request_id.clone(),
        lines: reservation.lines.clone(),
        currency: reservation.total.currency.clone(),
        total: reservation.total.minor_units,
        status: Status::Pending,
        create_time_ms: reservation.create_time_ms,
        update_time_ms: reservation.create_time_ms,
    }
}
