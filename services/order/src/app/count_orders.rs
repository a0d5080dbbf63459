use super::Orders;
use crate::{
    error::Error,
    store::{DayRow, Sales},
};

impl Orders {
    /// Orders and revenue by day and currency.
    pub(crate) async fn count_orders(
        &self,
        whose: Sales,
        start_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<DayRow>, Error> {
        Ok(self.store.sales(whose, start_ms, end_ms).await?)
    }
}
