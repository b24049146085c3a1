//! `cupola invoke --record`: a call's exchanges with the service, as the daemon has told them, in the form of the emulator's recordings.

use crate::target::emulator::CALLER;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cupola_cli::{RecordedCall, SaveCall};
use cupola_emulator::isolation::Partition;
use cupola_emulator::recording::capture::Seen;
use cupola_emulator::recording::format;
use cupola_protocol::isolation::{Isolation, IsolationModel};
use http::{Method, Uri};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Opens a recording and gives what adds a call to it.
pub fn record(path: &Path, prompts: bool) -> Result<SaveCall, String> {
    let (mut file, head) = format::open(path, prompts).map_err(|error| error.to_string())?;
    Ok(Box::new(move |call| {
        let seen = exchanges(call);
        if seen.is_empty() {
            return Err("only responses and invocations can be recorded, and none was answered".to_owned());
        }
        for seen in seen {
            let exchange = seen.exchange(&head)?;
            format::write_line(&mut file, &exchange).map_err(|error| error.to_string())?;
        }
        Ok(())
    }))
}

/// The exchanges that an agent had a part in, each request with its answer.
fn exchanges(call: &RecordedCall) -> Vec<Seen> {
    let response: Value =
        call.response.as_ref().and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let user = user(&call.isolation, &response);
    let text = |name: &str| response[name].as_str().map(str::to_owned);
    let (mut request, mut seen) = (None, Vec::<Seen>::new());
    for (after, event) in &call.events {
        let event: Value = serde_json::from_str(event.get()).unwrap_or_default();
        match event["type"].as_str() {
            Some("request") => request = agents_request(&event).map(|asked| (*after, asked)),
            Some("httpHead") => {
                // One answer per request, and only of those that an agent answers.
                let Some((_, Asked { agent, method, uri, body })) = request.clone() else { continue };
                let line = event["statusLine"].as_str().unwrap_or_default();
                let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
                seen.push(Seen {
                    agent,
                    user: user.clone(),
                    method,
                    uri,
                    body,
                    session: text("sessionId").unwrap_or_default(),
                    response_id: text("responseId"),
                    status,
                    headers: headers(&event["headers"]),
                    pieces: Vec::new(),
                });
            }
            Some("httpBody") => {
                let (Some(seen), Some((began, _))) = (seen.last_mut(), &request) else { continue };
                let decoded = || event["base64"].as_str().and_then(|text| STANDARD.decode(text).ok());
                let bytes = event["text"].as_str().map(|text| text.as_bytes().to_vec()).or_else(decoded);
                seen.pieces.push((after.saturating_sub(*began), Bytes::from(bytes.unwrap_or_default())));
            }
            _ => {}
        }
    }
    seen
}

/// A request as its agent's container sees it.
#[derive(Debug, Clone)]
struct Asked {
    agent: String,
    method: Method,
    uri: Uri,
    body: Bytes,
}

/// A `request` event, if an agent answers it: its protocol's path below the endpoint is the container's own.
fn agents_request(event: &Value) -> Option<Asked> {
    let url = url::Url::parse(event["url"].as_str()?).ok()?;
    let (before, protocol) = url.path().split_once("/endpoint/protocols/")?;
    let path = protocol.strip_prefix("openai/").unwrap_or(protocol);
    if !matches!(path.split('/').next(), Some("responses" | "invocations")) {
        return None;
    }
    // The gateway keeps this one to itself.
    let query: Vec<_> =
        url.query().unwrap_or_default().split('&').filter(|pair| !pair.starts_with("api-version=")).collect();
    let query = query.join("&");
    let uri = if query.is_empty() { format!("/{path}") } else { format!("/{path}?{query}") };
    Some(Asked {
        agent: before.rsplit('/').next()?.to_owned(),
        method: event["method"].as_str()?.parse().ok()?,
        uri: uri.parse().ok()?,
        body: Bytes::from(event["body"].as_str().unwrap_or_default().to_owned()),
    })
}

fn headers(event: &Value) -> BTreeMap<String, String> {
    let pairs = event.as_array().into_iter().flatten().filter_map(|header| {
        Some((header["name"].as_str()?.to_ascii_lowercase(), header["value"].as_str()?.to_owned()))
    });
    pairs.collect()
}

/// Whose call it was, as an emulator with an agent of the same kind would say it.
fn user(isolation: &Isolation, response: &Value) -> Partition {
    let key = |key: &Option<cupola_protocol::isolation::IsolationKey>| key.as_ref().map(|key| key.as_str().to_owned());
    let model = serde_json::from_value(response["isolationModel"].clone()).unwrap_or(IsolationModel::Identity);
    if model == IsolationModel::Keys {
        return Partition::Keys { user: key(&isolation.user_key), chat: key(&isolation.chat_key) };
    }
    let identity = isolation.user_identity.as_ref().map(|identity| identity.as_str().to_owned());
    match identity.or_else(|| key(&isolation.user_key)).filter(|_| model == IsolationModel::Identity) {
        Some(user) => Partition::Delegated(user),
        None => Partition::Own(CALLER.to_owned()),
    }
}
