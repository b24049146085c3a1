//! A file with modules below it begins with a map: its first lines name each of them, so that a reader gets there in one step.

/// Modules that are named by what they are for: tests, and one per platform.
const PLAIN: [&str; 3] = ["tests", "unix", "windows"];

/// Which modules the first lines of one file leave out. Modules in test code, and those of other folders (`#[path]`), do not count.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    if !(super::is_rust(path) && path.contains("src/")) {
        return Vec::new();
    }
    let map: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
    let mut broken = Vec::new();
    let mut attribute = "";
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = declared(line)
            && !attribute.starts_with("#[path")
            && !attribute.starts_with("#[cfg(test)]")
            && !PLAIN.contains(&name)
            && !is_named(&map, name)
        {
            broken.push(format!("{path}:{}: the first lines do not say what `{name}` is for", number + 1));
        }
        attribute = line;
    }
    broken
}

/// The name in `mod name;`.
fn declared(line: &str) -> Option<&str> {
    let declaration = line.strip_suffix(';')?;
    let (visibility, name) = declaration.split_once("mod ")?;
    let is_visibility = visibility.is_empty() || visibility.starts_with("pub");
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    (is_visibility && is_name).then_some(name)
}

/// Is it there as `name`, `name/more` or a link to it?
fn is_named(map: &str, name: &str) -> bool {
    ["", "mod@"].iter().any(|prefix| {
        ["`", "/"]
            .iter()
            .any(|end| map.contains(&format!("`{prefix}{name}{end}")) || map.contains(&format!("{name}::")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_is_in_the_map_of_its_parent() {
        let text =
            "//! A room.\n//!\n//! - [`one`]: first; `two/more`: second\n\nmod one;\npub(crate) mod two;\nmod three;\n";
        assert_eq!(check("src/a.rs", text), ["src/a.rs:7: the first lines do not say what `three` is for"]);
        assert_eq!(check("tests/it/main.rs", text), Vec::<String>::new());
    }

    #[test]
    fn tests_platforms_and_files_elsewhere_need_no_line() {
        let text = "//! A file.\n\n#[cfg(unix)]\nmod unix;\n#[cfg(test)]\nmod tests;\n#[path = \"../fuzz/a.rs\"]\nmod fuzz_a;\n#[cfg(test)]\nmod fixtures;\n";
        assert_eq!(check("src/a.rs", text), Vec::<String>::new());
    }
}
