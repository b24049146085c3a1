//! The npm packages: `@cupola/cli`, which people install, and the package with the programs for one platform, which npm chooses.

use super::platform::PLATFORMS;
use super::template::fill_file;
use super::{Release, VERSION, copy, succeed};
use crate::root;
use serde_json::{Map, Value};
use std::path::Path;
use std::process::Command;

/// Builds both.
pub(super) fn build(release: &Release) -> Result<(), String> {
    let cli = release.stage.join("npm/cli");
    fill_file("npm/cli/package.json", &[("VERSION", VERSION), ("PLATFORMS", &platforms())], &cli.join("package.json"))?;
    for file in ["README.md", "bin/cupola.js"] {
        copy(&root().join("packaging/npm/cli").join(file), &cli.join(file))?;
    }
    let platform = release.stage.join("npm/platform");
    let (os, cpu) = release.platform.node;
    let values = [("VERSION", VERSION), ("PLATFORM", &release.platform.node_name()), ("OS", os), ("CPU", cpu)];
    fill_file("npm/platform/package.json", &values, &platform.join("package.json"))?;
    release.contents.copy_programs(&platform.join("bin"))?;
    for package in [&cli, &platform] {
        copy(&release.contents.license, &package.join("LICENSE"))?;
        pack(package, &release.out)?;
    }
    Ok(())
}

/// The packages that npm chooses from, as the member of `package.json`.
fn platforms() -> String {
    let packages = PLATFORMS.iter().map(|platform| (format!("@cupola/cli-{}", platform.node_name()), VERSION.into()));
    Value::Object(packages.collect::<Map<_, _>>()).to_string()
}

fn pack(package: &Path, out: &Path) -> Result<(), String> {
    succeed(Command::new("npm").args(["pack", "--loglevel=error", "--pack-destination"]).arg(out).current_dir(package))
}
