//! The Debian package: the contents where Debian's policy puts them, packed by `dpkg-deb`.

use super::template::fill_file;
use super::{Release, VERSION, copy, succeed, write};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Who is named as the maintainer, unless Debian's own variables `DEBFULLNAME` and `DEBEMAIL` name someone.
const MAINTAINER: (&str, &str) = ("The Cupola authors", "cupola@packages.example");

/// Where each shell of Debian looks for completions.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/cupola"),
    ("zsh", "usr/share/zsh/vendor-completions/_cupola"),
    ("fish", "usr/share/fish/vendor_completions.d/cupola.fish"),
];

/// Builds `cupola_VERSION_ARCHITECTURE.deb`.
pub(super) fn build(release: &Release) -> Result<(), String> {
    let contents = &release.contents;
    let architecture = release.platform.debian.ok_or("Debian does not have this platform")?;
    let glibc = contents.glibc.ok_or("the program does not say which glibc it needs")?.to_string();
    let tree = release.stage.join("debian");
    contents.copy_programs(&tree.join("usr/bin"))?;
    for (shell, path) in contents.completions() {
        let mut places = COMPLETIONS.iter().filter(|(known, _)| *known == shell);
        places.try_for_each(|(_, place)| copy(&path, &tree.join(place)))?;
    }
    for page in contents.pages()? {
        let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        compress(
            &fs::read(&page).map_err(|error| error.to_string())?,
            &tree.join(format!("usr/share/man/man1/{name}.gz")),
        )?;
    }
    // Debian's policy wants a page for each program. Both have the same commands.
    compress(b".so man1/cupola.1\n", &tree.join("usr/share/man/man1/cupola-daemon.1.gz"))?;
    let maintainer = maintainer();
    let documents = tree.join("usr/share/doc/cupola");
    fill_file("debian/copyright", &[("LICENSE", &license(&contents.license)?)], &documents.join("copyright"))?;
    let changelog = release.stage.join("changelog");
    let now = OffsetDateTime::now_utc().format(&Rfc2822).map_err(|error| error.to_string())?;
    fill_file("debian/changelog", &[("VERSION", VERSION), ("MAINTAINER", &maintainer), ("DATE", &now)], &changelog)?;
    compress(&fs::read(&changelog).map_err(|error| error.to_string())?, &documents.join("changelog.gz"))?;
    fill_file("debian/lintian-overrides", &[], &tree.join("usr/share/lintian/overrides/cupola"))?;
    let size = super::archive::files_below(&tree)
        .and_then(|files| files.iter().map(|file| fs::metadata(file).map(|data| data.len())).sum::<io::Result<u64>>())
        .map_err(|error| error.to_string())?;
    let values = [
        ("VERSION", VERSION),
        ("ARCHITECTURE", architecture),
        ("MAINTAINER", &maintainer),
        ("SIZE", &size.div_ceil(1024).to_string()),
        ("GLIBC", &glibc),
    ];
    write_sums(&tree)?;
    fill_file("debian/control", &values, &tree.join("DEBIAN/control"))?;
    make_readable(&tree)?;
    let package = release.out.join(format!("cupola_{VERSION}_{architecture}.deb"));
    // xz, which every Debian and Ubuntu unpacks.
    let compression = if release.is_quick { ["-Zgzip", "-z1"] } else { ["-Zxz", "-z6"] };
    succeed(Command::new("dpkg-deb").arg("--root-owner-group").args(compression).arg("--build").arg(&tree).arg(package))
}

/// The list by which `debsums` notices files that were changed after the installation.
fn write_sums(tree: &Path) -> Result<(), String> {
    let mut find = Command::new("sh");
    find.args(["-c", "mkdir -p DEBIAN && find usr -type f -print0 | sort -z | xargs -0 md5sum > DEBIAN/md5sums"]);
    succeed(find.current_dir(tree))
}

fn maintainer() -> String {
    let named = |variable: &str, otherwise: &str| std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned());
    format!("{} <{}>", named("DEBFULLNAME", MAINTAINER.0), named("DEBEMAIL", MAINTAINER.1))
}

/// The licence's text as a field of `copyright`: each line indented, empty ones marked.
fn license(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines =
        text.trim().lines().map(|line| if line.trim().is_empty() { " .".to_owned() } else { format!(" {line}") });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn compress(bytes: &[u8], to: &Path) -> Result<(), String> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    write(to, packed.map_err(|error| error.to_string())?)
}

/// A package's files can be read by everybody, whatever the umask was here.
fn make_readable(tree: &Path) -> Result<(), String> {
    succeed(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(tree))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_licence_is_a_field_with_continued_lines() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("LICENSE");
        fs::write(&path, "MIT License\n\nPermission\n").unwrap();
        assert_eq!(license(&path).unwrap(), " MIT License\n .\n Permission");
    }
}
