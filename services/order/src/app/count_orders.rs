use std::collections::BTreeMap;

use orderflow_contract::time::now_ms;

use super::Orders;
use crate::{
    domain::Day,
    error::Error,
    store::{Row, Sales},
};

impl Orders {
    /// Orders and revenue by day and currency.
    pub(crate) async fn count_orders(
        &self,
        whose: Sales,
        first: Day,
        last: Day,
    ) -> Result<BTreeMap<Day, Vec<Row>>, Error> {
        Ok(self.store.sales(whose, first, last, now_ms()).await?)
    }
}
