//! Plain English: phrases that read like a translation are refused in help, errors, docs, comments and test names.
//!
//! The list is short and precise: a phrase is on it only when it has no good use in these sources. Words are compared without case,
//! and `_` counts as a space, so that names of tests are read too.

/// A phrase, and what to write instead.
const PHRASES: &[(&str, &str)] = &[
    ("is no", "\"is not a …\""),
    ("are no", "\"are not …\""),
    ("whoever", "who it is, for example \"the process that …\""),
    ("anew", "\"again\" or \"a new …\""),
    ("nobody's", "whose it is, or \"no user's\""),
    ("none of its", "\"no … of the …\", or what it is"),
    ("all the same", "\"still\", \"anyway\" or \"nevertheless\""),
    ("of its own making", "who made it"),
    ("of ours", "\"our …\", or what it is"),
    ("whose words", "what it is"),
    ("tells of", "\"reports\" or \"describes\""),
    ("told of", "\"reported\" or \"is told about\""),
    ("went on", "\"continued\""),
    ("goes on", "\"continues\""),
    ("go on", "\"continue\""),
    ("so many", "a number, \"this many\" or \"fewer\""),
    ("lately", "\"recently\""),
    ("of today", "\"current\""),
    ("none of ours", "what it is"),
    ("what is open", "\"what is missing\""),
    ("what lies beyond", "\"anything else\""),
    ("has its place", "where it is"),
    ("comes in between", "what happens"),
    ("speaks up", "\"answers\""),
    ("speak up", "\"answer\""),
    ("again and again", "\"repeatedly\" or \"keeps …ing\""),
    ("no further words", "\"no message\""),
    ("borne", "\"tolerated\""),
    ("of one's own making", "what it is"),
    ("as it were", "nothing"),
];

/// Good English that contains one of [`PHRASES`].
const FINE: &[&str] = &[
    "there is no",
    "there are no",
    "is no longer",
    "are no longer",
    "is no more",
    "are no more",
    "is no less",
    "are no less",
    "are all the same",
];

/// What is wrong with one file's texts.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    if !is_ours(path) {
        return Vec::new();
    }
    let mut broken = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = FINE.iter().fold(plain(line), |line, fine| line.replace(&format!("{fine} "), " . "));
        for (phrase, better) in PHRASES.iter().filter(|(phrase, _)| line.contains(&format!(" {phrase} "))) {
            broken.push(format!("{path}:{}: \"{phrase}\" is not plain English; write {better}", number + 1));
        }
    }
    broken
}

/// Not what was captured elsewhere, what a tool makes, or this list.
fn is_ours(path: &str) -> bool {
    !path.contains("fixtures/") && !path.ends_with("package-lock.json") && path != "xtask/src/tidy/english.rs"
}

/// Lower-case words between single spaces; a mark that separates phrases is a word of its own.
fn plain(line: &str) -> String {
    let mut plain = " ".to_owned();
    for letter in line.chars() {
        match letter {
            '\'' => plain.push(letter),
            letter if letter.is_alphanumeric() => plain.extend(letter.to_lowercase()),
            letter if letter.is_whitespace() || letter == '_' => plain.push(' '),
            _ => plain.push_str(" . "),
        }
    }
    plain.push(' ');
    while plain.contains("  ") {
        plain = plain.replace("  ", " ");
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_found_in_comments_texts_and_names() {
        for (line, says) in [
            ("/// The failure that an object tells of, in its `error`.", "reports"),
            ("    #[arg(help = \"Runs that ended LATELY\")]", "recently"),
            ("fn a_thread_went_on() {", "continued"),
            ("\"the service says again and again that\"", "keeps"),
            ("A request of one's own making.", "what it is"),
            ("{path} is no file but a directory", "is not a"),
            ("/// Why a number is no [`Status`].", "is not a"),
            ("on bytes that are no messages", "are not"),
            ("Checked for whoever listens.", "the process that"),
            ("a session that begins anew", "again"),
            ("fn others_are_nobody's() {", "no user's"),
            ("belongs to none of its certificates", "what it is"),
            ("it was sent all the same", "anyway"),
            ("A session of its own making.", "who made it"),
            ("an id of ours", "our"),
            ("/// Whose words.", "what it is"),
            ("fn a_background_run_goes_on() {", "continues"),
            ("there is nothing to go on with", "continue"),
        ] {
            let broken = check("src/a.rs", line);
            assert!(broken.len() == 1 && broken[0].contains(says), "{line}: {broken:?}");
        }
        for line in [
            "let plately = 1;",
            "It tells often.",
            "the table of todays",
            "is no longer a file",
            "there is no file",
            "'there is no :Cupola %s'",
            "fn there_are_no_messages() {",
            "the bytes are no longer messages",
            "it is no more than a guess",
            "who ever listens there?",
            "if !is_new && can_ewe {",
            "nobody waits for it",
            "none of the others",
            "both names are all the same",
            "its own making",
            "of hours",
            "whose word it is",
            "what is going on",
            "the next line goes onto the list",
            "if !told && !of_connection {",
        ] {
            assert_eq!(check("src/a.rs", line), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn what_others_wrote_is_left_alone() {
        for path in ["tests/fixtures/a.json", "clients/vscode/package-lock.json"] {
            assert_eq!(check(path, "ended lately"), Vec::<String>::new());
        }
    }
}
