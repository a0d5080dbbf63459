use orderflow_contract::Id;
use orderflow_identity::User;

use super::Orders;
use crate::{
    domain::{Order, Status},
    error::Error,
};

impl Orders {
    /// Cancels a pending order and gives its stock back. One that is cancelled already is returned as it is; one whose
    /// cancelling was interrupted is cancelled to the end.
    pub(crate) async fn cancel_order(&self, user: &User, id: Id) -> Result<Order, Error> {
        let order = self.visible(user, id).await?;
        if !order.may_cancel(user) {
            return Err(Error::NotSellerOfAll);
        }
        // From here on no other move can get in: who wins this one decides.
        let order = match order.status {
            Status::Cancelled => return Ok(order),
            _ => match self.step(order, Status::Cancelling).await {
                // Somebody else has cancelled it to the end meanwhile.
                Err(Error::NoSuchMove(no)) if no.from == Status::Cancelled => {
                    return self.visible(user, id).await;
                }
                order => order?,
            },
        };
        self.finish_cancelling(order).await
    }

    /// The rest of a cancellation. Each step may be repeated: the stock comes back once.
    pub(super) async fn finish_cancelling(&self, order: Order) -> Result<Order, Error> {
        if !self.inventory.release(order.id).await? {
            return Err(Error::Inconsistent);
        }
        self.step(order, Status::Cancelled).await
    }
}
