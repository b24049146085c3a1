//! The archive that people unpack, and that `cargo binstall`, Homebrew, winget and scoop download: a tarball, for Windows a zip file.
//! The same files make the same bytes.

use super::platform::Platform;
use super::{Release, VERSION};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// `cupola-VERSION-TRIPLE`: the name without its ending, and of the directory in it.
pub(super) fn name(platform: &Platform) -> String {
    format!("cupola-{VERSION}-{}", platform.triple)
}

/// The name of the file.
pub(super) fn file_name(platform: &Platform) -> String {
    let ending = if platform.is_on("windows") { "zip" } else { "tar.gz" };
    format!("{}.{ending}", name(platform))
}

/// Packs the contents.
pub(super) fn write(release: &Release) -> Result<(), String> {
    let path = release.out.join(file_name(release.platform));
    let (from, name) = (&release.contents.directory, release.name());
    let packed = if release.platform.is_on("windows") {
        zip(&path, from, &name)
    } else {
        tarball(&path, from, &name, release.compression())
    };
    packed.map_err(|error| format!("{}: {error}", path.display()))
}

impl Release {
    fn compression(&self) -> Compression {
        if self.is_quick { Compression::fast() } else { Compression::best() }
    }
}

fn tarball(path: &Path, from: &Path, name: &str, compression: Compression) -> io::Result<()> {
    let mut tar = tar::Builder::new(GzEncoder::new(File::create(path)?, compression));
    // No owners and no times of this machine; programs stay executable.
    tar.mode(tar::HeaderMode::Deterministic);
    for file in files_below(from)? {
        let inside = Path::new(name).join(file.strip_prefix(from).unwrap_or(&file));
        tar.append_path_with_name(&file, inside)?;
    }
    tar.into_inner()?.finish().map(drop)
}

fn zip(path: &Path, from: &Path, name: &str) -> io::Result<()> {
    let mut zip = ZipWriter::new(File::create(path)?);
    for file in files_below(from)? {
        let inside = Path::new(name).join(file.strip_prefix(from).unwrap_or(&file));
        zip.start_file_from_path(inside, SimpleFileOptions::default())?;
        io::copy(&mut File::open(&file)?, &mut zip)?;
    }
    zip.finish().map(drop).map_err(io::Error::from)
}

/// Every file below a directory, in an order that does not depend on the file system.
pub(super) fn files_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { files.extend(files_below(&path)?) } else { files.push(path) }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::super::platform;
    use super::*;
    use std::io::Read as _;

    #[test]
    fn each_archive_has_the_files_below_one_directory() {
        let place = tempfile::tempdir().unwrap();
        let from = place.path().join("from");
        super::super::write(&from.join("man/a.1"), "a").unwrap();
        super::super::write(&from.join("cupola"), "program").unwrap();
        let (tar, zipped) = (place.path().join("a.tar.gz"), place.path().join("a.zip"));
        tarball(&tar, &from, "cupola-1", Compression::fast()).unwrap();
        zip(&zipped, &from, "cupola-1").unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&tar).unwrap()));
        let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        assert_eq!(names.collect::<Vec<_>>(), ["cupola-1/cupola", "cupola-1/man/a.1"]);
        let mut archive = zip::ZipArchive::new(File::open(&zipped).unwrap()).unwrap();
        let mut text = String::new();
        archive.by_name("cupola-1/man/a.1").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "a");
        let windows = platform::named("x86_64-pc-windows-gnu").unwrap();
        assert_eq!(file_name(windows), format!("{}.zip", name(windows)));
    }
}
