//! One index for each way of listing orders. In all of them the status stands before the sort keys: a list of several statuses
//! is a merge of one index range for each, so that no list ever passes over orders that it does not show.

use mongodb::{
    IndexModel,
    bson::{Document, doc},
};

/// What a buyer placed, by time.
pub(super) fn bought_by_time() -> Document {
    doc! { "user_id": 1, "status": 1, "create_time": 1, "_id": 1 }
}

/// What a buyer placed, by total.
pub(super) fn bought_by_total() -> Document {
    doc! { "user_id": 1, "status": 1, "currency": 1, "total": 1, "_id": 1 }
}

/// What somebody sells, by time. Behind the sort keys stands what a seller's statistics need, so that they read the index alone.
pub(super) fn sold_by_time() -> Document {
    doc! {
        "seller_ids": 1, "status": 1, "create_time": 1, "_id": 1,
        "currency": 1, "total": 1, "is_shared": 1,
    }
}

/// What somebody sells, by total.
pub(super) fn sold_by_total() -> Document {
    doc! { "seller_ids": 1, "status": 1, "currency": 1, "total": 1, "_id": 1 }
}

/// Everything, by time; with what the statistics of all need.
pub(super) fn all_by_time() -> Document {
    doc! { "status": 1, "create_time": 1, "_id": 1, "currency": 1, "total": 1 }
}

/// Everything, by total.
pub(super) fn all_by_total() -> Document {
    doc! { "status": 1, "currency": 1, "total": 1, "_id": 1 }
}

/// No index but `_id` is unique: one order a request id follows from how order ids are made.
pub(super) fn all() -> Vec<IndexModel> {
    [
        bought_by_time(),
        bought_by_total(),
        sold_by_time(),
        sold_by_total(),
        all_by_time(),
        all_by_total(),
    ]
    .into_iter()
    .map(|keys| IndexModel::builder().keys(keys).build())
    .collect()
}
