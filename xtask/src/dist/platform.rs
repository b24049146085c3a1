//! The platforms that packages can be built for, and what each package system calls them.

/// One platform.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Platform {
    /// What Rust calls it.
    pub(super) triple: &'static str,
    /// Debian's architecture.
    pub(super) debian: Option<&'static str>,
    /// The wheel's platform tag; on Linux the version of glibc comes before the architecture.
    wheel: &'static str,
    /// What Node calls it: `process.platform` and `process.arch`. VS Code uses the same names with a hyphen between them.
    pub(super) node: (&'static str, &'static str),
    /// Were its packages ever installed and run? The others are only what the tables of the package systems say.
    pub(super) is_tried: bool,
}

/// All of them.
pub(super) const PLATFORMS: [Platform; 5] = [
    Platform {
        triple: "x86_64-unknown-linux-gnu",
        debian: Some("amd64"),
        wheel: "x86_64",
        node: ("linux", "x64"),
        is_tried: true,
    },
    Platform {
        triple: "aarch64-unknown-linux-gnu",
        debian: Some("arm64"),
        wheel: "aarch64",
        node: ("linux", "arm64"),
        is_tried: false,
    },
    Platform {
        triple: "x86_64-apple-darwin",
        debian: None,
        wheel: "macosx_10_12_x86_64",
        node: ("darwin", "x64"),
        is_tried: false,
    },
    Platform {
        triple: "aarch64-apple-darwin",
        debian: None,
        wheel: "macosx_11_0_arm64",
        node: ("darwin", "arm64"),
        is_tried: false,
    },
    Platform {
        triple: "x86_64-pc-windows-gnu",
        debian: None,
        wheel: "win_amd64",
        node: ("win32", "x64"),
        is_tried: false,
    },
];

/// The platform with this name.
pub(super) fn named(triple: &str) -> Result<&'static Platform, String> {
    PLATFORMS.iter().find(|platform| platform.triple == triple).ok_or_else(|| {
        let known = PLATFORMS.each_ref().map(|platform| platform.triple).join(", ");
        format!("there are no packages for {triple}; the platforms are {known}")
    })
}

/// The platform that this task runs on.
pub(super) fn this() -> Result<&'static Platform, String> {
    let (system, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    let is_this = |platform: &&Platform| platform.is_on(system) && platform.triple.starts_with(architecture);
    PLATFORMS.iter().find(is_this).ok_or_else(|| format!("there are no packages for {architecture} and {system}"))
}

impl Platform {
    /// Is it this one of Rust's `std::env::consts::OS`?
    pub(super) fn is_on(&self, system: &str) -> bool {
        match system {
            "macos" => self.node.0 == "darwin",
            "windows" => self.node.0 == "win32",
            other => self.node.0 == other,
        }
    }

    /// The names of the programs' files: the command that people call, and what it starts.
    pub(super) fn programs(&self) -> [&'static str; 2] {
        if self.is_on("windows") { ["cupola.exe", "cupola-daemon.exe"] } else { ["cupola", "cupola-daemon"] }
    }

    /// `linux-x64`, as npm packages and VS Code call it.
    pub(super) fn node_name(&self) -> String {
        let (system, architecture) = self.node;
        format!("{system}-{architecture}")
    }

    /// The platform tag of the wheel. On Linux it says which glibc the program needs (PEP 600).
    pub(super) fn wheel_tag(&self, glibc: Option<Glibc>) -> Result<String, String> {
        match (self.is_on("linux"), glibc) {
            (true, Some(Glibc(major, minor))) => Ok(format!("manylinux_{major}_{minor}_{}", self.wheel)),
            (true, None) => Err("the program does not say which glibc it needs".to_owned()),
            (false, _) => Ok(self.wheel.to_owned()),
        }
    }
}

/// A version of glibc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Glibc(u32, u32);

impl std::fmt::Display for Glibc {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

/// The newest version of glibc's symbols that a program uses, which is the oldest glibc that it runs with. The names of the versions
/// stand in its table of strings.
pub(super) fn glibc_of(program: &[u8]) -> Option<Glibc> {
    const MARK: &[u8] = b"\0GLIBC_";
    /// A version is far shorter.
    const LONGEST: usize = 12;
    let versions =
        program.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK).filter_map(|(at, _)| {
            let text = program.get(at + MARK.len()..)?;
            let text = &text[..text.len().min(LONGEST)];
            let end = text.iter().position(|byte| *byte == 0)?;
            let mut parts = std::str::from_utf8(&text[..end]).ok()?.split('.');
            Some(Glibc(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        });
    versions.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_glibc_a_program_runs_with_is_its_newest_version() {
        let program = b"x\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0text GLIBC_9.9\0";
        assert_eq!(glibc_of(program), Some(Glibc(2, 34)));
        assert_eq!(glibc_of(b"static"), None);
        let linux = named("aarch64-unknown-linux-gnu").unwrap();
        assert_eq!(linux.wheel_tag(glibc_of(program)).unwrap(), "manylinux_2_34_aarch64");
        assert!(linux.wheel_tag(None).is_err());
        assert_eq!(named("x86_64-pc-windows-gnu").unwrap().wheel_tag(None).unwrap(), "win_amd64");
    }

    #[test]
    fn a_platform_without_packages_is_refused_with_those_that_have_some() {
        assert!(named("riscv64gc-unknown-linux-gnu").unwrap_err().contains("aarch64-apple-darwin"));
        assert_eq!(named("x86_64-pc-windows-gnu").unwrap().programs()[0], "cupola.exe");
    }
}
