//! The software bill of materials: the crates in the program, in the format `CycloneDX` 1.6. `cargo tree` says which crates and features
//! the program is built with, `cargo metadata` what each crate is.

use super::{Release, VERSION, write as write_file};
use crate::lint::cargo_in_root;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    description: Option<String>,
    /// `None` for a crate of this workspace.
    source: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

/// Writes `cupola-VERSION-TRIPLE.cdx.json`.
pub(super) fn write(release: &Release) -> Result<(), String> {
    let triple = release.platform.triple;
    let metadata = printed(&["metadata", "--format-version", "1", "--locked", "--filter-platform", triple])?;
    let metadata: Metadata = serde_json::from_str(&metadata).map_err(|error| error.to_string())?;
    let edges = ["tree", "--locked", "--package", "cupola", "--edges", "normal", "--target", triple];
    let tree = printed(&[&edges[..], &["--prefix", "none", "--format", "{p}"]].concat())?;
    let bill = bill(&metadata, &shipped(&tree));
    let text = serde_json::to_string_pretty(&bill).map_err(|error| error.to_string())?;
    write_file(&release.out.join(format!("{}.cdx.json", release.name())), text + "\n")
}

fn printed(words: &[&str]) -> Result<String, String> {
    let output = cargo_in_root(words).output().map_err(|error| format!("cargo does not start: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Name and version of each crate in the output of `cargo tree`: `name v1.2.3 (more)`.
fn shipped(tree: &str) -> BTreeSet<(String, String)> {
    let crates = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    });
    crates.collect()
}

/// The bill: the program, its crates, and which crate uses which.
fn bill(metadata: &Metadata, shipped: &BTreeSet<(String, String)>) -> Value {
    let is_shipped = |package: &&Package| shipped.contains(&(package.name.clone(), package.version.clone()));
    let packages: BTreeMap<&str, &Package> =
        metadata.packages.iter().filter(is_shipped).map(|package| (package.id.as_str(), package)).collect();
    let components: Vec<Value> =
        packages.values().filter(|package| package.name != "cupola").map(|package| package.component()).collect();
    let dependencies = metadata.resolve.nodes.iter().filter_map(|node| {
        let package = packages.get(node.id.as_str())?;
        let uses: BTreeSet<String> =
            node.dependencies.iter().filter_map(|id| packages.get(id.as_str())).map(|used| used.url()).collect();
        Some(json!({ "ref": package.url(), "dependsOn": uses }))
    });
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": format!("pkg:cargo/cupola@{VERSION}"),
                "name": "cupola",
                "version": VERSION,
                "licenses": [{ "expression": "MIT" }],
                "purl": format!("pkg:cargo/cupola@{VERSION}"),
            },
        },
        "components": components,
        "dependencies": dependencies.collect::<Vec<_>>(),
    })
}

impl Package {
    /// The package URL, which is also its reference in the bill.
    fn url(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version)
    }

    fn component(&self) -> Value {
        let mut component = json!({
            "type": "library",
            "bom-ref": self.url(),
            "name": self.name,
            "version": self.version,
            "scope": "required",
            "purl": self.url(),
        });
        if let Some(license) = &self.license {
            // Older crates write `A/B` for `A OR B`.
            component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
        }
        if let (Some(description), Some(_)) = (&self.description, &self.source) {
            component["description"] = json!(description.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        component
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_has_what_is_in_the_program_and_nothing_else() {
        let package = |name: &str| json!({ "id": format!("id-{name}"), "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0" });
        let metadata = json!({
            "packages": [package("cupola"), package("one"), package("two"), package("test-only")],
            "resolve": { "nodes": [
                { "id": "id-cupola", "dependencies": ["id-one", "id-test-only"] },
                { "id": "id-one", "dependencies": ["id-two"] },
                { "id": "id-two", "dependencies": [] },
                { "id": "id-test-only", "dependencies": [] },
            ] },
        });
        let metadata: Metadata = serde_json::from_value(metadata).unwrap();
        let tree = "cupola v1.0.0 (/home)\none v1.0.0\ntwo v1.0.0 (proc-macro)\none v1.0.0 (*)\n";
        let bill = bill(&metadata, &shipped(tree));
        let names: Vec<_> =
            bill["components"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["one", "two"]);
        assert_eq!(bill["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(bill["dependencies"][0]["dependsOn"], json!(["pkg:cargo/one@1.0.0"]));
    }
}
