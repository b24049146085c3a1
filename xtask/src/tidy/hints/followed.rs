//! Which hints the tests take up: the texts given to `advice(…)`.

use super::TakenUp;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The function that takes a hint up.
const TAKES_UP: &str = "advice";

/// What one file takes up. Reads words, not syntax, so that it sees into the calls of macros too.
pub(super) fn parts(file: &str, text: &str) -> Result<Vec<TakenUp>, String> {
    let tokens: TokenStream = text.parse().map_err(|error| format!("{file} is not valid Rust: {error}"))?;
    let mut found = Vec::new();
    search(tokens, file, &mut found);
    Ok(found)
}

fn search(tokens: TokenStream, file: &str, found: &mut Vec<TakenUp>) {
    let mut takes_up = false;
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            if takes_up && group.delimiter() == Delimiter::Parenthesis {
                found.extend(literal(group.stream()).map(|(part, line)| TakenUp { file: file.to_owned(), line, part }));
            }
            search(group.stream(), file, found);
        }
        takes_up = matches!(&token, TokenTree::Ident(name) if name == TAKES_UP);
    }
}

/// The first text, and its line.
pub(super) fn literal(tokens: TokenStream) -> Option<(String, usize)> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Literal(literal) => {
            let line = literal.span().start().line;
            let text = syn::parse_str::<syn::LitStr>(&literal.to_string()).ok()?;
            Some((text.value(), line))
        }
        _ => None,
    })
}
