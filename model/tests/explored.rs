//! The protocol, with all its rules, in all runs of some sizes.

use std::{
    collections::{BTreeSet, HashSet},
    io::{Write, stderr},
};

use orderflow_model::{Model, explore::explore, invariants::SIGHTS, tables};

#[test]
fn in_all_small_runs_everything_holds() {
    let (mut seen, mut made) = (BTreeSet::new(), HashSet::new());
    let table = tables::sizes(|name, size| {
        let explored = explore(&Model::new(size), 5_000_000, |_| {});
        // Past the test runner, which keeps to itself what a test prints that passes.
        let _ = writeln!(
            stderr(),
            "{name}: {} states, {} steps away",
            explored.states,
            explored.depth
        );
        assert_eq!(explored.violation, None, "{name}");
        assert!(!explored.is_cut, "{name} has more states than that");
        seen.extend(explored.seen.iter().copied());
        made.extend(explored.made.iter().copied());
        explored
    });
    // All kinds but the three that take a rule that is off.
    assert_eq!(made.len(), 24);
    for (sight, _) in SIGHTS {
        assert!(seen.contains(sight), "no run in which {sight}");
    }
    let page = include_str!("../../docs/orders.md");
    assert!(
        page.contains(&table),
        "docs/orders.md needs this table:\n{table}"
    );
}
