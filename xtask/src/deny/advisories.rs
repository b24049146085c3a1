//! The advisories of Rust's advisory database for the locked crates: made from a checkout, committed, and asked in every run.
//!
//! No run needs the network. An extract that is old, or that was made before a crate was added, is a remark; an advisory that
//! applies to a locked version is a failure.

use super::{Package, locked};
use crate::root;
use semver::VersionReq;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// Where the extract is, below the root.
const FILE: &str = "deny/advisories.json";

/// How old the database's newest entry may be before a run says so, in days.
const FRESH_DAYS: i64 = 60;

/// What is committed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Extract {
    /// The database.
    source: String,
    /// Its commit.
    commit: String,
    /// The commit's date, `YYYY-MM-DD`.
    date: String,
    /// The crates that were looked for.
    crates: BTreeSet<String>,
    /// What is known of them.
    advisories: Vec<Advisory>,
}

/// One advisory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Advisory {
    package: String,
    id: String,
    title: String,
    date: String,
    /// `unmaintained`, `unsound` or `notice`; nothing for a vulnerability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    informational: Option<String>,
    patched: Vec<VersionReq>,
    unaffected: Vec<VersionReq>,
}

/// The head of an advisory's file.
#[derive(Deserialize)]
struct File {
    advisory: Head,
    #[serde(default)]
    versions: Versions,
}

