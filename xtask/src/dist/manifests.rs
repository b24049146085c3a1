//! What Homebrew, winget and scoop read: where the archives of a release are, and their digests. Written once for a release, when the
//! archives of all platforms are in one directory.

use super::platform::{PLATFORMS, Platform};
use super::template::fill_file;
use super::{VERSION, archive, checksums};
use std::path::Path;

/// An archive that exists.
struct Archive<'url> {
    platform: &'static Platform,
    url: &'url str,
    sha256: String,
}

/// Writes the manifests into `manifests/` below the directory of the archives. `url` is the address that the archives are, or will be,
/// downloaded from, without their names.
pub(super) fn write(out: &Path, url: Option<&str>, homepage: Option<&str>) -> Result<(), String> {
    let url =
        url.ok_or("say where the archives will be downloaded from: --url https://HOST/PATH")?.trim_end_matches('/');
    if !url.starts_with("https://") {
        return Err(format!(
            "{url} is not an https:// address; Homebrew, winget and scoop should not download from anything else"
        ));
    }
    let homepage = homepage.ok_or("say where the project is found: --homepage https://HOST/PATH")?;
    let mut archives = Vec::new();
    for platform in &PLATFORMS {
        let path = out.join(archive::file_name(platform));
        if path.exists() {
            archives.push(Archive { platform, url, sha256: checksums::of(&path)? });
        }
    }
    let (windows, others): (Vec<_>, Vec<_>) = archives.iter().partition(|archive| archive.platform.is_on("windows"));
    if windows.is_empty() && others.is_empty() {
        return Err(format!("there are no archives of version {VERSION} in {}", out.display()));
    }
    let directory = out.join("manifests");
    super::empty(&directory)?;
    if !others.is_empty() {
        let archives: Vec<_> = others.iter().map(|archive| archive.of_homebrew()).collect();
        let archives = archives.join("\n");
        let values = [("VERSION", VERSION), ("HOMEPAGE", homepage), ("ARCHIVES", &archives)];
        fill_file("homebrew/cupola.rb", &values, &directory.join("homebrew/cupola.rb"))?;
    }
    windows.iter().try_for_each(|archive| archive.write_for_windows(homepage, &directory))
}

impl Archive<'_> {
    fn address(&self) -> String {
        format!("{}/{}", self.url, archive::file_name(self.platform))
    }

    /// The lines of the formula for one platform.
    fn of_homebrew(&self) -> String {
        let system = if self.platform.is_on("macos") { "macos" } else { "linux" };
        let cpu = if self.platform.node.1 == "arm64" { "arm" } else { "intel" };
        let (address, sha256) = (self.address(), &self.sha256);
        format!(
            "  on_{system} do\n    on_{cpu} do\n      url \"{address}\"\n      sha256 \"{sha256}\"\n    end\n  end\n"
        )
    }

    fn write_for_windows(&self, homepage: &str, directory: &Path) -> Result<(), String> {
        let (address, name) = (self.address(), archive::name(self.platform));
        let sha256 = self.sha256.to_uppercase();
        let version = ("VERSION", VERSION);
        let archive = [version, ("URL", &address), ("SHA256", &sha256), ("DIRECTORY", &name)];
        let winget = |part: &str, values: &[(&str, &str)]| {
            let file = format!("winget/Cupola.Cupola{part}.yaml");
            fill_file(&file, values, &directory.join(&file))
        };
        winget("", &[version])?;
        winget(".locale.en-US", &[version, ("HOMEPAGE", homepage)])?;
        winget(".installer", &archive)?;
        let scoop =
            [version, ("HOMEPAGE", homepage), ("URL", &address), ("SHA256", &self.sha256), ("DIRECTORY", &name)];
        fill_file("scoop/cupola.json", &scoop, &directory.join("scoop/cupola.json"))
    }
}
