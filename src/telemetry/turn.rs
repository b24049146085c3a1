//! One turn while it is measured: from its beginning to its span and its metrics.
//!
//! Everything that becomes an attribute is set here. It is a list of names and ids; isolation keys, identities, prompts, answers,
//! error messages and tokens are not among them.

use super::context::SpanContext;
use super::metrics::{Labels, number};
use super::recorder::Recorder;
use super::span::{Span, Value};
use crate::error::CallError;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::headers::TraceParent;
use cupola_protocol::invoke::{InvokeResponse, RunStatus};
use cupola_protocol::target::Target;
use http::HeaderValue;
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use url::Url;

/// `gen_ai.operation.name`: a turn is an invocation of an agent.
const OPERATION: &str = "invoke_agent";
/// `gen_ai.provider.name`, as Microsoft's own packages call it.
const PROVIDER: &str = "microsoft.foundry";
/// The longest name of a model that is passed on, in bytes. The service's own have some dozen.
const MAX_MODEL: usize = 256;

/// A turn that is being measured.
#[derive(Debug)]
pub struct Turn {
    recorder: Arc<Recorder>,
    context: SpanContext,
    parent: Option<SpanContext>,
    started: SystemTime,
    began: Instant,
    facts: Mutex<Facts>,
}

/// What becomes known on the way.
#[derive(Debug, Default)]
struct Facts {
    agent: Option<String>,
    server: Option<(String, u16)>,
    first_chunk: Option<Duration>,
    is_resumed: bool,
}

/// What is read of the service's final object.
#[derive(Debug, Default, Deserialize)]
struct ServiceObject {
    #[serde(default)]
    object: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Usage {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
}

impl Turn {
    pub(super) fn begin(recorder: Arc<Recorder>, parent: Option<&TraceParent>) -> Self {
        let parent = parent.and_then(SpanContext::parse);
        let context = SpanContext::new(parent, recorder.ratio);
        let facts = Mutex::default();
        Self { recorder, context, parent, started: SystemTime::now(), began: Instant::now(), facts }
    }

    /// The `traceparent` for the service's requests, so that the agent's spans join this one.
    pub fn traceparent(&self) -> Option<HeaderValue> {
        self.context.header()
    }

    /// Which agent it is, now that its name is known.
    pub fn of(&self, target: &Target) {
        let mut facts = self.facts();
        facts.agent = target.agent().map(|agent| agent.as_str().to_owned());
        facts.server = server(target);
    }

    /// An earlier daemon began it: only its rest is measured.
    pub fn is_resumed(&self) {
        self.facts().is_resumed = true;
    }

    /// A part of the answer is there. Only the first one counts.
    pub fn chunk(&self) {
        let waited = self.began.elapsed();
        self.facts().first_chunk.get_or_insert(waited);
    }

    /// The next daemon continues it: this span ends without an ending, and the metrics do not count it.
    pub fn leave(&self) {
        let (session, conversation) = (None, None);
        self.finish(Known { session, conversation, ..Known::default() }, None, true);
    }

    /// It has ended so.
    pub fn end(&self, outcome: &Result<InvokeResponse, CallError>) {
        let (known, error) = match outcome {
            Ok(response) => (Known::of(response), failure(response)),
            Err(error) => (Known::default(), Some(error.kind().name())),
        };
        self.measure(&known, error);
        self.finish(known, error, false);
    }

    fn measure(&self, known: &Known, error: Option<&'static str>) {
        let (duration, metrics) = (self.began.elapsed(), &self.recorder.metrics);
        let facts = self.facts();
        if facts.is_resumed {
            // Its beginning is not known.
            return;
        }
        let mut labels: Labels = Vec::with_capacity(6);
        labels.extend(facts.agent.clone().map(|agent| ("gen_ai.agent.name", agent)));
        labels.push(("gen_ai.operation.name", OPERATION.to_owned()));
        labels.push(("gen_ai.provider.name", PROVIDER.to_owned()));
        labels.extend(known.object.model.clone().map(|model| ("gen_ai.response.model", model)));
        if let Some(first_chunk) = facts.first_chunk {
            metrics.first_chunk.record(&labels, first_chunk.as_secs_f64());
        }
        drop(facts);
        let usage = known.object.usage.unwrap_or_default();
        for (kind, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
            if let Some(tokens) = tokens {
                let mut labels = labels.clone();
                labels.push(("gen_ai.token.type", kind.to_owned()));
                metrics.tokens.record(&labels, number(tokens));
            }
        }
        labels.splice(0..0, error.map(|error| ("error.type", error.to_owned())));
        metrics.duration.record(&labels, duration.as_secs_f64());
    }

