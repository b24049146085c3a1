//! `cupola man DIRECTORY`.

use super::Syntax;
use crate::environment::version;
use crate::exit;
use crate::failure::Failure;
use clap::Args;
use clap::builder::Resettable;
use clap_mangen::roff::{Roff, roman};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) const HELP: &str = "\
Examples:
  cupola man ~/.local/share/man/man1
  man cupola-invoke";

#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The directory; created if it does not exist
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Where a page shows how the command is used.
const SYNOPSIS: &str = ".SH SYNOPSIS\n";

/// Where a page's text begins.
const FIRST_SECTION: &str = ".SH NAME";

/// Words stay whole, and lines of different length: flags, variables and URLs are to be copied.
const WHOLE_WORDS: &str = ".ad l\n.nh\n";

/// The sections of a help's end, as manual pages call them. Whatever else stands there is notes.
const SECTIONS: [(&str, &str); 3] =
    [("Examples:", "EXAMPLES"), ("Exit codes:", "EXIT STATUS"), ("In a chat:", "COMMANDS IN A CHAT")];

/// Writes one page per command.
pub(crate) fn run(flags: &Flags, syntax: Syntax) -> Result<u8, Failure> {
    let directory = flags.directory.display();
    if flags.directory.exists() && !flags.directory.is_dir() {
        return Err(Failure::usage(format!("{directory} is a file, not a directory")));
    }
    write_all((syntax.definition)(), &flags.directory)
        .map_err(|error| Failure::usage(format!("the manual pages cannot be written to {directory}: {error}")))?;
    Ok(exit::OK)
}

fn write_all(mut definition: clap::Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    // Gives every command its full name: `cupola-sessions-list`.
    definition.build();
    write_page(&definition, directory)
}

fn write_page(command: &clap::Command, directory: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(directory.join(format!("{name}.1")), page(command)?)?;
    command.get_subcommands().filter(|sub| !sub.is_hide_set()).try_for_each(|sub| write_page(sub, directory))
}

fn page(command: &clap::Command) -> io::Result<String> {
    let end = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut command = command.clone().after_help(Resettable::Reset);
    let usage = command.render_usage().to_string();
    let mut page = Vec::new();
    clap_mangen::Man::new(command).source(format!("cupola {}", version())).render(&mut page)?;
    let page = with_usage(&String::from_utf8_lossy(&page), &usage);
    let page = page.replacen(FIRST_SECTION, &format!("{WHOLE_WORDS}{FIRST_SECTION}"), 1);
    // A URL may wrap onto the next line without a hyphen, which would be copied with it.
    Ok(page.replace('/', "/\\:") + &sections(&end))
}

/// The page with the usage that the help shows: the one of the library names every flag, and none of their values.
fn with_usage(page: &str, usage: &str) -> String {
    let usage = usage.trim_start_matches("Usage: ").trim_end();
    let parts = page.split_once(SYNOPSIS).and_then(|(before, rest)| Some((before, rest.split_once(".SH ")?.1)));
    let Some((before, after)) = parts else { return page.to_owned() };
    let usage = Roff::new().text([roman(usage)]).render();
    // Its first lines are definitions that the page has already.
    let usage = usage.lines().last().unwrap_or_default();
    format!("{before}{SYNOPSIS}{usage}\n.SH {after}")
}

/// What a help ends with, as sections. Lines of examples stay as they are.
fn sections(help: &str) -> String {
    let mut roff = Roff::new();
    for part in help.split("\n\n") {
        let section = SECTIONS.iter().find_map(|(begin, name)| Some((*name, part.strip_prefix(begin)?)));
        match section {
            Some((name, lines)) => {
                roff.control("SH", [name]).control("nf", []);
                for line in lines.lines().filter(|line| !line.is_empty()) {
                    roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
                }
                roff.control("fi", []);
            }
            None if part.is_empty() => {}
            None => _ = roff.control("SH", ["NOTES"]).text([roman(part)]),
        }
    }
    // The quotes of the code stay what can be typed.
    roff.to_roff()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_flags_and_examples() {
        let directory = tempfile::tempdir().unwrap();
        write_all((crate::arguments::SYNTAX.definition)(), directory.path()).unwrap();
        for (page, word) in [
            ("cupola.1", "cupola\\-invoke(1)"),
            ("cupola-invoke.1", "\\-\\-user\\-isolation\\-key"),
            ("cupola-sessions-delete.1", "\\-\\-isolation\\-key"),
            ("cupola-files-upload.1", "\\-\\-target\\-path"),
            ("cupola-man.1", "\n.SH EXAMPLES\n.nf\ncupola man "),
            ("cupola-stop.1", "\n.SH NOTES\nWaits for active runs to finish"),
            ("cupola.1", "cupola \\- A resident, isolated line"),
            ("cupola.1", "\n.SH \"EXIT STATUS\"\n.nf\n  0  success"),
        ] {
            let text = fs::read_to_string(directory.path().join(page)).unwrap();
            assert!(text.contains(word), "{page} lacks {word}: {text}");
            assert!(!text.contains(".SH EXTRA"), "{page}");
        }
    }
}
