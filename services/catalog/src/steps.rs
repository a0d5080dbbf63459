use std::io;

use orderflow_mongo::Failure;

use crate::error::Error;

orderflow_faults::steps! { "catalog":
    /// A call of CreateProduct.
    CreateProduct,
    /// A call of AdjustStock.
    AdjustStock,
    /// A batch of both is posted, in one transaction.
    Post: repeatable,
    /// In that transaction new products are inserted.
    PostProducts,
    /// In that transaction stock is changed.
    PostStock,
    /// In that transaction the rows of the ledger are inserted.
    PostRows,
    /// A product is changed.
    UpdateProduct,
    /// A product is withdrawn.
    DeleteProduct,

    /// A call of Reserve.
    Reserve,
    /// A batch is decided, in one transaction.
    ReserveTogether: repeatable,
    /// In that transaction the stock of the one product that it is about is taken while it is read.
    ReserveTakeOne,
    /// In that transaction the decisions are recorded, and the journal is told which orders are owed.
    ReserveRecord,
    /// In that transaction stock is taken, or given back where too much was.
    ReserveTake,

    /// A call of Release.
    Release,
    /// A batch is released, in one transaction.
    ReleaseTogether: repeatable,
    /// In that transaction HELD becomes RELEASED.
    ReleaseMark,
    /// In that transaction the stock is given back.
    ReleaseGive,

    /// A call of ListUnsettled.
    ListUnsettled,
    /// A call of GetReservations.
    GetReservations,
    /// Entries are struck out of the journal.
    Settle: repeatable,
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Failure::from(error).into()
    }
}
