//! The use cases, one file a verb.

mod adjust_stock;
mod change_product;
mod create_product;
mod find_products;
mod post;
mod release;
mod reserve;
mod settle;
mod together;

use orderflow_batch::Batcher;
use orderflow_contract::Id;
use orderflow_identity::User;

pub(crate) use release::Released;
pub(crate) use reserve::Outcome;

use post::{Posted, Posting};

use crate::{
    domain::{Product, Wish},
    error::Error,
    store::Store,
};

/// The catalog. Whatever changes stock goes in batches, one kind to a lane. The lanes take turns at the one transaction that a
/// replica has on its way: first come, first served, and each has one batch at a time, so that a batch waits for one
/// transaction of each other kind at the most.
#[derive(Clone)]
pub(crate) struct Catalog {
    stock: Stock,
    reserving: Batcher<Vec<Wish>, Vec<Outcome>>,
    releasing: Batcher<Vec<Id>, Vec<Released>>,
    posting: Batcher<Posting, Result<Posted, Error>>,
    reading: find_products::Reading,
}

/// What transactions on stock need.
#[derive(Clone)]
struct Stock {
    store: Store,
}

impl Catalog {
    pub(crate) fn new(store: Store) -> Self {
        let stock = Stock { store };
        Self {
            reserving: reserve::lane(stock.clone()),
            releasing: release::lane(stock.clone()),
            posting: post::lane(stock.clone()),
            reading: find_products::lanes(stock.store.clone()),
            stock,
        }
    }
}

/// Whether a user may change a product.
fn may_change(user: &User, product: &Product) -> Result<(), Error> {
    if product.owner_id == user.id || user.is_admin() {
        Ok(())
    } else {
        Err(Error::NotOwner)
    }
}
