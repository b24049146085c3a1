//! Which protocol a turn speaks, and what may be said in it.

use crate::error::CallError;
use crate::foundry::{Definition, MAX_SENT_BYTES};
use crate::rpc::scope::Scope;
use cupola_protocol::error::ErrorKind;
use cupola_protocol::invoke::{AgentProtocol, IfBusy, InvokeParams};
use cupola_protocol::target::Target;

/// What to speak: as asked for, as the endpoint's path says, or what the agent's definition puts first.
pub(super) fn protocol(params: &InvokeParams, scope: &Scope) -> Result<AgentProtocol, CallError> {
    let by_path = by_path(&params.target);
    let Some(wanted) = params.protocol.or(by_path) else {
        if let Some(words) = scope.definition.as_ref().and_then(Definition::unknown_protocols) {
            let message = format!("the agent speaks {words} only, and Cupola does not speak that");
            return Err(CallError::new(ErrorKind::NotOffered, message));
        }
        let defined = || scope.definition.as_ref().and_then(Definition::protocol);
        let in_project = || scope.protocols.iter().find_map(|name| AgentProtocol::named(name));
        return Ok(scope.agent.spoken().or_else(defined).or_else(in_project).unwrap_or_default());
    };
    if let Some(by_path) = by_path.filter(|by_path| *by_path != wanted) {
        let (wanted, by_path) = (wanted.name(), by_path.name());
        return Err(CallError::invalid_params(format!("the agent endpoint is one of {by_path}, not of {wanted}"))
            .hint("leave --protocol out, or pass the endpoint of that protocol"));
    }
    if wanted == AgentProtocol::A2a && !params.client_headers.is_empty() {
        return Err(CallError::invalid_params("clientHeaders cannot be sent with a2a, which has no place for them")
            .hint("leave --client-header out"));
    }
    if wanted == AgentProtocol::A2a && params.version_override.is_some() {
        return Err(CallError::invalid_params("versionOverride cannot be sent with a2a, which has no place for it")
            .hint("name the version with --version instead"));
    }
    // The service speaks a2a for any agent that speaks responses (contract section 11).
    let (name, needed) = (wanted.name(), if wanted == AgentProtocol::A2a { "responses" } else { wanted.name() });
    match &scope.definition {
        Some(definition)
            if !definition.protocols.is_empty()
                && definition.protocols.iter().all(|spoken| spoken.name != needed && spoken.name != name) =>
        {
            Err(CallError::invalid_params(format!("the agent does not speak {name}"))
                .hint("leave --protocol out to use what it speaks"))
        }
        _ => Ok(wanted),
    }
}

/// The protocol of an endpoint's path.
fn by_path(target: &Target) -> Option<AgentProtocol> {
    match target {
        Target::AgentEndpoint { url, .. } => Some(url.protocol()),
        _ => None,
    }
}

/// What to try with an agent that has no route for `tried`, unless the caller has chosen.
pub(super) fn other(params: &InvokeParams, tried: AgentProtocol) -> Option<AgentProtocol> {
    if params.protocol.or(by_path(&params.target)).is_some() {
        return None;
    }
    let other = match tried {
        AgentProtocol::Responses => Some(AgentProtocol::Invocations),
        AgentProtocol::Invocations => Some(AgentProtocol::Responses),
        AgentProtocol::InvocationsWs | AgentProtocol::A2a => None,
    };
    // What only the first protocol can carry is not sent without it.
    other.filter(|other| super::answering::check(params, *other).is_ok())
}

/// What is said in a dialogue.
pub(super) fn messages(params: &InvokeParams) -> Vec<&str> {
    let text = params.input.text().unwrap_or_default();
    if params.message_per_line { text.lines().filter(|line| !line.is_empty()).collect() } else { vec![text] }
}

/// Refuses a dialogue of nothing, and what the service would close it for.
pub(super) fn check_messages(params: &InvokeParams, scope: &Scope) -> Result<(), CallError> {
    let messages = messages(params);
    if messages.is_empty() {
        return Err(CallError::invalid_params("input has no line, so there is nothing to say"));
    }
    match messages.iter().map(|message| message.len()).find(|length| *length > MAX_SENT_BYTES) {
        Some(length) if !scope.is_local() => Err(CallError::invalid_params(format!(
            "a message of {length} bytes: over a WebSocket the service takes {MAX_SENT_BYTES} bytes at most"
        ))
        .hint("send it in several messages (--message-per-line), or as a file (cupola files upload)")),
        _ => Ok(()),
    }
}

/// May the call choose this for a busy session, in this protocol?
pub(super) fn check_if_busy(params: &InvokeParams, protocol: AgentProtocol) -> Result<(), CallError> {
    let can_steer = matches!(protocol, AgentProtocol::Responses | AgentProtocol::Invocations);
    if params.if_busy != IfBusy::Steer || can_steer {
        return Ok(());
    }
    let message = format!("ifBusy: {} cannot be steered; only responses and invocations can", protocol.name());
    Err(CallError::invalid_params(message).hint("leave ifBusy (--if-busy) out to wait for the other call"))
}
