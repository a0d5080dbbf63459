//! What the documents promise is there.

use std::{fs, path::Path};

/// Every bullet of these pages names tests that exist, or says why there is none.
#[test]
fn every_test_that_a_page_names_exists() {
    let mut wrong = Vec::new();
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
            if named.is_empty() && !bullet.contains("no test") {
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