#[derive(Deserialize)]
struct Head {
    id: String,
    package: String,
    date: String,
    informational: Option<String>,
    withdrawn: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Versions {
    patched: Vec<VersionReq>,
    unaffected: Vec<VersionReq>,
}

/// Today, UTC.
pub(crate) fn today() -> Date {
    OffsetDateTime::now_utc().date()
}

/// The committed extract.
pub(crate) fn read(root: &Path) -> Result<Extract, String> {
    let text = fs::read_to_string(root.join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}"))
}

/// `cargo xtask advisories DIRECTORY`: makes the extract from a clone of the database.
pub(crate) fn write(database: &Path) -> Result<(), String> {
    let crates: BTreeSet<String> = locked()?.into_iter().map(|package| package.name).collect();
    let head = git(database, &["log", "-1", "--format=%H %cs"])?;
    let (commit, date) = head.trim().split_once(' ').ok_or("the database has no commit")?;
    let paths = git(database, &["ls-tree", "-r", "--name-only", "HEAD", "crates/"])?;
    let mut advisories = Vec::new();
    for path in paths.lines().filter(|path| of_crate(path).is_some_and(|name| crates.contains(name))) {
        let text = git(database, &["show", &format!("HEAD:{path}")])?;
        advisories.extend(parse(&text).map_err(|reason| format!("{path}: {reason}"))?);
    }
    advisories.sort_by(|one, other| (&one.package, &one.id).cmp(&(&other.package, &other.id)));
    let extract = Extract {
        source: "https://github.com/RustSec/advisory-db".to_owned(),
        commit: commit.to_owned(),
        date: date.to_owned(),
        crates,
        advisories,
    };
    let mut text = serde_json::to_string_pretty(&extract).map_err(|error| error.to_string())?;
    text.push('\n');
    fs::write(root().join(FILE), text).map_err(|error| format!("{FILE}: {error}"))
}

fn git(database: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut git = Command::new("git");
    let output = git.arg("-C").arg(database).args(arguments).output().map_err(|error| format!("git: {error}"))?;
    if !output.status.success() {
        return Err(format!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

/// `crates/NAME/RUSTSEC-….md`.
fn of_crate(path: &str) -> Option<&str> {
    let (name, file) = path.strip_prefix("crates/")?.split_once('/')?;
    Path::new(file).extension().is_some_and(|extension| extension == "md").then_some(name)
}

/// An advisory's file: TOML in a fence, then Markdown whose first heading is the title. Nothing if it was withdrawn.
fn parse(text: &str) -> Result<Option<Advisory>, String> {
    let (_, rest) = text.split_once("```toml\n").ok_or("it has no TOML")?;
    let (head, prose) = rest.split_once("```").ok_or("its TOML does not end")?;
    let File { advisory, versions } = toml::from_str(head).map_err(|error| error.to_string())?;
    if advisory.withdrawn.is_some() {
        return Ok(None);
    }
    let title = prose.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default().trim().to_owned();
    let Head { id, package, date, informational, .. } = advisory;
    let Versions { patched, unaffected } = versions;
    Ok(Some(Advisory { package, id, title, date, informational, patched, unaffected }))
}

impl Advisory {
    fn applies_to(&self, package: &Package) -> bool {
        let fits = |ranges: &[VersionReq]| ranges.iter().any(|range| range.matches(&package.version));
        self.package == package.name && !fits(&self.patched) && !fits(&self.unaffected)
    }
}

impl Extract {
    /// Advisories that apply to a locked version, one line each; and ids that are ignored for nothing.
    pub(super) fn hits(&self, packages: &[Package], ignored: &[&str]) -> Vec<String> {
        let mut hits = Vec::new();
        let mut used = BTreeSet::new();
        for advisory in &self.advisories {
            for package in packages.iter().filter(|package| advisory.applies_to(package)) {
                if ignored.contains(&advisory.id.as_str()) {
                    used.insert(advisory.id.as_str());
                    continue;
                }
                let kind = advisory.informational.as_deref().unwrap_or("vulnerability");
                let Advisory { id, title, .. } = advisory;
                hits.push(format!("{} {}: {id} ({kind}): {title}", package.name, package.version));
            }
        }
        let idle = ignored.iter().filter(|id| !used.contains(*id));
        hits.extend(idle.map(|id| format!("{id} is ignored in deny.toml, but applies to nothing")));
        hits
    }

    /// Why the extract should be made again.
    pub(super) fn remarks(&self, packages: &[Package], today: Date) -> Vec<String> {
        let again = "make it again: cargo xtask advisories DIRECTORY (deny/README.md)";
        let mut remarks = Vec::new();
        match Date::parse(&self.date, format_description!("[year]-[month]-[day]")) {
            Ok(date) if (today - date).whole_days() > FRESH_DAYS => {
                remarks.push(format!("{FILE} is of {date}, more than {FRESH_DAYS} days ago; {again}"));
            }
            Ok(_) => {}
            Err(error) => remarks.push(format!("{FILE} has no date: {error}; {again}")),
        }
        let unknown: BTreeSet<_> =
            packages.iter().map(|package| package.name.as_str()).filter(|name| !self.crates.contains(*name)).collect();
        if !unknown.is_empty() {
            let list: Vec<_> = unknown.into_iter().collect();
            remarks.push(format!("{FILE} was made before these crates were added: {}; {again}", list.join(", ")));
        }
        remarks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    const TEXT: &str = "```toml\n[advisory]\nid = \"RUSTSEC-2023-0071\"\npackage = \"rsa\"\ndate = \"2023-11-22\"\n\
        [versions]\npatched = [\">= 0.9.9\"]\nunaffected = [\"< 0.3\"]\n```\n\n# Marvin Attack: key recovery\n\nMore.\n";

    fn package(name: &str, version: &str) -> Package {
        Package { name: name.to_owned(), version: version.parse().unwrap(), license: None, source: None }
    }

    fn extract() -> Extract {
        let advisories = parse(TEXT).unwrap().into_iter().collect();
        let crates = BTreeSet::from(["rsa".to_owned()]);
        Extract { source: String::new(), commit: String::new(), date: "2026-01-01".to_owned(), crates, advisories }
    }

    #[test]
    fn an_advisory_that_applies_to_a_locked_version_is_a_hit() {
        for (name, version, is_hit) in
            [("rsa", "0.9.8", true), ("rsa", "0.9.9", false), ("rsa", "0.2.9", false), ("other", "0.9.8", false)]
        {
            let hits = extract().hits(&[package(name, version)], &[]);
            assert_eq!(!hits.is_empty(), is_hit, "{name} {version}: {hits:?}");
        }
        let hits = extract().hits(&[package("rsa", "0.9.8")], &[]);
        assert_eq!(hits, ["rsa 0.9.8: RUSTSEC-2023-0071 (vulnerability): Marvin Attack: key recovery"]);
        assert_eq!(extract().hits(&[package("rsa", "0.9.8")], &["RUSTSEC-2023-0071"]), [""; 0]);
        let idle = extract().hits(&[], &["RUSTSEC-2023-0071"]);
        assert!(idle[0].contains("applies to nothing"), "{idle:?}");
    }

    #[test]
    fn a_withdrawn_advisory_is_none_and_a_file_that_is_not_one_is_refused() {
        let withdrawn = TEXT.replace("[versions]", "withdrawn = \"2024-01-01\"\n[versions]");
        assert_eq!(parse(&withdrawn).unwrap(), None);
        assert!(parse("# no head").is_err() && parse("```toml\n[advisory\n```").is_err());
    }

    #[test]
    fn an_old_extract_and_one_that_knows_too_few_crates_are_worth_a_remark() {
        let known = [package("rsa", "1.0.0")];
        assert_eq!(extract().remarks(&known, date!(2026 - 03 - 02)), [""; 0]);
        let old = extract().remarks(&known, date!(2026 - 03 - 03));
        assert!(old.len() == 1 && old[0].contains("more than 60 days ago"), "{old:?}");
        let few = extract().remarks(&[package("new", "1.0.0")], date!(2026 - 01 - 02));
        assert!(few.len() == 1 && few[0].contains("before these crates were added: new"), "{few:?}");
    }

    #[test]
    fn the_extract_is_made_from_a_clone_of_the_database() {
        let database = tempfile::tempdir().unwrap();
        let place = database.path().join("crates/rsa");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("RUSTSEC-2023-0071.md"), TEXT).unwrap();
        assert_eq!(of_crate("crates/rsa/RUSTSEC-2023-0071.md"), Some("rsa"));
        assert_eq!((of_crate("rust/std/CVE.md"), of_crate("crates/rsa/notes.txt")), (None, None));
        for arguments in [
            &["init", "-q"][..],
            &["add", "."],
            &["-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "all"],
        ] {
            git(database.path(), arguments).unwrap();
        }
        let paths = git(database.path(), &["ls-tree", "-r", "--name-only", "HEAD", "crates/"]).unwrap();
        let text = git(database.path(), &["show", &format!("HEAD:{}", paths.trim())]).unwrap();
        assert_eq!(parse(&text).unwrap().unwrap().title, "Marvin Attack: key recovery");
    }
}
