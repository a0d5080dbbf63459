use orderflow_batch::{Batcher, Limits};
use orderflow_contract::Id;
use orderflow_faults::repeatable;
use orderflow_identity::User;

use super::{Orders, submit};
use crate::{
    domain::{Order, Status},
    error::Error,
    inventory::{AT_ONCE, Inventory, NoAnswer},
    steps::Step,
};

/// One lane: the catalog releases one batch at a time. The weight is in lines: a batch must fit into one transaction of the
/// catalog, and into its time.
const LANE: Limits = Limits {
    name: "release",
    lanes: 1,
    queue: 2_048,
    items: AT_ONCE,
    weight: 1_024,
};

pub(super) type Releasing = Batcher<Id, Result<bool, NoAnswer>>;

/// Starts the lane on which stock is given back.
pub(super) fn lane(inventory: Inventory) -> Releasing {
    Batcher::start(LANE, move |ids: Vec<Id>, _turn| {
        let inventory = inventory.clone();
        async move {
            let released = repeatable(Step::CancelRelease, || inventory.release(&ids)).await;
            released.unwrap_or_else(|none| vec![Err(none); ids.len()])
        }
    })
}

impl Orders {
    /// Cancels a pending order and gives its stock back. One that is cancelled already is returned as it is; one whose
    /// cancelling was interrupted is cancelled to the end.
    pub(crate) async fn cancel_order(&self, user: &User, id: Id) -> Result<Order, Error> {
        let order = self.visible(user, id).await?;
        if !order.may_cancel(user) {
            return Err(Error::NotSellerOfAll);
        }
        // From here on no other move can get in: who wins this one decides.
        let claim = || self.step(order.clone(), Status::Cancelling);
        let order = match order.status {
            Status::Cancelled => return Ok(order),
            _ => match repeatable(Step::CancelClaim, claim).await {
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
        let released = submit(&self.releasing, order.id, order.lines.len()).await;
        let finish = || self.step(order.clone(), Status::Cancelled);
        let finished = match released {
            Ok(true) => repeatable(Step::CancelFinish, finish).await,
            Ok(false) => Err(Error::Inconsistent),
            Err(error) => Err(error),
        };
        // No longer is it so that nothing was done.
        finished.map_err(|error| match error {
            Error::Busy => Error::Unknown,
            error => error,
        })
    }
}
