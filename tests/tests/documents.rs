//! What the documents promise is there.

use std::{fs, path::Path};

/// Every bullet of docs/security.md names tests that exist, or says why there is none, and every attack of its table has its test.
#[test]
fn every_test_that_the_security_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let bullets: Vec<_> = page
        .split("\n- ")
        .skip(1)
        .map(|rest| rest.split("\n\n").next().unwrap())
        .collect();
    assert!(bullets.len() > 20);
    let mut wrong = Vec::new();
    for bullet in bullets {
        let named: Vec<_> = bullet
            .split('`')
            .filter_map(|word| word.split_once(".rs::"))
            .collect();
        if named.is_empty() && !bullet.contains("no test") {
            wrong.push(format!("no test, and no reason why: {bullet}"));
        }
        for (file, test) in named {
            let path = format!("{file}.rs");
            let source = fs::read_to_string(root.join(&path)).unwrap_or_default();
            if !is_test(&source, test) {
                wrong.push(format!("{path} has no test {test}"));
            }
        }
    }
    let attacks = fs::read_to_string(root.join("gateway/tests/hostile/main.rs")).unwrap();
    let rows = page
        .lines()
        .filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | "));
    for test in rows.flat_map(|(_, tests)| tests.split('`').skip(1).step_by(2)) {
        if !is_test(&attacks, test) {
            wrong.push(format!("no attack is called {test}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
