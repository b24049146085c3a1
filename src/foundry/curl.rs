//! The `curl` line that repeats a request, for bash: pure text.

use super::watch::SentRequest;

/// The line. Where the request had a token, it takes one from `$TOKEN`.
pub fn line(request: &SentRequest) -> String {
    // -g: brackets and braces in a URL are themselves; -N: an answer is shown as it comes.
    let mut words = vec!["curl -sS -i -N -g -X".to_owned(), quoted(&request.method), quoted(&request.url)];
    for header in &request.headers {
        words.push("-H".to_owned());
        words.push(if header.name.eq_ignore_ascii_case("authorization") {
            r#""Authorization: Bearer $TOKEN""#.to_owned()
        } else if header.value.is_empty() {
            // Without a value curl would take a colon as "do not send this header".
            quoted(&format!("{};", header.name))
        } else {
            quoted(&format!("{}: {}", header.name, header.value))
        });
    }
    if let Some(body) = &request.body {
        words.push("--data-raw".to_owned());
        words.push(quoted(&String::from_utf8_lossy(body)));
    }
    words.join(" ")
}

/// One word of a bash command that stands for exactly this text. Never holds a character that a terminal would obey.
fn quoted(text: &str) -> String {
    if !text.is_empty()
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "-_./:=@%+,".contains(character))
    {
        return text.to_owned();
    }
    if !text.chars().any(char::is_control) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut word = String::from("$'");
    for character in text.chars() {
        match character {
            '\'' => word.push_str(r"\'"),
            '\\' => word.push_str(r"\\"),
            '\n' => word.push_str(r"\n"),
            '\r' => word.push_str(r"\r"),
            '\t' => word.push_str(r"\t"),
            // Octal ends after three digits, whatever follows; a hexadecimal escape would not.
            control if control.is_control() => {
                let mut bytes = [0; 4];
                for byte in control.encode_utf8(&mut bytes).bytes() {
                    word.push('\\');
                    word.extend([byte >> 6, byte >> 3 & 7, byte & 7].map(|digit| char::from(b'0' + digit)));
                }
            }
            other => word.push(other),
        }
    }
    word.push('\'');
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use cupola_protocol::invoke::HttpHeader;
    use std::process::Command;

    /// What bash makes of words: each on a line of its own, escaped by `printf %q`'s inverse, the NUL byte.
    fn arguments(line: &str) -> Vec<String> {
        let script = format!("curl() {{ printf '%s\\0' \"$@\"; }}; {line}");
        let output = Command::new("bash").arg("-c").arg(script).env("TOKEN", "t0").env("LC_ALL", "C.UTF-8").output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.split_terminator('\0').map(ToOwned::to_owned).collect()
    }

    #[test]
    fn bash_reads_every_character_as_it_was_sent() {
        for body in [
            "plain",
            "",
            "it's $HOME `id` \"quoted\" \\n !!",
            "two\nlines\r\n\ttab",
            "\u{1b}[2J bell\u{7}7 ünï 🦀 \u{85}",
            "{\"input\":\"a 'b' \\\\ \\\"c\\\"\"}",
            "@/etc/passwd",
            "-d",
        ] {
            let header = |name: &str, value: &str| HttpHeader { name: name.to_owned(), value: value.to_owned() };
            let request = SentRequest {
                method: "POST".to_owned(),
                url: "http://127.0.0.1:1/a?b=c&d=[e]{f}".to_owned(),
                headers: vec![
                    header("authorization", "Bearer [redacted]"),
                    header("x-key", "it's $1"),
                    header("x-empty", ""),
                ],
                body: Some(Bytes::from(body.to_owned())),
            };
            let line = line(&request);
            assert!(!line.contains(char::is_control), "{line:?}");
            let arguments = arguments(&line);
            let expected = [
                "-sS",
                "-i",
                "-N",
                "-g",
                "-X",
                "POST",
                "http://127.0.0.1:1/a?b=c&d=[e]{f}",
                "-H",
                "Authorization: Bearer t0",
                "-H",
                "x-key: it's $1",
                "-H",
                "x-empty;",
                "--data-raw",
                body,
            ];
            assert_eq!(arguments, expected, "{line}");
        }
    }
}
