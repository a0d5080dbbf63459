use orderflow_contract::{Id, time::now_ms};
use orderflow_identity::User;
use orderflow_mongo::is_outage;

use super::Orders;
use crate::{
    domain::{Move, Order, Status},
    error::Error,
};

/// How often a move is tried again because its outcome was unknown or another came first.
const ATTEMPTS: usize = 10;

impl Orders {
    /// Moves an order on, to SHIPPED or DELIVERED. One that is there already is returned as it is.
    pub(crate) async fn move_order(&self, user: &User, id: Id, to: Status) -> Result<Order, Error> {
        let order = self.visible(user, id).await?;
        if !order.may_move(user) {
            return Err(Error::NotSellerOfAll);
        }
        self.step(order, to).await
    }

    /// The order, moved to `to` by this call or another one.
    pub(super) async fn step(&self, mut order: Order, to: Status) -> Result<Order, Error> {
        for _ in 0..ATTEMPTS {
            let Some(step) = order.status.to(to).map_err(Error::NoSuchMove)? else {
                return Ok(order);
            };
            if let Some(moved) = self.make(order.id, step).await? {
                return Ok(moved);
            }
            order = self
                .store
                .order(order.id)
                .await?
                .ok_or(Error::OrderNotFound)?;
        }
        Err(Error::Unknown)
    }

    /// Makes a move, or finds that it was made although the answer got lost. `None` if the order stands elsewhere.
    async fn make(&self, id: Id, step: Move) -> Result<Option<Order>, Error> {
        let op_id = Id::random();
        let made = match self.store.move_order(id, step, op_id, now_ms()).await {
            Ok(Some(order)) => return Ok(Some(order)),
            Ok(None) => None,
            Err(error) if is_outage(&error) => Some(error),
            Err(error) => return Err(error.into()),
        };
        // Not the status tells whether it was this attempt: the order may have moved on.
        match (self.store.moved_by(id, op_id).await?, made) {
            (Some(order), _) => Ok(Some(order)),
            (None, None) => Ok(None),
            (None, Some(error)) => Err(error.into()),
        }
    }
}
