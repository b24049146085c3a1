//! The tests run against what ships: a dependency has the same features in the test build as in the binary's.
//!
//! A feature that only the tests ask for would be on in the binary they run, and would have everything compiled twice.

use super::cargo_in_root;
use std::collections::{BTreeMap, BTreeSet};

/// Packages that may differ: what they add are implementations and methods that only the other package's own code uses.
const MAY_DIFFER: &[&str] = &[
    "either",
    "getrandom",
    "hashbrown",
    "lock_api",
    "num-bigint",
    "num-integer",
    "num-iter",
    "num-traits",
    "parking_lot",
];

/// What a build is made of: packages with their features.
type Features = BTreeMap<String, BTreeSet<String>>;

/// Compares the two builds.
pub(super) fn check() -> Result<(), String> {
    let ships = features(&["--package", "cupola", "--edges", "normal,build"])?;
    let tests = features(&["--workspace", "--exclude", "xtask", "--edges", "normal,build,dev"])?;
    let differences = compare(&ships, &tests);
    if differences.is_empty() { Ok(()) } else { Err(format!("\n   {}", differences.join("\n   "))) }
}

fn features(options: &[&str]) -> Result<Features, String> {
    let mut tree = cargo_in_root(&["tree", "--prefix", "none", "--format", "{p}\t{f}", "--locked"]);
    let output = tree.args(options).output().map_err(|error| format!("cargo tree does not start: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// One package a line; a procedural macro's own dependencies may come once more with other features.
fn parse(tree: &str) -> Features {
    let mut features = Features::new();
    for line in tree.lines() {
        let (package, list) = line.trim_end_matches(" (*)").split_once('\t').unwrap_or((line, ""));
        let package = package.split(" (").next().unwrap_or(package);
        let list = list.split(',').filter(|feature| !feature.is_empty()).map(str::to_owned);
        features.entry(package.to_owned()).or_default().extend(list);
    }
    features
}

fn compare(ships: &Features, tests: &Features) -> Vec<String> {
    let may_differ = |package: &str| package.split(' ').next().is_some_and(|name| MAY_DIFFER.contains(&name));
    ships
        .iter()
        .filter(|(package, _)| !may_differ(package))
        .filter_map(|(package, shipped)| {
            let tested = tests.get(package)?;
            let more: Vec<_> = tested.symmetric_difference(shipped).map(String::as_str).collect();
            (!more.is_empty()).then(|| {
                format!(
                    "{package}: the tests and the binary differ in {}; name it in the workspace's table",
                    more.join(", ")
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_that_only_the_tests_have_is_seen() {
        let ships = parse("cupola v0.1.0 (here)\t\ntokio v1.54.1\tfs,net\nhashbrown v0.17.1\t\n");
        let same = parse("cupola v0.1.0 (here)\t\ntokio v1.54.1\tfs\ntokio v1.54.1\tnet (*)\nserde v1.0.0\tstd\n");
        assert_eq!(compare(&ships, &same), Vec::<String>::new());
        let more = parse("tokio v1.54.1\tfs,net,test-util\nhashbrown v0.17.1\tdefault\n");
        assert_eq!(compare(&ships, &more).len(), 1, "hashbrown may differ");
        assert!(compare(&ships, &more)[0].contains("tokio v1.54.1: the tests and the binary differ in test-util"));
    }
}
