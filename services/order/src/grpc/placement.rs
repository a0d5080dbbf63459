use orderflow_contract::{Id, Invalid, text};
use orderflow_proto::{money::v1 as money_pb, order::v1 as pb};

use crate::domain::{MAX_LINES, Money, Placement, PlacementLine, merge};

const MAX_PRICE: i64 = 1_000_000_000_000;

/// A request to order, with every wrong field named.
pub(super) fn decode(user_id: Id, request: pb::CreateOrderRequest) -> Result<Placement, Invalid> {
    let mut invalid = Invalid::new();
    let request_id = invalid.take("request_id", text::request_id(&request.request_id));
    if !(1..=MAX_LINES).contains(&request.lines.len()) {
        invalid.add("lines", format!("must be 1 to {MAX_LINES} lines"));
        return Err(invalid);
    }
    // A line whose product cannot be read stands for a product of its own, so that its other fields are judged all the same.
    let parse = |(i, line): (usize, &pb::CreateOrderLine)| {
        let product_id = invalid.take(format!("lines[{i}].product_id"), line.product_id.parse());
        PlacementLine {
            product_id: product_id.unwrap_or_else(Id::random),
            quantity: line.quantity.into(),
            expected_unit_price: expected_price(&mut invalid, i, line.expected_unit_price.as_ref()),
        }
    };
    let lines: Vec<_> = request.lines.iter().enumerate().map(parse).collect();
    let lines = merge(lines)
        .map_err(|wrong| {
            for (i, wrong) in wrong {
                invalid.add(format!("lines[{i}].{}", wrong.field()), wrong.description());
            }
        })
        .ok();
    invalid.finish(|| Some(Placement::new(user_id, request_id?, lines?)))
}

fn expected_price(
    invalid: &mut Invalid,
    line: usize,
    price: Option<&money_pb::Money>,
) -> Option<Money> {
    let price = price?;
    let path = format!("lines[{line}].expected_unit_price");
    let currency = text::currency_code(&price.currency_code);
    let currency = invalid.take(format!("{path}.currency_code"), currency);
    let minor_units = text::integer(price.minor_units, 0..=MAX_PRICE);
    let minor_units = invalid.take(format!("{path}.minor_units"), minor_units);
    Some(Money {
        currency: currency?,
        minor_units: minor_units?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(product_id: &str, quantity: i32) -> pb::CreateOrderLine {
        pb::CreateOrderLine {
            product_id: product_id.to_owned(),
            quantity,
            expected_unit_price: None,
        }
    }

    fn wrong_fields(lines: Vec<pb::CreateOrderLine>, request_id: &str) -> Vec<String> {
        let request = pb::CreateOrderRequest {
            lines,
            request_id: request_id.to_owned(),
        };
        match decode(Id::random(), request) {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid
                .violations()
                .iter()
                .map(|v| v.field.clone())
                .collect(),
        }
    }

    #[test]
    fn every_wrong_field_is_named() {
        let id = Id::random().to_string();
        assert_eq!(wrong_fields(vec![line(&id, 1)], ""), [""; 0]);
        assert_eq!(wrong_fields(vec![], ""), ["lines"]);
        assert_eq!(wrong_fields(vec![line(&id, 1); 101], ""), ["lines"]);
        let mut priced = line(&id, 1);
        priced.expected_unit_price = Some(money_pb::Money {
            currency_code: "try".to_owned(),
            minor_units: -1,
        });
        assert_eq!(
            wrong_fields(vec![line("$gt", 0), priced], "a b"),
            [
                "request_id",
                "lines[0].product_id",
                "lines[1].expected_unit_price.currency_code",
                "lines[1].expected_unit_price.minor_units",
                "lines[0].quantity",
            ]
        );
    }
}
