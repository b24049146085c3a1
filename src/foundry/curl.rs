//! A request as it is shown to people: without its token, and with the `curl` line that repeats it in bash (pure).

use super::connections::Settings;
use super::head::shown;
use super::url::is_embedded;
use bytes::Bytes;
use cupola_protocol::display::acts;
use cupola_protocol::invoke::HttpHeader;
use cupola_protocol::observe::SentRequest;
use http::{HeaderMap, Method};
use std::fmt::Display;
use std::path::Path;
use url::Url;

/// A request that is about to leave.
pub(super) struct Outgoing<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Body<'a>,
}

/// What a request carries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Body<'a> {
    None,
    Bytes(&'a Bytes),
    /// The bytes of a local file.
    File(&'a Path),
}

impl Outgoing<'_> {
    /// Without its token, with the line that repeats it.
    pub(super) fn shown(&self, settings: &Settings) -> SentRequest {
        let (body, body_file) = match self.body {
            Body::None => (None, None),
            Body::Bytes(bytes) if bytes.is_empty() => (None, None),
            Body::Bytes(bytes) => (Some(String::from_utf8_lossy(bytes).into_owned()), None),
            Body::File(path) => (None, Some(path.display().to_string())),
        };
        let headers = shown(self.headers);
        let curl = line(self, &headers, settings);
        SentRequest { method: self.method.to_string(), url: self.url.to_string(), headers, body, body_file, curl }
    }
}

/// The line. Where the request had a token, it takes one from `$TOKEN`; it finds and trusts the host as the configuration
/// says.
fn line(request: &Outgoing<'_>, headers: &[HttpHeader], settings: &Settings) -> String {
    // -g: brackets and braces in a URL are themselves; -N: an answer is shown as it comes.
    let mut words = vec!["curl -sS -i -N -g".to_owned()];
    words.extend(route(request.url, settings));
    words.extend(["-X".to_owned(), quoted(request.method.as_str()), quoted(request.url.as_str())]);
    let mut header = |word: String| words.extend(["-H".to_owned(), word]);
    for HttpHeader { name, value } in headers {
        header(if name.eq_ignore_ascii_case("authorization") {
            r#""Authorization: Bearer $TOKEN""#.to_owned()
        } else if value.is_empty() {
            // Without a value curl would take a colon as "do not send this header".
            quoted(&format!("{name};"))
        } else {
            quoted(&format!("{name}: {value}"))
        });
    }
    let is_typed = headers.iter().any(|header| header.name.eq_ignore_ascii_case("content-type"));
    if !matches!(request.body, Body::None) && !is_typed {
        // curl would take the body for a form.
        header(quoted("content-type:"));
    }
    match request.body {
        Body::None => {}
        Body::Bytes(body) => words.extend(["--data-raw".to_owned(), quoted(&String::from_utf8_lossy(body))]),
        Body::File(path) => {
            // curl would ask before it sends a large file.
            header(quoted("expect:"));
            words.extend(["--data-binary".to_owned(), quoted(&format!("@{}", path.display()))]);
        }
    }
    words.join(" ")
}

/// Where the host is, and whom to trust there.
fn route(url: &Url, settings: &Settings) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(socket) = settings.embedded_socket.as_ref().filter(|_| is_embedded(url)) {
        words.extend(["--unix-socket".to_owned(), quoted(&socket.display().to_string())]);
    }
    let fixed = settings.resolve.iter().find(|(host, _)| url.host_str() == Some(host));
    if let (Some((host, address)), Some(port)) = (fixed, url.port_or_known_default()) {
        // Unlike --resolve, it can lead to another port.
        let to = if address.port() == 0 { format!("{}:{port}", bracketed(address.ip())) } else { address.to_string() };
        words.extend(["--connect-to".to_owned(), quoted(&format!("{host}:{port}:{to}"))]);
    }
    if url.scheme() == "https" {
        match settings.trusted_certificates.as_slice() {
            [] => {}
            [one] => words.extend(["--cacert".to_owned(), quoted(&one.display().to_string())]),
            several => {
                let files: Vec<_> = several.iter().map(|path| quoted(&path.display().to_string())).collect();
                words.extend(["--cacert".to_owned(), format!("<(cat {})", files.join(" "))]);
            }
        }
    }
    words
}

fn bracketed(ip: std::net::IpAddr) -> Box<dyn Display> {
    match ip {
        std::net::IpAddr::V4(ip) => Box::new(ip),
        std::net::IpAddr::V6(ip) => Box::new(format!("[{ip}]")),
    }
}

