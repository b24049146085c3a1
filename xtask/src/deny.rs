//! Dependencies as `deny.toml` wants them: licences, banned crates, one version of each, crates.io only, no advisory.
//!
//! `deny.toml` has cargo-deny's format, so that program can be run as well; it is not needed. Building it takes longer than
//! all other checks together, and its one packaged binary cannot read what today's cargo prints. Here are the tables that this
//! project uses, and a key that is not understood is an error.
//!
//! - here: what is locked, and what `deny.toml` says of it
//! - [`advisories`]: the committed extract of Rust's advisory database

pub(crate) mod advisories;

use crate::lint::cargo_in_root;
use crate::root;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;

/// Where crates may come from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// `deny.toml`, as far as this project uses it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
    #[serde(rename = "sources")]
    _sources: Sources,
    #[serde(default)]
    advisories: Advisories,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Licenses {
    /// SPDX ids; one of them must satisfy each crate's expression.
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bans {
    #[serde(rename = "multiple-versions")]
    _multiple_versions: Deny,
    #[serde(default)]
    deny: Vec<Named>,
    /// Versions that may be there beside another one of the same crate.
    #[serde(default)]
    skip: Vec<Named>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sources {
    #[serde(rename = "unknown-registry")]
    _unknown_registry: Deny,
    #[serde(rename = "unknown-git")]
    _unknown_git: Deny,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advisories {
    /// Advisories that do not concern this project.
    #[serde(default)]
    ignore: Vec<Ignored>,
}

/// The one level that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Deny {
    Deny,
}

/// A crate, `name` or `name@version`, and why it is named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// An advisory's id, and why it is ignored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ignored {
    id: String,
    reason: String,
}

/// A crate of the lock file, for every system.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: semver::Version,
    license: Option<String>,
    /// `None` for a crate of this workspace.
    source: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// What is locked.
pub(crate) fn locked() -> Result<Vec<Package>, String> {
    let mut cargo = cargo_in_root(&["metadata", "--format-version", "1", "--locked"]);
    let output = cargo.output().map_err(|error| format!("cargo does not start: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    Ok(metadata.packages)
}

/// Whether the dependencies keep the rules. Prints what is only worth a remark.
pub(crate) fn check() -> Result<(), String> {
    let text = fs::read_to_string(root().join("deny.toml")).map_err(|error| format!("deny.toml: {error}"))?;
    let rules: Rules = toml::from_str(&text).map_err(|error| format!("deny.toml: {error}"))?;
    let packages = locked()?;
    let mut broken = broken(&rules, &packages);
    let extract = advisories::read(&root())?;
    for remark in extract.remarks(&packages, advisories::today()) {
        println!("   remark: {remark}");
    }
    let ignored: Vec<_> = rules.advisories.ignore.iter().map(|ignored| ignored.id.as_str()).collect();
    broken.extend(extract.hits(&packages, &ignored));
    if broken.is_empty() { Ok(()) } else { Err(format!("\n   {}", broken.join("\n   "))) }
}

/// Everything that breaks a rule, one line each.
fn broken(rules: &Rules, packages: &[Package]) -> Vec<String> {
    let mut broken = Vec::new();
    for package in packages {
        let shown = format!("{} {}", package.name, package.version);
        if let Some(reason) = refused_license(package, &rules.licenses.allow) {
            broken.push(format!("{shown}: {reason}; see [licenses] in deny.toml"));
        }
        if let Some(ban) = rules.bans.deny.iter().find(|ban| is_meant(ban, package)) {
            broken.push(format!("{shown} is banned: {}", ban.reason));
        }
        if let Some(source) = package.source.as_ref().filter(|source| *source != CRATES_IO) {
            broken.push(format!("{shown} comes from {source}; only crates.io is allowed"));
        }
    }
    broken.extend(duplicates(&rules.bans.skip, packages));
    let reasons = rules.bans.deny.iter().chain(&rules.bans.skip).map(|named| (&named.name, &named.reason));
    let reasons = reasons.chain(rules.advisories.ignore.iter().map(|ignored| (&ignored.id, &ignored.reason)));
    broken.extend(
        reasons
            .filter(|(_, reason)| reason.trim().is_empty())
            .map(|(name, _)| format!("{name} has no reason in deny.toml")),
    );
    broken
}

/// Crates with several versions, of which more than one is not excused; and excuses that are not needed.
fn duplicates(skip: &[Named], packages: &[Package]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    for package in packages {
        versions.entry(&package.name).or_default().push(package);
    }
    let mut broken = Vec::new();
    for (name, found) in &versions {
        let unexcused: Vec<_> =
            found.iter().filter(|package| !skip.iter().any(|skip| is_meant(skip, package))).collect();
        if unexcused.len() > 1 {
            let list: Vec<_> = unexcused.iter().map(|package| package.version.to_string()).collect();
            broken
                .push(format!("{name} is there in several versions: {}; see bans.skip in deny.toml", list.join(", ")));
        }
    }
    for skip in skip {
        let is_needed =
            versions.values().any(|found| found.len() > 1 && found.iter().any(|package| is_meant(skip, package)));
        if !is_needed {
            broken.push(format!("{} in bans.skip of deny.toml is no longer a duplicate", skip.name));
        }
    }
    broken
}

fn is_meant(named: &Named, package: &Package) -> bool {
    match named.name.split_once('@') {
        Some((name, version)) => name == package.name && version == package.version.to_string(),
        None => named.name == package.name,
    }
}

/// Why a licence is not one that is allowed.
fn refused_license(package: &Package, allowed: &[String]) -> Option<String> {
    let Some(license) = &package.license else { return Some("it names no license".to_owned()) };
    // Old crates write `MIT/Apache-2.0`.
    let expression = match spdx::Expression::parse_mode(license, spdx::ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => return Some(format!("its license {license:?} is not understood: {}", error.reason)),
    };
    let is_allowed =
        expression.evaluate(|requirement| allowed.iter().any(|allowed| *allowed == requirement.to_string()));
    (!is_allowed).then(|| format!("its license {license:?} is not allowed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, license: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: version.parse().unwrap(),
            license: license.map(str::to_owned),
            source: Some(CRATES_IO.to_owned()),
        }
    }

    fn rules(bans: &str) -> Rules {
        toml::from_str(&format!(
            "[licenses]\nallow = [\"MIT\", \"Apache-2.0 WITH LLVM-exception\"]\n[bans]\nmultiple-versions = \"deny\"\n{bans}\n\
             [sources]\nunknown-registry = \"deny\"\nunknown-git = \"deny\"\n"
        ))
        .unwrap()
    }

    #[test]
    fn the_locked_dependencies_keep_the_rules() {
        check().unwrap();
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        let bans =
            "deny = [{ crate = \"rsa\", reason = \"leaks\" }]\nskip = [{ crate = \"old@1.0.0\", reason = \"why\" }]";
        let mut stranger = package("stranger", "1.0.0", Some("MIT"));
        stranger.source = Some("git+https://example.com/x".to_owned());
        let old = || package("old", "1.0.0", Some("MIT"));
        for (packages, expected) in [
            (vec![package("a", "1.0.0", Some("MIT/Apache-2.0")), old(), package("old", "2.0.0", Some("MIT"))], None),
            (vec![package("a", "1.0.0", Some("Apache-2.0 WITH LLVM-exception"))], Some("no longer a duplicate")),
            (vec![package("a", "1.0.0", Some("GPL-3.0-only"))], Some("license \"GPL-3.0-only\" is not allowed")),
            (vec![package("a", "1.0.0", Some("MIT AND GPL-3.0-only"))], Some("is not allowed")),
            (vec![package("a", "1.0.0", None)], Some("names no license")),
            (vec![package("a", "1.0.0", Some("mine"))], Some("is not understood")),
            (vec![package("rsa", "0.9.0", Some("MIT"))], Some("rsa 0.9.0 is banned: leaks")),
            (vec![stranger], Some("only crates.io is allowed")),
            (
                vec![old(), package("old", "2.0.0", Some("MIT")), package("old", "3.0.0", Some("MIT"))],
                Some("old is there in several versions: 2.0.0, 3.0.0"),
            ),
        ] {
            let broken = broken(&rules(bans), &packages);
            match expected {
                None => assert_eq!(broken, [""; 0]),
                Some(expected) => assert!(broken.iter().any(|line| line.contains(expected)), "{expected}: {broken:?}"),
            }
        }
        let unreasoned = rules("skip = [{ crate = \"old@1.0.0\", reason = \" \" }]");
        let found = broken(&unreasoned, &[old(), package("old", "2.0.0", Some("MIT"))]);
        assert_eq!(found, ["old@1.0.0 has no reason in deny.toml"]);
    }
}
