//! Clients that run in editors of the terminal: the Neovim plugin, in the system's Neovim and the newest that can be had,
//! and the pages for Emacs and Vim.

use crate::root;
use crate::steps::Steps;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// An editor that runs a file of tests.
struct Editor {
    program: &'static str,
    /// What its version must say, for those that come without what we need.
    feature: &'static str,
    /// Debian's package.
    package: &'static str,
    /// How it runs the tests, without any configuration of the user's.
    arguments: &'static [&'static str],
}

const NEOVIM: Editor = Editor {
    program: "nvim",
    feature: "NVIM",
    package: "neovim",
    arguments: &["--headless", "-u", "NONE", "-i", "NONE", "-c", "luafile clients/neovim/tests/run.lua"],
};

const EMACS: Editor = Editor {
    program: "emacs",
    feature: "Emacs",
    package: "emacs-nox",
    arguments: &["-Q", "--batch", "-l", "tests/editors/emacs.el"],
};

const VIM: Editor = Editor {
    program: "vim",
    feature: "+channel",
    package: "vim",
    arguments: &["-u", "NONE", "-i", "NONE", "-nNes", "-T", "dumb", "-S", "tests/editors/vim.vim"],
};

/// The newest Neovim there is as a Python package; it holds the program and no Python code that we use.
const NEWEST_NEOVIM: &str = "clients/neovim/tests/requirements.txt";
/// Where it is installed, below the root.
const NEOVIM_ENVIRONMENT: &str = "target/neovim";

/// Runs all of it with this `cupola`.
pub(crate) fn suites(steps: Steps<'_>, binary: &str) {
    for editor in [NEOVIM, EMACS, VIM] {
        suite(steps, &editor, PathBuf::from(editor.program), binary);
    }
    match newest_neovim() {
        Ok(program) => suite(steps, &NEOVIM, program, binary),
        Err(reason) => steps.skip("the newest Neovim", &reason),
    }
}

fn suite(steps: Steps<'_>, editor: &Editor, program: PathBuf, binary: &str) {
    let version = Command::new(&program).arg("--version").output();
    let is_usable = version.is_ok_and(|version| String::from_utf8_lossy(&version.stdout).contains(editor.feature));
    if !is_usable {
        let reason = format!("there is none with {} (Debian: {})", editor.feature, editor.package);
        return steps.skip(&program.display().to_string(), &reason);
    }
    let mut command = Command::new(program);
    command.args(editor.arguments).stdin(Stdio::null());
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