    fn finish(&self, known: Known, error: Option<&'static str>, is_left: bool) {
        if !self.context.is_sampled {
            return;
        }
        let facts = self.facts();
        let agent = facts.agent.as_deref();
        let name = agent.map_or_else(|| OPERATION.to_owned(), |agent| format!("{OPERATION} {agent}"));
        let mut attributes: Vec<(&'static str, Value)> =
            vec![("gen_ai.operation.name", OPERATION.into()), ("gen_ai.provider.name", PROVIDER.into())];
        let id = agent.zip(known.version.as_deref()).map(|(agent, version)| format!("{agent}:{version}"));
        let usage = known.object.usage.unwrap_or_default();
        for (key, text) in [
            ("gen_ai.agent.name", agent.map(ToOwned::to_owned)),
            ("gen_ai.agent.id", id),
            ("gen_ai.agent.version", known.version),
            ("gen_ai.conversation.id", known.conversation),
            ("gen_ai.response.id", known.response),
            ("gen_ai.response.model", known.object.model),
            ("microsoft.session.id", known.session),
            ("error.type", error.map(ToOwned::to_owned)),
        ] {
            attributes.extend(text.map(|text| (key, Value::Text(text))));
        }
        for (key, count) in [
            ("gen_ai.usage.input_tokens", usage.input_tokens),
            ("gen_ai.usage.output_tokens", usage.output_tokens),
            ("server.port", facts.server.as_ref().map(|(_, port)| u64::from(*port))),
        ] {
            attributes.extend(count.map(|count| (key, Value::Count(count))));
        }
        attributes.extend(facts.server.clone().map(|(host, _)| ("server.address", Value::Text(host))));
        for (key, is) in [("cupola.run.resumed", facts.is_resumed), ("cupola.run.left", is_left)] {
            attributes.extend(is.then_some((key, Value::Flag(true))));
        }
        drop(facts);
        // By the monotonic clock: the other one may be set meanwhile.
        let ended = self.started.checked_add(self.began.elapsed()).unwrap_or(self.started);
        self.recorder.keep(Span {
            context: self.context,
            parent: self.parent.map(|parent| parent.span),
            name,
            started: self.started,
            ended,
            attributes,
            error,
        });
    }

    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a turn at its end.
#[derive(Debug, Default)]
struct Known {
    session: Option<String>,
    conversation: Option<String>,
    response: Option<String>,
    version: Option<String>,
    object: ServiceObject,
}

impl Known {
    fn of(response: &InvokeResponse) -> Self {
        let object = response.output.as_deref().map(|output| service_object(output.get()));
        Self {
            session: response.session_id.as_ref().map(ToString::to_string),
            conversation: response.conversation_id.as_ref().map(ToString::to_string),
            response: response.response_id.as_ref().map(ToString::to_string),
            version: response.agent_version.as_ref().map(ToString::to_string),
            object: object.unwrap_or_default(),
        }
    }
}

/// The model and the tokens of a response. Any other object is an agent's own, and may say anything under these names.
fn service_object(output: &str) -> ServiceObject {
    let object = serde_json::from_str::<ServiceObject>(output).ok();
    let object = object.filter(|object| object.object == "response").unwrap_or_default();
    let model = object.model.filter(|model| !model.is_empty() && model.len() <= MAX_MODEL);
    ServiceObject { model, ..object }
}

/// `error.type` of a turn that did not complete. One that stopped early at a limit did not fail.
fn failure(response: &InvokeResponse) -> Option<&'static str> {
    let kind = response.failure.as_ref().map(|failure| failure.kind.name());
    match response.status {
        RunStatus::Completed | RunStatus::Incomplete => None,
        RunStatus::Cancelled => Some(ErrorKind::Cancelled.name()),
        RunStatus::Truncated => Some(kind.unwrap_or("truncated")),
        RunStatus::Failed => Some(kind.unwrap_or("_OTHER")),
    }
}

/// The host and port that requests go to.
fn server(target: &Target) -> Option<(String, u16)> {
    let of = |url: &str| {
        let url = Url::parse(url).ok()?;
        Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
    };
    match target {
        Target::Project { endpoint, .. } => of(endpoint.as_str()),
        Target::AgentEndpoint { url, .. } => of(url.project().as_str()),
        Target::Emulator { url: Some(url), .. } => of(url.as_str()),
        Target::Local { port, .. } => Some(("localhost".to_owned(), port.get())),
        Target::Emulator { url: None, .. } | Target::Directory(_) | Target::Gateway { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_response_of_the_service_says_what_it_used() {
        let given =
            r#"{"object":"response","model":"gpt-x","usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}"#;
        let object = service_object(given);
        let usage = object.usage.unwrap();
        assert_eq!(
            (object.model.as_deref(), usage.input_tokens, usage.output_tokens),
            (Some("gpt-x"), Some(3), Some(4))
        );
        for other in [
            // An agent's own object, in which a model may be the name of a car.
            r#"{"model":"the plan is secret","usage":{"input_tokens":3}}"#,
            r#"{"object":"response","model":7}"#,
            "[1]",
            "text",
        ] {
            let object = service_object(other);
            assert!(object.model.is_none() && object.usage.is_none(), "{other}");
        }
        let long = format!(r#"{{"object":"response","model":"{}"}}"#, "m".repeat(MAX_MODEL + 1));
        assert!(service_object(&long).model.is_none());
    }
}
