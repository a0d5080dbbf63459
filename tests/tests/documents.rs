//! What the documents promise is there.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

/// Every bullet of these pages names tests that exist, or scenarios of the ordeal, or says why there is none.
#[test]
fn every_test_that_a_page_names_exists() {
    let mut wrong = Vec::new();
    let scenarios = scenarios();
    for (page, at_least) in [("docs/security.md", 20), ("docs/reliability.md", 10)] {
        let text = read(page);
        let bullets: Vec<_> = text
            .split("\n- ")
            .skip(1)
            .map(|rest| rest.split("\n\n").next().unwrap())
            .collect();
        assert!(bullets.len() > at_least, "{page}");
        for bullet in bullets {
            let named: Vec<_> = bullet
                .split('`')
                .filter_map(|word| word.split_once(".rs::"))
                .collect();
            let played: Vec<_> = scenarios_in(bullet).collect();
            let unknown = played.iter().filter(|name| !scenarios.contains(name));
            wrong.extend(unknown.map(|name| format!("{page}: the ordeal has no scenario {name}")));
            if named.is_empty() && played.is_empty() && !bullet.contains("no test") {
                wrong.push(format!("{page}: no test, and no reason why: {bullet}"));
            }
            for (file, test) in named {
                let path = format!("{file}.rs");
                if !is_test(&read(&path), test) {
                    wrong.push(format!("{page}: {path} has no test {test}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every attack of the security page's table has its test.
#[test]
fn every_attack_that_the_security_page_names_exists() {
    let attacks = read("gateway/tests/hostile/main.rs");
    let page = read("docs/security.md");
    let rows = page
        .lines()
        .filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | "));
    let named = rows.flat_map(|(_, tests)| tests.split('`').skip(1).step_by(2));
    let missing: Vec<_> = named.filter(|test| !is_test(&attacks, test)).collect();
    assert!(missing.is_empty(), "no attack is called {missing:?}");
}

/// Every scenario of the ordeal stands for some line of the page.
#[test]
fn every_scenario_of_the_ordeal_proves_something() {
    let page = read("docs/reliability.md");
    let named: Vec<_> = scenarios_in(&page).collect();
    let scenarios = scenarios();
    assert!(scenarios.len() > 10);
    let idle: Vec<_> = scenarios.iter().filter(|s| !named.contains(s)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}

/// As they are chosen: `primary-killed`.
fn scenarios() -> Vec<String> {
    let source = read("tests/src/bin/ordeal/scenario.rs");
    let variants = source.split("enum Scenario {").nth(1).unwrap_or_default();
    let variants = variants.split("\n}").next().unwrap_or_default().lines();
    let kebab = |variant: &str| {
        let parts = variant.char_indices().map(|(i, c)| match c {
            c if c.is_uppercase() && i > 0 => format!("-{}", c.to_lowercase()),
            c => c.to_lowercase().to_string(),
        });
        parts.collect()
    };
    let names = variants.filter_map(|line| line.trim().strip_suffix(','));
    names.map(kebab).collect()
}

fn scenarios_in(text: &str) -> impl Iterator<Item = String> {
    let behind = text.split("scenario `").skip(1);
    behind.filter_map(|rest| rest.split('`').next().map(str::to_owned))
}

/// A file of the repository; nothing, if it is not there.
fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap_or_default()
}

fn is_test(source: &str, name: &str) -> bool {
    let mut before = "";
    for line in source.lines() {
        let line = line.trim();
        let function = line.strip_prefix("async ").unwrap_or(line);
        if function.starts_with(&format!("fn {name}(")) {
            return before.starts_with("#[test]") || before.starts_with("#[tokio::test");
        }
        before = line;
    }
    false
}
