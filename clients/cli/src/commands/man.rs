//! `cupola man DIRECTORY`.

use crate::arguments;
use crate::call::VERSION;
use crate::exit;
use crate::failure::Failure;
use clap::Args;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) const HELP: &str = "\
Examples:
  cupola man ~/.local/share/man/man1
  man cupola-invoke";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Where to write them; made if it is not there
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Where a page's text begins.
const FIRST_SECTION: &str = ".SH NAME";

/// Lines of the same length would tear words apart: flags and URLs are too long to share a line evenly.
const LEFT_ALIGNED: &str = ".ad l\n";

/// Writes one page per command.
pub(crate) fn run(flags: &Flags) -> Result<u8, Failure> {
    write_all(&flags.directory).map_err(|error| {
        Failure::usage(format!("the manual pages cannot be written to {}: {error}", flags.directory.display()))
    })?;
    Ok(exit::OK)
}

fn write_all(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut definition = arguments::definition();
    // Gives every command its full name: `cupola-sessions-list`.
    definition.build();
    write_page(&definition, directory)
}

fn write_page(command: &clap::Command, directory: &Path) -> io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).source(format!("cupola {VERSION}")).render(&mut page)?;
    let page = String::from_utf8_lossy(&page).replacen(FIRST_SECTION, &format!("{LEFT_ALIGNED}{FIRST_SECTION}"), 1);
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(directory.join(format!("{name}.1")), page)?;
    command.get_subcommands().filter(|sub| !sub.is_hide_set()).try_for_each(|sub| write_page(sub, directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_flags_and_examples() {
        let directory = tempfile::tempdir().unwrap();
        write_all(directory.path()).unwrap();
        for (page, word) in [
            ("cupola.1", "cupola\\-invoke(1)"),
            ("cupola-invoke.1", "\\-\\-user\\-isolation\\-key"),
            ("cupola-sessions-delete.1", "\\-\\-isolation\\-key"),
            ("cupola-files-upload.1", "\\-\\-target\\-path"),
            ("cupola-man.1", "Examples"),
        ] {
            let text = fs::read_to_string(directory.path().join(page)).unwrap();
            assert!(text.contains(word), "{page} lacks {word}");
        }
    }
}
