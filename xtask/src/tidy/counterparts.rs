//! docs/emulator.md names the versions that the emulator is tested with.
//!
//! Its table is compared with the files of tests/real that pin them. Each of these files is in the table, and a suite uses it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The page, and the heading that the table is below.
const PAGE: &str = "docs/emulator.md";
const HEADING: &str = "## Tested with";

/// Where the suites and the files with the versions are.
const SUITES: &str = "tests/real";

/// The files that pin packages for Node, below [`SUITES`].
const NODE: [&str; 3] = ["node/package.json", "acp/package.json", "mcp/package.json"];

/// Where the table and the environments differ.
pub(super) fn check(root: &Path) -> Result<Vec<String>, String> {
    let read = |path: &str| fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"));
    let mut pinned = BTreeMap::new();
    let mut suites = String::new();
    for entry in fs::read_dir(root.join(SUITES)).map_err(|error| format!("{SUITES}: {error}"))? {
        let name = entry.map_err(|error| error.to_string())?.file_name().to_string_lossy().into_owned();
        if name.starts_with("requirements-") {
            let text = read(&format!("{SUITES}/{name}"))?;
            let pins = text.lines().filter_map(|line| line.split_once("=="));
            pinned.insert(name, pins.map(|(name, version)| (name.to_owned(), version.trim().to_owned())).collect());
        } else if Path::new(&name).extension().is_some_and(|extension| extension == "py") {
            suites.push_str(&read(&format!("{SUITES}/{name}"))?);
        }
    }
    for file in NODE {
        pinned.insert(file.to_owned(), node_pins(file, &read(&format!("{SUITES}/{file}"))?)?);
    }
    Ok(compare(&read(PAGE)?, &pinned, &suites))
}

/// Names and versions of packages.
type Pins = BTreeMap<String, String>;

/// The dependencies in a package.json.
fn node_pins(file: &str, text: &str) -> Result<Pins, String> {
    #[derive(serde::Deserialize)]
    struct Package {
        dependencies: Pins,
    }
    serde_json::from_str(text).map(|package: Package| package.dependencies).map_err(|error| format!("{file}: {error}"))
}

fn compare(page: &str, pinned: &BTreeMap<String, Pins>, suites: &str) -> Vec<String> {
    let table = page.split_once(HEADING).map_or("", |(_, rest)| rest);
    let rows = table.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
    let mut broken = Vec::new();
    let mut named = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let &[counterpart, packages, file] = cells.as_slice() else {
            broken.push(format!("{PAGE}: a row of \"{HEADING}\" does not have three columns: {row}"));
            continue;
        };
        let file = file.trim_matches('`');
        named.push(file);
        let Some(pins) = pinned.get(file) else {
            broken.push(format!("{PAGE}: {counterpart}: there is no {SUITES}/{file}"));
            continue;
        };
        for package in packages.split(", ") {
            let (name, version) = package.split_once(' ').unwrap_or((package, ""));
            match pins.get(name.trim_matches('`')) {
                Some(pin) if pin == version => {}
                Some(pin) => {
                    broken.push(format!("{PAGE}: {counterpart}: {name} is {pin} in {file}, not \"{version}\""));
                }
                None => broken.push(format!("{PAGE}: {counterpart}: {name} is not in {file}")),
            }
        }
    }
    for file in pinned.keys() {
        if !named.contains(&file.as_str()) {
            broken.push(format!("{PAGE}: no row of \"{HEADING}\" names {file}"));
        }
        let environment = file.strip_prefix("requirements-").and_then(|name| name.strip_suffix(".txt"));
        let environment = environment.unwrap_or("node");
        // As the environment of agents, or of the tests themselves.
        if !suites.contains(&format!("\"{environment}\"")) && !suites.contains(&format!("'{environment}'")) {
            broken.push(format!("{SUITES}/{file}: no suite uses it"));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rows: &str) -> Vec<String> {
        let pins = |name: &str, version: &str| Pins::from([(name.to_owned(), version.to_owned())]);
        let pinned = BTreeMap::from([
            ("requirements-a.txt".to_owned(), pins("one", "1.0")),
            (NODE[0].to_owned(), pins("@two/two", "2.0")),
        ]);
        let page =
            format!("# Page\n\n| not | this |\n\n{HEADING}\n\nText.\n\n| a | b | c |\n|---|---|---|\n{rows}\nMore.\n");
        compare(&page, &pinned, "Suite(\"a\") 'node'")
    }

    #[test]
    fn each_difference_is_seen() {
        let node = "| Node | `@two/two` 2.0 | `node/package.json` |\n";
        assert_eq!(found(&format!("| A | `one` 1.0 | `requirements-a.txt` |\n{node}")), Vec::<String>::new());
        for (row, says) in [
            ("| A | `one` 1.1 | `requirements-a.txt` |\n", "`one` is 1.0 in requirements-a.txt, not \"1.1\""),
            ("| A | `one` | `requirements-a.txt` |\n", "not \"\""),
            ("| A | `three` 1.0 | `requirements-a.txt` |\n", "`three` is not in requirements-a.txt"),
            ("| A | `one` 1.0 | `requirements-b.txt` |\n", "no tests/real/requirements-b.txt"),
            ("| A | `one` 1.0 |\n", "three columns"),
            ("", "names requirements-a.txt"),
        ] {
            let broken = found(&format!("{row}{node}"));
            assert!(broken.iter().any(|line| line.contains(says)), "{row}: {broken:?}");
        }
    }

    #[test]
    fn an_environment_that_no_suite_uses_is_seen() {
        let pinned = BTreeMap::from([("requirements-lost.txt".to_owned(), Pins::new())]);
        let broken = compare("", &pinned, "nothing");
        assert!(broken.iter().any(|line| line.ends_with("no suite uses it")), "{broken:?}");
    }
}
