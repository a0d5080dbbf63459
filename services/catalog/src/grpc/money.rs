use orderflow_contract::{Invalid, text};
use orderflow_proto::money::v1 as pb;

use crate::domain::{self, Money};

/// A price as a client sent it.
pub(super) fn price(
    invalid: &mut Invalid,
    field: &str,
    money: Option<&pb::Money>,
) -> Option<Money> {
    let Some(money) = money else {
        invalid.add(field, "is required");
        return None;
    };
    let currency = text::currency_code(&money.currency_code);
    let currency = invalid.take(format!("{field}.currency_code"), currency);
    let minor_units = domain::price(money.minor_units);
    let minor_units = invalid.take(format!("{field}.minor_units"), minor_units);
    Some(Money {
        currency: currency?,
        minor_units: minor_units?,
    })
}

pub(super) fn encode(money: Money) -> pb::Money {
    pb::Money {
        currency_code: money.currency,
        minor_units: money.minor_units,
    }
}
