//! What an agent asks in its output items. Pure.
//!
//! A tool that needs approval is an item `mcp_approval_request`, a server that needs the person's consent an item
//! `oauth_consent_request` with a `consent_link`.

use cupola_protocol::question::{Question, QuestionKind};
use serde_json::Value;
use url::Url;

/// The question of an output item, if it is one.
pub(super) fn of_item(item: &Value) -> Option<Question> {
    let text = |name: &str| item.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let own = |name: &str| text(name).map(ToOwned::to_owned);
    let kind = match text("type")? {
        "mcp_approval_request" => QuestionKind::Approval,
        "oauth_consent_request" => QuestionKind::Consent,
        _ => return None,
    };
    let arguments = item.get("arguments").filter(|arguments| !arguments.is_null());
    let url = text("consent_link").filter(|_| kind == QuestionKind::Consent).and_then(safe);
    let refused = (kind == QuestionKind::Consent && url.is_none())
        .then(|| "the agent asked for consent without a usable https link".to_owned());
    Some(Question {
        id: own("id")?,
        kind,
        message: refused.or_else(|| own("message")),
        tool: own("name"),
        server: own("server_label"),
        arguments: arguments
            .map(|arguments| arguments.as_str().map_or_else(|| arguments.to_string(), ToOwned::to_owned)),
        url,
    })
}

/// The link as it will be opened, if it is plain `https`: one with a user name can pass for another host.
fn safe(link: &str) -> Option<String> {
    let url = Url::parse(link).ok()?;
    let is_plain = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
    (is_plain && url.host().is_some()).then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn approvals_and_consent_are_questions() {
        let approval =
            of_item(&json!({"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "files", "name": "delete",
            "arguments": "{\"path\":\"a\"}"}))
            .unwrap();
        assert_eq!(approval.kind, QuestionKind::Approval);
        assert_eq!((approval.tool.as_deref(), approval.server.as_deref()), (Some("delete"), Some("files")));
        assert_eq!(approval.arguments.as_deref(), Some("{\"path\":\"a\"}"));
        let consent =
            |link: &str| of_item(&json!({"type": "oauth_consent_request", "id": "c", "consent_link": link})).unwrap();
        assert_eq!(
            consent("https://login.example/consent?x=1").url.as_deref(),
            Some("https://login.example/consent?x=1")
        );
        // What is shown is what will be opened.
        assert_eq!(consent("https://login.\texample/a\nb").url.as_deref(), Some("https://login.example/ab"));
        assert_eq!(consent("https://lоgin.example/").url.as_deref(), Some("https://xn--lgin-55d.example/"));
        for unsafe_link in [
            "http://login.example",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://good.example@evil.example/",
            "",
        ] {
            let question = consent(unsafe_link);
            assert!(question.url.is_none() && question.message.is_some(), "{unsafe_link}");
        }
        for other in [json!({"type": "message", "id": "m"}), json!({"type": "mcp_approval_request"}), json!(1)] {
            assert!(of_item(&other).is_none(), "{other}");
        }
    }
}
