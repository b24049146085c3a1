//! What a caller can see of the requests that its call makes (`--debug`). All methods share it.

use crate::rpc::ProgressToken;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What to report: part of the parameters of every method that calls the service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProgressOptions {
    /// Send each outgoing request as a [`RequestEvent`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub debug: bool,
    /// Send events as `$/progress` with this token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial_result_token: Option<ProgressToken>,
}

/// The value of a `$/progress` notification with `debug`; it has the same shape for every method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum RequestEvent {
    /// An outgoing request.
    Request(SentRequest),
}

/// One HTTP header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HttpHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// An outgoing request. Its `Debug` leaves out what may be private: keys and the prompt.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SentRequest {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// The headers; the token is redacted.
    pub headers: Vec<HttpHeader>,
    /// The body, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The local file whose bytes are the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_file: Option<String>,
    /// A bash command that repeats it, with the token taken from `$TOKEN`.
    pub curl: String,
}

impl fmt::Debug for SentRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SentRequest")
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_event_names_its_type_and_its_debug_output_has_no_secrets() {
        let text = r#"{"type":"request","method":"PUT","url":"https://h/x","headers":[{"name":"x-key","value":"hush"}],"bodyFile":"/f","curl":"curl hush"}"#;
        let event: RequestEvent = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
        assert!(!format!("{event:?}").contains("hush"), "{event:?}");
    }
}
