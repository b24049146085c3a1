//! What ARCHITECTURE.md and SECURITY.md promise: the floors they name are those of the sources, and the tests they name exist.

use super::floors::HOUSES;
use std::fs;
use std::path::Path;

/// The pages that name tests.
const PAGES: &[&str] = &["ARCHITECTURE.md", "SECURITY.md"];

/// Where a path that a page names begins, if it is one from the root.
const TREES: &[&str] = &["src/", "tests/", "fuzz/", "protocol/", "emulator/", "clients/", "xtask/"];

/// Everything in them that is not so.
pub(super) fn check(root: &Path) -> Result<Vec<String>, String> {
    let mut broken = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(root.join(page)).map_err(|error| format!("{page} cannot be read: {error}"))?;
        broken.extend(check_tests(page, &text, &|file| fs::read_to_string(root.join(file)).ok()));
        if *page == "ARCHITECTURE.md" {
            broken.extend(check_floors(&text, HOUSES[0].floors));
        }
    }
    Ok(broken)
}

/// Every `` `file.rs::name` `` is a function in that file, and every `` `file.rs` `` is there.
fn check_tests(page: &str, content: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut broken = Vec::new();
    for (number, line) in content.lines().enumerate() {
        for named in line.split('`').skip(1).step_by(2) {
            let (file, test) = named.split_once("::").map_or((named, None), |(file, test)| (file, Some(test)));
            if !super::is_rust(file) || !TREES.iter().any(|tree| file.starts_with(tree)) {
                continue;
            }
            let place = format!("{page}:{}", number + 1);
            match (read(file), test) {
                (None, _) => broken.push(format!("{place} names {file}, which does not exist")),
                (Some(code), Some(test)) if test != "tests" && !code.contains(&format!("fn {test}(")) => {
                    broken.push(format!("{place} names the test {test}, which is not in {file}"));
                }
                _ => {}
            }
        }
    }
    broken
}

/// The table of floors (`| number | room | …`) has every room on its floor, in order.
fn check_floors(text: &str, floors: &[&[&str]]) -> Vec<String> {
    let written: Vec<(usize, &str)> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            Some((cells.next()?.parse().ok()?, cells.next()?.trim_matches('`')))
        })
        .collect();
    let real: Vec<(usize, &str)> =
        floors.iter().enumerate().flat_map(|(floor, rooms)| rooms.iter().map(move |room| (floor + 1, *room))).collect();
    let missing = real.iter().filter(|row| !written.contains(row));
    let wrong = written.iter().filter(|row| !real.contains(row));
    missing
        .map(|(floor, room)| format!("ARCHITECTURE.md: the table of floors lacks {room} on floor {floor}"))
        .chain(wrong.map(|(floor, room)| format!("ARCHITECTURE.md: there is no {room} on floor {floor}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_does_not_exist_is_seen() {
        let read = |file: &str| (file == "tests/it/a.rs").then(|| "async fn a_promise_is_kept() {}".to_owned());
        let check = |line: &str| check_tests("ARCHITECTURE.md", line, &read);
        for fine in
            ["| x | `tests/it/a.rs::a_promise_is_kept` |", "| x | `tests/it/a.rs` |", "see `foo.rs` beside `foo/`"]
        {
            assert_eq!(check(fine), Vec::<String>::new(), "{fine}");
        }
        assert!(check("| x | `tests/it/a.rs::another` |")[0].contains("ARCHITECTURE.md:1 names the test another"));
        assert!(check("see `tests/it/b.rs::a`")[0].contains("tests/it/b.rs, which does not exist"));
    }

    #[test]
    fn the_table_of_floors_is_that_of_the_sources() {
        let floors: &[&[&str]] = &[&["lib"], &["rpc"], &["auth", "run"]];
        let rows = |rows: &str| check_floors(rows, floors);
        assert_eq!(rows("| 1 | `lib` |\n| 2 | `rpc` |\n| 3 | `auth` | x |\n| 3 | `run` |"), Vec::<String>::new());
        let found = rows("| 1 | `lib` |\n| 2 | `auth` |\n| 3 | `run` |");
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
