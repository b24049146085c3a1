//! `cargo xtask dist`: builds the packages of a release, for one platform at a time, from the templates in `packaging/`.
//!
//! - [`platform`]: the platforms, and what each package system calls them
//! - [`contents`]: what every package contains: the programs, completions, manual pages, licence
//! - [`archive`]: the tarball or zip file, `debian` the Debian package, `wheel` the Python wheels, `npm` the npm packages, `vsix` the
//!   VS Code package
//! - `sbom`: the list of the crates in the program; `checksums`: the file `SHA256SUMS`
//! - [`manifests`]: what Homebrew, winget and scoop read, made from the archives of all platforms
//! - [`template`]: fills in placeholders

mod archive;
mod checksums;
mod contents;
mod debian;
mod manifests;
mod npm;
mod platform;
mod sbom;
mod template;
mod vsix;
mod wheel;

use crate::lint::cargo_in_root;
use crate::root;
use crate::steps::{Report, Steps};
use contents::Contents;
use platform::Platform;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The packages, if no other directory is named. Below the root.
const OUT: &str = "target/dist";

/// What the packages are made in. Below the root.
const STAGE: &str = "target/dist-stage";

/// The packages of `cargo xtask test`. Below the root.
const OUT_OF_TESTS: &str = "target/dist-of-tests";

/// The tests that install packages.
const INSTALL: &str = "tests/install/run.py";

/// What packages are built and tested with, beside cargo, and Debian's packages of it.
const PROGRAMS: [(&str, &str); 6] = [
    ("python3", "python3-venv"),
    ("npm", "npm"),
    ("node", "nodejs"),
    ("strip", "binutils"),
    ("dpkg-deb", "dpkg"),
    ("lintian", "lintian"),
];

/// The version of a release: that of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the command line says.
#[derive(Debug, Default)]
struct Options {
    target: Option<String>,
    binary: Option<PathBuf>,
    out: Option<PathBuf>,
    url: Option<String>,
    homepage: Option<String>,
    /// For tests: small is not worth waiting for.
    is_quick: bool,
}

/// What each package is made from, and where it goes.
#[derive(Debug)]
struct Release {
    platform: &'static Platform,
    contents: Contents,
    /// An empty directory for this run, for what is only needed to make a package.
    stage: PathBuf,
    out: PathBuf,
    is_quick: bool,
}

/// Builds the packages of one platform, or with `manifests` what is made from the archives of all platforms.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let (is_manifests, words) = match words {
        ["manifests", words @ ..] => (true, words),
        words => (false, words),
    };
    let options = match Options::parse(words) {
        Ok(options) => options,
        Err(reason) => {
            eprintln!("error: {reason}");
            return ExitCode::from(2);
        }
    };
    let report = Report::default();
    let steps = report.lane("");
    let out = options.out.clone().unwrap_or_else(|| root().join(OUT));
    if is_manifests {
        steps.check("manifests", || manifests::write(&out, options.url.as_deref(), options.homepage.as_deref()));
    } else {
        steps.check("program", || {
            let release = Release::prepare(&options, out)?;
            release.build(steps);
            Ok(())
        });
    }
    report.finish(true)
}

/// For `cargo xtask test`: builds packages with the program that the tests use, installs each into an empty directory, and asks it the
/// README's first question.
pub(crate) fn suite(steps: Steps<'_>, binary: &str) {
    if let Err(reason) = can_build() {
        steps.skip(INSTALL, &reason);
        return;
    }
    let out = root().join(OUT_OF_TESTS);
    let options = Options { binary: Some(root().join(binary)), is_quick: true, ..Options::default() };
    steps.check("packages of the tests", || {
        empty(&out)?;
        Release::prepare(&options, out.clone())?.build(steps);
        Ok(())
    });
    let mut install = Command::new("python3");
    install.arg(INSTALL).arg(&out).current_dir(root());
    if let Ok(this) = std::env::current_exe() {
        install.env("CUPOLA_XTASK", this);
    }
    steps.tests(install);
}

/// An error names a program that is missing here, and Debian's package of it.
fn can_build() -> Result<(), String> {
    platform::this()?;
    let missing = |(program, package): &&(&str, &str)| {
        let is_missing = Command::new(program).arg("--version").output().is_err();
        is_missing.then(|| format!("{program} (Debian: apt install {package})"))
    };
    let missing: Vec<_> = PROGRAMS.iter().filter_map(|program| missing(&program)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("missing: {}", missing.join(", "))) }
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if *word == "--quick" {
                options.is_quick = true;
                continue;
            }
            let value =
                words.next().ok_or_else(|| format!("{word} needs a value, or is not an option of this command"))?;
            match *word {
                "--target" => options.target = Some((*value).to_owned()),
                "--binary" => options.binary = Some(absolute(value)?),
                "--out" => options.out = Some(absolute(value)?),
                "--url" => options.url = Some((*value).to_owned()),
                "--homepage" => options.homepage = Some((*value).to_owned()),
                _ => return Err(format!("{word} is not an option of this command")),
            }
        }
        Ok(options)
    }
}

