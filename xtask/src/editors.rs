//! Clients that run in editors of the terminal: Neovim, the oldest that is supported and the newest that can be had.

use crate::root;
use crate::steps::Steps;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Neovim plugin's tests, which run in the editor itself.
const NEOVIM_TESTS: &str = "clients/neovim/tests/run.lua";
/// The newest Neovim there is as a Python package; it holds the program and no Python code that we use.
const NEWEST_NEOVIM: &str = "clients/neovim/tests/requirements.txt";
/// Where it is installed, below the root.
const NEOVIM_ENVIRONMENT: &str = "target/neovim";

/// Runs all of it with this `cupola`.
pub(crate) fn suites(steps: &mut Steps, binary: &str) {
    neovim(steps, "neovim of the system", Path::new("nvim"), binary);
    match newest_neovim() {
        Ok(program) => neovim(steps, "newest neovim", &program, binary),
        Err(reason) => steps.skip(&format!("{NEOVIM_TESTS} in the newest neovim"), &reason),
    }
}

fn neovim(steps: &mut Steps, name: &str, program: &Path, binary: &str) {
    if let Err(error) = Command::new(program).arg("--version").output() {
        steps.skip(&format!("{NEOVIM_TESTS} in the {name}"), &format!("nvim does not start: {error} (Debian: neovim)"));
        return;
    }
    let mut command = Command::new(program);
    command.args(["--headless", "-u", "NONE", "-i", "NONE", "-c", &format!("luafile {NEOVIM_TESTS}")]);
    command.current_dir(root()).env("CUPOLA_BINARY", root().join(binary));
    steps.tests(command);
}

/// Installs it, which takes no network when it is there.
fn newest_neovim() -> Result<PathBuf, String> {
    let environment = root().join(NEOVIM_ENVIRONMENT);
    if !environment.join("bin/python").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let mut install = Command::new(environment.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]);
    run(install.args(["--requirement", NEWEST_NEOVIM]).current_dir(root()))?;
    Ok(environment.join("bin/nvim"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program}: {status}")),
        Err(error) => Err(format!("{program} does not start: {error}")),
    }
}
