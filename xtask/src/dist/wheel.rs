//! The Python wheels: `cupola-bin` with the programs, built by hatchling from `packaging/python`, and the client package `cupola`.

use super::template::fill_file;
use super::{Release, VERSION, copy, succeed};
use crate::root;
use std::process::Command;

/// Files of the package that have no placeholder.
const PLAIN: [&str; 4] =
    ["README.md", "src/cupola_bin/__init__.py", "src/cupola_bin/__main__.py", "src/cupola_bin/py.typed"];

/// Builds both.
pub(super) fn build(release: &Release) -> Result<(), String> {
    let contents = &release.contents;
    let place = release.stage.join("python");
    let [program, daemon] = release.platform.programs();
    for file in PLAIN {
        copy(&root().join("packaging/python").join(file), &place.join(file))?;
    }
    copy(&contents.license, &place.join("LICENSE"))?;
    contents.copy_programs(&place)?;
    let values = [("VERSION", VERSION), ("PROGRAM", program), ("DAEMON", daemon)];
    fill_file("python/pyproject.toml", &values, &place.join("pyproject.toml"))?;
    let tag = release.platform.wheel_tag(contents.glibc)?;
    fill_file("python/hatch_build.py", &[("PLATFORM", &tag)], &place.join("hatch_build.py"))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "wheel", "--quiet", "--no-deps", "--disable-pip-version-check", "--wheel-dir"]);
    succeed(pip.arg(&release.out).arg(&place).arg(root().join("clients/python")))
}
