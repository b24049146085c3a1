//! The last section of `ARCHITECTURE.md`: every source file with the first sentence of its own first lines.
//!
//! The files say what they are for, so the page never says something else, and a reader can search all of it in one place.

use super::first_sentence;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the section begins. What stands before it is written by hand.
const HEADING: &str = "## Every file\n";

/// The folders that are listed. Tests are found by their subject in `tests/it/`, as the page says.
const FOLDERS: &[&str] = &[
    "src",
    "protocol/src",
    "clients/cli/src",
    "clients/mcp/src",
    "emulator/src",
    "clients/node/src",
    "clients/vscode/src",
    "clients/neovim/lua",
    "clients/python/src",
    "xtask/src",
];

/// Generated from the folder beside it.
const GENERATED: &str = "_sync";

/// `page` with the section as the sources are now.
pub(super) fn write(page: &str, root: &Path) -> Result<String, String> {
    let by_hand = page.split_once(HEADING).map_or(page, |(by_hand, _)| by_hand).trim_end();
    let mut text = format!("{by_hand}\n\n{HEADING}");
    text +=
        "\nThe first sentence of each file, collected by `cargo xtask schema`. More is in the file's first lines.\n";
    for folder in FOLDERS {
        list(root, Path::new(folder), &mut text)?;
    }
    Ok(text)
}

/// One folder: its files, then the folders in it.
fn list(root: &Path, folder: &Path, text: &mut String) -> Result<(), String> {
    let failed = |error| format!("{} cannot be read: {error}", folder.display());
    let mut names: Vec<PathBuf> = fs::read_dir(root.join(folder))
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name().into())).collect())
        .map_err(failed)?;
    names.sort();
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) =
        names.into_iter().map(|name| folder.join(name)).partition(|path| root.join(path).is_dir());
    let mut lines = String::new();
    for file in files.iter().filter(|file| is_source(file)) {
        let code = fs::read_to_string(root.join(file)).map_err(|error| format!("{}: {error}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let Some(about) = about(&code) else {
            return Err(format!("{} does not begin with what it is for", file.display()));
        };
        let _ = writeln!(lines, "- `{name}`: {}", first_sentence(&about));
    }
    if !lines.is_empty() {
        let _ = write!(text, "\n### `{}/`\n\n{lines}", folder.display());
    }
    let listed = folders.iter().filter(|path| !path.ends_with(GENERATED) && !path.ends_with("__pycache__"));
    listed.map(PathBuf::as_path).try_for_each(|folder| list(root, folder, text))
}

fn is_source(file: &Path) -> bool {
    let is_code =
        file.extension().is_some_and(|extension| ["rs", "ts", "lua", "py"].iter().any(|source| extension == *source));
    is_code && !file.ends_with("tests.rs")
}

/// The first paragraph of the comment or docstring at the beginning of a file, on one line.
fn about(code: &str) -> Option<String> {
    let first = code.lines().next()?;
    let docstring = first.strip_prefix("\"\"\"");
    let mark = ["//!", "---", "--", "//"].into_iter().find(|mark| first.starts_with(mark));
    let lines: Vec<&str> = match (docstring, mark) {
        (Some(_), _) => {
            code.get(3..)?.split("\"\"\"").next()?.lines().map(str::trim).take_while(|line| !line.is_empty()).collect()
        }
        (None, Some(mark)) => code
            .lines()
            .map_while(|line| line.strip_prefix(mark))
            .map(str::trim)
            .take_while(|line| !line.is_empty())
            .collect(),
        (None, None) => return None,
    };
    let paragraph = plain_links(&lines.join(" "));
    (!paragraph.is_empty()).then_some(paragraph)
}

/// `` [`name`] `` leads somewhere in Rust's docs only.
fn plain_links(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`").replace("`mod@", "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_paragraph_is_found_in_every_language() {
        for code in [
            "//! What it is for.\n//! More.\n//!\n//! Not this.\nuse a;",
            "--- What it is for.\n--- More.\n---\n--- Not this.",
            "// What it is for.\n// More.\n\n// Not this.",
            "\"\"\"What it is for.\nMore.\n\nNot this.\n\"\"\"",
        ] {
            assert_eq!(about(code).as_deref(), Some("What it is for. More."), "{code}");
        }
        assert_eq!(about("use a;"), None);
        assert_eq!(about("//! One, see [`crate::b`].").as_deref(), Some("One, see `crate::b`."));
    }

    #[test]
    fn what_is_written_by_hand_stays_and_the_list_is_replaced() {
        let root = crate::root();
        let page = write("# Page\n\nBy hand.\n\n## Every file\n\n- old\n", &root).unwrap();
        assert!(page.starts_with("# Page\n\nBy hand.\n\n## Every file\n"), "{page}");
        assert!(
            page.contains("\n### `xtask/src/schema/`\n") && page.contains("\n- `files.rs`: The last section"),
            "{page}"
        );
        assert!(!page.contains("- old"), "{page}");
    }
}
