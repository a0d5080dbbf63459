//! The rules, without I/O.

mod adjustment;
mod product;
mod reservation;

pub(crate) use adjustment::{Adjustment, MAX_STOCK, adjusted};
pub(crate) use product::{Change, Draft, Money, Product, description, name, price};
pub(crate) use reservation::{
    Decision, HeldLine, MAX_LINES, MAX_QUANTITY, Offer, Problem, RefusedLine, Shelf, Wish, WishLine,
};
