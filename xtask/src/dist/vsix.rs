//! The VS Code package with the programs in it.

use super::{Release, VERSION, succeed};
use crate::root;
use std::process::Command;

/// Builds `cupola-PLATFORM-VERSION.vsix`.
pub(super) fn build(release: &Release) -> Result<(), String> {
    let target = release.platform.node_name();
    let package = release.out.join(format!("cupola-{target}-{VERSION}.vsix"));
    let mut node = Command::new("node");
    node.arg("clients/vscode/scripts/package.mjs").args(["--target", &target, "--binary"]);
    succeed(node.arg(&release.contents.programs[0]).arg("--out").arg(package).current_dir(root()))
}