impl Release {
    /// Builds the program, unless one is given, and collects what every package contains.
    fn prepare(options: &Options, out: PathBuf) -> Result<Self, String> {
        let platform = match &options.target {
            Some(target) => platform::named(target)?,
            None => platform::this()?,
        };
        if !platform.is_tried {
            println!("   {}: packages for this platform have never been tried", platform.triple);
        }
        let program = match &options.binary {
            Some(binary) => binary.clone(),
            None => build(platform)?,
        };
        let stage = root().join(STAGE).join(platform.triple);
        empty(&stage)?;
        fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        let contents = Contents::collect(platform, &program, &stage)?;
        if options.is_quick {
            succeed(Command::new("strip").args(&contents.programs))?;
        }
        Ok(Self { platform, contents, stage, out, is_quick: options.is_quick })
    }

    /// Each package is a step; one that cannot be built does not keep the others from being built.
    fn build(&self, steps: Steps<'_>) {
        steps.check("archive", || archive::write(self));
        if self.platform.debian.is_some() {
            steps.check("Debian package", || debian::build(self));
        }
        steps.check("Python wheels", || wheel::build(self));
        steps.check("npm packages", || npm::build(self));
        steps.check("VS Code package", || vsix::build(self));
        steps.check("list of crates (CycloneDX)", || sbom::write(self));
        steps.check("checksums", || checksums::write(&self.out));
    }

    /// `cupola-VERSION-TRIPLE`: the name of the archive without its ending, and of the directory in it.
    fn name(&self) -> String {
        archive::name(self.platform)
    }
}

/// The release build for a platform: the command; what it starts is beside it.
fn build(platform: &Platform) -> Result<PathBuf, String> {
    let mut cargo = cargo_in_root(&["build", "--release", "--locked", "--package", "cupola"]);
    let mut directory = root().join("target");
    if platform::this() != Ok(platform) {
        cargo.args(["--target", platform.triple]);
        directory.push(platform.triple);
    }
    succeed(&mut cargo)?;
    Ok(directory.join("release").join(platform.programs()[0]))
}

/// Runs a program to its end. What it prints is shown only if it fails.
fn succeed(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name} does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Err(format!("{name}: {}\n{said}", output.status))
}

/// Makes a directory with nothing in it.
fn empty(directory: &Path) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", directory.display());
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(failed)?;
    }
    fs::create_dir_all(directory).map_err(failed)
}

/// Copies a file, and makes the directories above it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    make_directory_of(to)?;
    fs::copy(from, to).map(drop).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

/// Writes a file, and makes the directories above it.
fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), String> {
    make_directory_of(path)?;
    fs::write(path, contents).map_err(|error| format!("{}: {error}", path.display()))
}

fn make_directory_of(path: &Path) -> Result<(), String> {
    let Some(directory) = path.parent() else { return Ok(()) };
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))
}

/// A path that a program in another directory can use.
fn absolute(path: &str) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_has_the_projects_version() {
        let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
        for (path, line) in [
            ("clients/node/package.json", format!("\"version\": \"{VERSION}\"")),
            ("clients/vscode/package.json", format!("\"version\": \"{VERSION}\"")),
            ("clients/python/src/cupola/__init__.py", format!("__version__ = \"{VERSION}\"")),
            ("README.md", format!("./cupola_{VERSION}_amd64.deb")),
            ("README.md", format!("./cupola_bin-{VERSION}-*.whl ./cupola-{VERSION}-*.whl")),
            ("README.md", format!("./cupola-cli-linux-x64-{VERSION}.tgz ./cupola-cli-{VERSION}.tgz")),
            ("README.md", format!("cupola-linux-x64-{VERSION}.vsix")),
        ] {
            assert!(read(path).contains(&line), "{path} does not say {line}");
        }
    }

    #[test]
    fn options_are_read_and_others_refused() {
        let options =
            Options::parse(&["--target", "x86_64-unknown-linux-gnu", "--quick", "--url", "https://e.example/1"])
                .unwrap();
        assert_eq!(options.target.as_deref(), Some("x86_64-unknown-linux-gnu"));
        assert_eq!((options.url.as_deref(), options.is_quick), (Some("https://e.example/1"), true));
        for (words, says) in [(&["--out"][..], "--out needs a value"), (&["--fast", "1"], "--fast is not an option")] {
            let refused = Options::parse(words).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