/// One word of a bash command that stands for exactly this text. Never holds a character that acts on a terminal.
fn quoted(text: &str) -> String {
    if !text.is_empty()
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "-_./:=@%+,".contains(character))
    {
        return text.to_owned();
    }
    if !text.chars().any(acts) {
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
            acting if acts(acting) => {
                let mut bytes = [0; 4];
                for byte in acting.encode_utf8(&mut bytes).bytes() {
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
    use std::process::Command;

    /// What bash makes of words: one per line, escaped by `printf %q`'s inverse, the NUL byte.
    fn arguments(line: &str) -> Vec<String> {
        let script = format!("curl() {{ printf '%s\\0' \"$@\"; }}; {line}");
        let output = Command::new("bash").arg("-c").arg(script).env("TOKEN", "t0").env("LC_ALL", "C.UTF-8").output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.split_terminator('\0').map(ToOwned::to_owned).collect()
    }

    fn line_of(url: &str, headers: &[HttpHeader], body: Body<'_>, settings: &Settings) -> String {
        let (method, url, none) = (Method::POST, url.parse().unwrap(), HeaderMap::new());
        line(&Outgoing { method: &method, url: &url, headers: &none, body }, headers, settings)
    }

    #[test]
    fn the_host_is_found_and_trusted_as_the_configuration_says_and_a_file_is_read_by_curl() {
        let settings = Settings {
            trusted_certificates: vec!["/etc/a b.pem".into(), "/etc/c.pem".into()],
            resolve: vec![
                ("h.example".to_owned(), "127.0.0.1:8443".parse().unwrap()),
                ("six".to_owned(), "[::1]:0".parse().unwrap()),
            ],
            ..Settings::default()
        };
        let file = Body::File(Path::new("/home/it's.txt"));
        let words = line_of("https://h.example/x", &[], file, &settings);
        assert_eq!(
            words,
            "curl -sS -i -N -g --connect-to h.example:443:127.0.0.1:8443 --cacert <(cat '/etc/a b.pem' /etc/c.pem) \
             -X POST https://h.example/x -H content-type: -H expect: --data-binary '@/home/it'\\''s.txt'"
        );
        assert!(
            line_of("https://six/", &[], Body::None, &settings).contains("--connect-to 'six:443:[::1]:443' --cacert")
        );
        let other = line_of("http://other/", &[], Body::None, &settings);
        assert_eq!(other, "curl -sS -i -N -g -X POST http://other/");
    }

    #[test]
    fn the_embedded_emulator_is_reached_by_its_socket_and_nothing_else_is() {
        let settings = Settings { embedded_socket: Some("/home/a b/socket".into()), ..Settings::default() };
        let line = line_of("http://emulator.localhost/x", &[], Body::None, &settings);
        assert_eq!(line, "curl -sS -i -N -g --unix-socket '/home/a b/socket' -X POST http://emulator.localhost/x");
        assert!(!line_of("http://127.0.0.1:8787/x", &[], Body::None, &settings).contains("--unix-socket"));
    }

    #[test]
    fn bash_reads_every_character_as_it_was_sent() {
        for body in [
            "plain",
            "",
            "it's $HOME `id` \"quoted\" \\n !!",
            "two\nlines\r\n\ttab",
            "\u{1b}[2J bell\u{7}7 ünï 🦀 \u{85} \u{202e}\u{e0041}",
            "{\"input\":\"a 'b' \\\\ \\\"c\\\"\"}",
            "@/etc/passwd",
            "-d",
        ] {
            let header = |name: &str, value: &str| HttpHeader { name: name.to_owned(), value: value.to_owned() };
            let headers = [
                header("authorization", "Bearer [redacted]"),
                header("content-type", "application/json"),
                header("x-key", "it's $1"),
                header("x-empty", ""),
            ];
            let body = Bytes::from(body);
            let line = line_of("http://127.0.0.1:1/a?b=c&d=[e]{f}", &headers, Body::Bytes(&body), &Settings::default());
            assert!(!line.contains(acts), "{line:?}");
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
                "content-type: application/json",
                "-H",
                "x-key: it's $1",
                "-H",
                "x-empty;",
                "--data-raw",
                std::str::from_utf8(&body).unwrap(),
            ];
            assert_eq!(arguments, expected, "{line}");
        }
    }
}
