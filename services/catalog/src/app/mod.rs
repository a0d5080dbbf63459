//! The use cases, one file a verb.

mod adjust_stock;
mod change_product;
mod create_product;
mod find_products;
mod release;
mod reserve;
mod settle;

use orderflow_batch::Batcher;
use orderflow_identity::User;

pub(crate) use release::Released;
pub(crate) use reserve::Outcome;

use crate::{
    domain::{Product, Wish},
    error::Error,
    store::Store,
};

/// The catalog.
#[derive(Clone)]
pub(crate) struct Catalog {
    stock: Stock,
    reserving: Batcher<Vec<Wish>, Vec<Outcome>>,
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
