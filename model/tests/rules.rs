//! Each rule that the model can do without, switched off.

use clap::ValueEnum;
use orderflow_model::{
    Model,
    explore::explore,
    rules::Rule,
    tables::{self, RULES, Stance},
};

#[test]
fn without_any_rule_something_no_longer_holds() {
    for rule in Rule::value_variants() {
        let off = tables::without(*rule);
        let (invariant, way) = off
            .violation
            .unwrap_or_else(|| panic!("{rule:?} is not missed"));
        println!("{rule:?}: {invariant} after {} steps", way.len());
        way.iter().for_each(|step| println!("    {step}"));

        let kept = explore(&Model::new(rule.size()), 1_000_000, |_| {});
        assert_eq!((kept.violation, kept.is_cut), (None, false), "{rule:?}");
    }
}

#[test]
fn the_page_says_how_the_model_stands_to_every_rule() {
    for rule in Rule::value_variants() {
        let is_listed = |stance| matches!(stance, Stance::Shows(shown) if shown == *rule);
        assert!(
            RULES.iter().any(|(_, _, stance)| is_listed(*stance)),
            "{rule:?}"
        );
    }
    let table = tables::rules();
    let page = include_str!("../../docs/orders.md");
    assert!(
        page.contains(&table),
        "docs/orders.md needs this table:\n{table}"
    );
}
