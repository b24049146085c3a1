//! Is a body JSON? Only such a body may change something: a web page cannot send one to another origin without having been
//! allowed to, so the type is one more thing that keeps pages out.

use http::HeaderValue;

/// Is it `application/json`, or a type that ends in `+json`?
pub(crate) fn is_json(content_type: Option<&HeaderValue>) -> bool {
    let text = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// The error message for any other content type.
pub(crate) fn advice(content_type: Option<&HeaderValue>) -> String {
    let text = content_type.map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    format!("The content type is '{text}'; send the body as 'content-type: application/json'.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_json() {
        for (kind, expected) in [
            (Some("application/json"), true),
            (Some("Application/JSON; charset=utf-8"), true),
            (Some("application/merge-patch+json"), true),
            (Some("text/plain"), false),
            (Some("text/plain; application/json"), false),
            (Some("text/x+json"), false),
            (Some("application/x-www-form-urlencoded"), false),
            (Some(""), false),
            (None, false),
        ] {
            let value = kind.map(HeaderValue::from_static);
            assert_eq!(is_json(value.as_ref()), expected, "{kind:?}");
        }
    }
}
