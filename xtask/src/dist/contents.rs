//! What every package contains: the programs, completions, manual pages, the licence.

use super::platform::{self, Glibc, Platform};
use super::{build, copy, succeed, write};
use crate::root;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Shells, and the name under which each looks for the completions of `cupola`.
const SHELLS: [(&str, &str); 3] = [("bash", "cupola.bash"), ("zsh", "_cupola"), ("fish", "cupola.fish")];

/// The files, laid out as they are in the archive.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) directory: PathBuf,
    /// The command that people call, and what it starts, which belongs beside it.
    pub(super) programs: [PathBuf; 2],
    pub(super) license: PathBuf,
    /// The oldest glibc that both programs run with, on Linux.
    pub(super) glibc: Option<Glibc>,
}

impl Contents {
    /// Collects them in `stage`: the command `program`, and what is beside it. Completions and manual pages are written by the program
    /// itself; one for another platform cannot run here, so this platform's own is built for that.
    pub(super) fn collect(platform: &Platform, program: &Path, stage: &Path) -> Result<Self, String> {
        let directory = stage.join(super::archive::name(platform));
        let programs = platform.programs().map(|name| directory.join(name));
        for (name, installed) in platform.programs().iter().zip(&programs) {
            copy(&program.with_file_name(name), installed)?;
        }
        let runnable = match platform::this() {
            Ok(this) if this == platform => programs[0].clone(),
            Ok(this) => build(this)?,
            Err(reason) => return Err(reason),
        };
        for (shell, name) in SHELLS {
            write(&directory.join("completions").join(name), printed(&runnable, &["completions", shell])?)?;
        }
        let manual = directory.join("man/man1");
        succeed(Command::new(&runnable).arg("man").arg(&manual))?;
        let license = directory.join("LICENSE");
        copy(&root().join("LICENSE"), &license)?;
        copy(&root().join("README.md"), &directory.join("README.md"))?;
        let newest = || programs.iter().filter_map(|program| platform::glibc_of(&fs::read(program).ok()?)).max();
        let glibc = platform.is_on("linux").then(newest).flatten();
        Ok(Self { directory, programs, license, glibc })
    }

    /// Copies both programs into a directory.
    pub(super) fn copy_programs(&self, directory: &Path) -> Result<(), String> {
        let mut programs = self.programs.iter();
        programs.try_for_each(|program| copy(program, &directory.join(program.file_name().unwrap_or_default())))
    }

    /// The completions, by shell.
    pub(super) fn completions(&self) -> [(&'static str, PathBuf); 3] {
        SHELLS.map(|(shell, name)| (shell, self.directory.join("completions").join(name)))
    }

    /// The manual pages.
    pub(super) fn pages(&self) -> Result<Vec<PathBuf>, String> {
        let directory = self.directory.join("man/man1");
        let entries = fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let mut pages: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        pages.retain(|path| path.extension() == Some(OsStr::new("1")));
        pages.sort();
        Ok(pages)
    }
}

/// What the program prints.
fn printed(program: &Path, words: &[&str]) -> Result<Vec<u8>, String> {
    let output =
        Command::new(program).args(words).output().map_err(|error| format!("{}: {error}", program.display()))?;
    if output.status.success() { Ok(output.stdout) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
