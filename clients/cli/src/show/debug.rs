//! `--debug`: outgoing requests on standard error, and the `curl` line that repeats each.

use super::Header;
use crate::terminal::{line, text};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::Write;

/// A `request` event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'line> {
    #[serde(borrow)]
    method: Cow<'line, str>,
    #[serde(borrow)]
    url: Cow<'line, str>,
    #[serde(borrow)]
    headers: Vec<Header<'line>>,
    #[serde(default, borrow)]
    body: Option<Cow<'line, str>>,
    #[serde(default, borrow)]
    body_file: Option<Cow<'line, str>>,
    #[serde(borrow)]
    curl: Cow<'line, str>,
}

#[derive(Deserialize)]
struct Kind<'line> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'line, str>,
}

/// Shows an event if it is a request, and returns whether it is one. A failure to print it does not end the call.
pub(crate) fn show<To: Write>(event: &RawValue, to: impl FnOnce() -> To) -> bool {
    // Most events are something else, and not worth a second look.
    let is_request = serde_json::from_str::<Kind<'_>>(event.get()).is_ok_and(|event| event.kind == "request");
    if let (true, Ok(request)) = (is_request, serde_json::from_str::<Request<'_>>(event.get())) {
        let _: std::io::Result<()> = write(&request, &mut to());
    }
    is_request
}

fn write(request: &Request<'_>, to: &mut impl Write) -> std::io::Result<()> {
    writeln!(to, "> {} {}", line(&request.method), line(&request.url))?;
    for Header { name, value } in &request.headers {
        writeln!(to, "> {}: {}", line(name), line(value))?;
    }
    if let Some(body) = &request.body {
        writeln!(to, ">\n{}", text(body))?;
    }
    if let Some(file) = &request.body_file {
        writeln!(to, ">\n@{}", line(file))?;
    }
    // Holds nothing that acts: it is escaped for the shell.
    writeln!(to, "{}", line(&request.curl))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(event: &str) -> String {
        let mut bytes = Vec::new();
        show(serde_json::from_str(event).unwrap(), || &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_request_is_shown_with_its_curl_line_and_nothing_else_is() {
        let event = r#"{"runId":"r","number":1,"type":"request","method":"POST","url":"http://h/x","headers":[{"name":"a","value":"\u001bb"}],"body":"{\"c\":1}","curl":"curl -X POST http://h/x"}"#;
        assert_eq!(shown(event), "> POST http://h/x\n> a: \u{fffd}b\n>\n{\"c\":1}\ncurl -X POST http://h/x\n");
        let upload = r#"{"type":"request","method":"PUT","url":"u","headers":[],"bodyFile":"/a\u001b","curl":"curl"}"#;
        assert_eq!(shown(upload), "> PUT u\n>\n@/a\u{fffd}\ncurl\n");
        assert_eq!(shown(r#"{"type":"textDelta","delta":"request"}"#), "");
    }
}
