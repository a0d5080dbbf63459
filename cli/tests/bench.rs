//! `orderflow bench`, for a moment only: that what it says fits together.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use serde_json::Value;

fn bench(arguments: &[&str]) -> (bool, String) {
    let directory = std::env::temp_dir().join(format!("orderflow-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_orderflow"))
        .arg("bench")
        .args(arguments)
        .current_dir(&directory)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// The rows of a report that an audit without a violation ends.
fn rows(arguments: &[&str]) -> Vec<Value> {
    let (succeeded, said) = bench(&[arguments, &["--json"]].concat());
    assert!(succeeded, "{said}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["audit"], 0, "{said}");
    report["rows"].as_array().unwrap().clone()
}

/// Rows some of whose calls went on from the gateway as one. On a busy machine a batch may be late, and for a while all calls go alone:
/// then once more.
fn rows_with_batches_at_the_edge(arguments: &[&str], share: f64) -> Vec<Value> {
    let are_batched = |profile: &Value| {
        let items = profile["batches"]["edge"]["items"].as_f64().unwrap();
        items >= share * profile["calls"].as_f64().unwrap()
    };
    let is_batched = |row: &Value| row["calls"] == "orders" || are_batched(&row["profile"]);
    let mut attempts = (0..3).map(|_| rows(arguments));
    let rows = attempts.find(|rows| rows.iter().all(is_batched));
    rows.expect("reads that go on as one")
}

#[test]
fn rows_comparison_profile_and_audit() {
    let arguments = [
        "--calls=orders,reads",
        "--clients=8",
        "--lines=1,3",
        "--products=20,1",
        "--connections=2",
        "--seconds=1",
        "--warm-up=1",
        "--baseline",
        "--profile",
    ];
    // As many items as there were answers, or more on their way.
    let rows = rows_with_batches_at_the_edge(&arguments, 0.5);
    let row = |row: &Value| {
        let number = |name| row[name].as_u64().unwrap();
        (
            row["calls"].as_str().unwrap().to_owned(),
            number("lines"),
            number("products"),
        )
    };
    let rows_are: Vec<_> = rows.iter().map(row).collect();
    // Three lines of one product would be one line, and reads have none.
    let expected = [
        ("orders", 1, 20),
        ("orders", 1, 1),
        ("orders", 3, 20),
        ("reads", 1, 20),
        ("reads", 1, 1),
    ];
    assert_eq!(rows_are, expected.map(|(c, l, p)| (c.to_owned(), l, p)));
    for row in &rows {
        let number = |value: &Value| value.as_f64().unwrap();
        let (ours, raw) = (number(&row["per_second"]), &row["mongodb_alone"]);
        assert!(ours > 0.0 && row["errors"].as_object().unwrap().is_empty());
        let ratio = ours / number(&raw["per_second"]);
        assert!((ratio - number(&raw["ratio"])).abs() < 0.001, "{row}");
        assert!(number(&row["p50_ms"]) <= number(&row["p999_ms"]));
        let profile = &row["profile"];
        let programs = profile["cpu_us_per_call"].as_array().unwrap();
        let names: Vec<_> = programs.iter().map(|p| p[0].as_str().unwrap()).collect();
        for name in ["this load", "catalog", "order", "gateway", "mongod"] {
            assert!(names.contains(&name), "{names:?}");
        }
        let is_of_orders = row["calls"] == "orders";
        let batch = if is_of_orders { "place" } else { "edge" };
        let batched = &profile["batches"][batch];
        assert!(number(&batched["items"]) >= 0.5 * number(&profile["calls"]));
        assert!(number(&batched["batches"]) <= number(&batched["items"]));
    }
}

#[test]
fn a_mix_has_reads_and_orders() {
    let arguments = [
        "--calls=mix",
        "--clients=8",
        "--lines=2",
        "--products=20",
        "--connections=2",
        "--seconds=2",
        "--warm-up=1",
        "--baseline",
        "--profile",
    ];
    let rows = rows_with_batches_at_the_edge(&arguments, 0.1);
    let [row] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!((&row["calls"], &row["lines"]), (&"mix".into(), &2.into()));
    assert!(row["errors"].as_object().unwrap().is_empty(), "{row}");
    let number = |value: &Value| value.as_f64().unwrap();
    assert!(number(&row["mongodb_alone"]["per_second"]) > 0.0);
    let batches = &row["profile"]["batches"];
    // About a tenth: some are on their way when it begins or ends.
    let orders = number(&batches["place"]["items"]) / number(&row["profile"]["calls"]);
    assert!((0.07..0.15).contains(&orders), "{orders} of the calls");
}

#[test]
fn lists_and_statistics_beside_two_histories() {
    // What lies there beforehand is as good as placed, for the audit too.
    let rows = rows(&[
        "--calls=lists,stats",
        "--clients=2",
        "--products=1",
        "--history=200,3000",
        "--connections=2",
        "--seconds=1",
        "--warm-up=0",
        "--profile",
    ]);
    let name = |row: &Value| row["calls"].as_str().unwrap().to_owned();
    let names: Vec<_> = rows.iter().step_by(2).map(name).collect();
    let expected = [
        "list as buyer, first page",
        "list as buyer, deep page",
        "list as seller, first page",
        "list as seller, deep page",
        "list as admin, first page",
        "list as admin, deep page",
        "stats as seller",
        "stats as admin",
    ];
    assert_eq!(names, expected);
    let number = |value: &Value| value.as_f64().unwrap();
    for pair in rows.chunks(2) {
        for (row, history) in pair.iter().zip([200, 3000]) {
            assert_eq!(name(row), name(&pair[0]));
            assert_eq!(row["history"], history);
            assert!(number(&row["per_second"]) > 0.0, "{row}");
            // An empty page would be an error.
            assert!(row["errors"].as_object().unwrap().is_empty(), "{row}");
            let is_of_days = name(row).starts_with("stats");
            assert_eq!(row.get("first_ms").is_some(), is_of_days);
        }
        assert!(pair[0].get("ratio_to_first").is_none());
        let ratio = number(&pair[1]["p50_ms"]) / number(&pair[0]["p50_ms"]);
        let said = number(&pair[1]["ratio_to_first"]);
        assert!((ratio - said).abs() < 0.001, "{pair:?}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for wrong in [
        "--clients=0",
        "--products=0",
        "--rate=0",
        "--rate=-1",
        "--replicas=0",
        "--catalogs=0",
        "--history=99",
    ] {
        let (succeeded, said) = bench(&[wrong]);
        assert!(!succeeded && said.contains("must be"), "{said}");
    }
    // Apart there is one for each order service.
    let (succeeded, said) = bench(&["--catalogs=2", "--replicas=2", "--apart"]);
    assert!(!succeeded && said.contains("cannot be used"), "{said}");
}
