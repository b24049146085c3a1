//! Did a turn run, although its request was refused? Decided here alone, from what the refusal shows. Pure.
//!
//! That it did not run needs proof: a refusal that names its cause, from the gateway (contract sections 14.2 and 14.3) or from the agent
//! server in front of the agent's code (section 21.2). Everything else leaves it open. Failures without an answer, such as a
//! connection that was refused, are judged by [`super::retry::Failure`].

use cupola_protocol::error::Turn;

/// Who gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The service in front of the agent. A cause that it names is its own.
    Gateway,
    /// The agent server that the agent's code runs in: it answers for the agent, and also refuses by itself.
    AgentServer,
    /// The agent's own code, without an agent server that would say so.
    Agent,
}

impl Speaker {
    /// An agent server puts `x-platform-server` on each of its answers (contract section 21.2). In front of a local agent there is
    /// no gateway that could answer.
    pub(super) const fn of(is_local: bool, names_agent_server: bool) -> Self {
        match (names_agent_server, is_local) {
            (true, _) => Self::AgentServer,
            (false, true) => Self::Agent,
            (false, false) => Self::Gateway,
        }
    }

    /// Has the request reached the container, where the agent's code may have worked on it?
    pub(super) const fn is_container(self) -> bool {
        !matches!(self, Self::Gateway)
    }
}

/// What the refusal of a turn shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal<'a> {
    pub(super) speaker: Speaker,
    /// The HTTP status.
    pub(super) status: u16,
    /// `x-adc-response-details`: the gateway's own code.
    pub(super) details: Option<&'a str>,
    /// `error.code` of the body.
    pub(super) code: Option<&'a str>,
    /// `x-platform-error-source`: which part of the container made the error. Errors of the agent's code have none.
    pub(super) source: Option<&'a str>,
    /// The words are those of a server without a route for the request ([`lacks_route`]).
    pub(super) lacks_route: bool,
}

/// The 404 bodies of servers that have no route for a request: Starlette, aiohttp, `FastAPI` and Go. A handler that raises a bare 404
/// answers in the same words, so only an agent whose protocol the caller did not choose is asked in another one.
const NO_ROUTE: [&str; 4] = ["Not Found", "404: Not Found", r#"{"detail":"Not Found"}"#, "404 page not found"];

/// Does a container's answer say that it has no route for the request? ASP.NET says it without a body.
pub(super) fn lacks_route(status: u16, server: Option<&str>, body: &[u8]) -> bool {
    let body = String::from_utf8_lossy(body);
    let body = body.trim();
    let by_express = body.contains("<pre>Cannot POST /");
    let by_kestrel = body.is_empty() && server == Some("Kestrel");
    status == 404 && (NO_ROUTE.contains(&body) || by_express || by_kestrel)
}

/// Causes of the gateway that mean, with any status, that the request was not handed to the agent.
const GATEWAY_REFUSALS: [&str; 18] = [
    "AgentVersionNotReady",
    "AgentVersionProvisioningFailed",
    "QuotaExceeded",
    "ReadinessTimeout",
    "RegionalQuotaExceeded",
    "SandboxIdle",
    "SandboxNotFound",
    "agent_not_found",
    "conversation_locked",
    "missing_isolation_key",
    "quota_exceeded",
    "readiness_timeout",
    "sandbox_idle",
    "sandbox_not_found",
    "session_not_accessible",
    "session_not_found",
    "session_not_ready",
    "session_quota_exceeded",
];

impl Refusal<'_> {
    /// Did the turn run?
    pub(super) fn turn(&self) -> Turn {
        let is_refused = match self.speaker {
            Speaker::Gateway => self.is_refused_by_gateway(),
            Speaker::AgentServer => self.lacks_route || self.is_refused_by_agent_server(),
            Speaker::Agent => self.lacks_route,
        };
        if is_refused { Turn::NotRun } else { Turn::MayHaveRun }
    }

    fn is_refused_by_gateway(&self) -> bool {
        let mut names = [self.details, self.code].into_iter().flatten();
        if names.any(|name| GATEWAY_REFUSALS.contains(&name)) {
            return true;
        }
        let is_named = self.details.is_some() || self.code.is_some();
        match self.status {
            // The token comes before everything else.
            401 => true,
            // The request was not answered in time, whatever became of it.
            408 => false,
            400..=499 => is_named,
            // Its own header, with a word that is not documented.
            503 => self.details.is_some(),
            _ => false,
        }
    }

    /// The codes that the agent server gives before it calls the agent's code (contract sections 7.2, 9, 14.2 and 21.1).
    fn is_refused_by_agent_server(&self) -> bool {
        match (self.status, self.code) {
            (409, Some("conversation_locked" | "conversation_fork_not_supported" | "response_id_conflict"))
            | (501, Some("not_implemented"))
            | (503, Some("service_unavailable")) => true,
            // It did not understand the request. The agent's own 400 has no source.
            (400, Some(_)) => self.source == Some("user"),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Status, `x-adc-response-details`, `error.code`, `x-platform-error-source` (empty: absent), and whether the turn did not run: as the
    /// gateway says it, as the agent server does, as an agent without one does.
    const REFUSALS: &[(u16, &str, &str, &str, [bool; 3])] = &[
        (400, "", "invalid_parameters", "user", [true, true, false]),
        (400, "", "invalid_request", "", [true, false, false]),
        (400, "", "", "", [false, false, false]),
        (401, "", "", "", [true, false, false]),
        (401, "", "unauthorized", "upstream", [true, false, false]),
        (403, "", "forbidden", "", [true, false, false]),
        (403, "", "", "", [false, false, false]),
        (404, "", "", "", [false, false, false]),
        (404, "", "not_found", "", [true, false, false]),
        (404, "SandboxNotFound", "", "", [true, false, false]),
        (408, "", "", "", [false, false, false]),
        (408, "", "request_timeout", "", [false, false, false]),
        (408, "ReadinessTimeout", "", "", [true, false, false]),
        (409, "", "conversation_locked", "", [true, true, false]),
        (409, "", "conversation_fork_not_supported", "", [true, true, false]),
        (410, "", "", "", [false, false, false]),
        (413, "", "", "", [false, false, false]),
        (424, "", "session_not_ready", "", [true, false, false]),
        (424, "AgentVersionNotReady", "", "", [true, false, false]),
        (424, "", "", "", [false, false, false]),
        (429, "", "", "", [false, false, false]),
        (429, "", "rate_limit_exceeded", "", [true, false, false]),
        (429, "QuotaExceeded", "", "", [true, false, false]),
        (429, "slow_down", "", "", [true, false, false]),
        (500, "", "server_error", "", [false, false, false]),
        (500, "", "server_error", "upstream", [false, false, false]),
        (500, "AgentVersionProvisioningFailed", "", "", [true, false, false]),
        (501, "", "not_implemented", "upstream", [false, true, false]),
        (502, "", "", "", [false, false, false]),
        (502, "platform", "bad_gateway", "", [false, false, false]),
        (502, "ReadinessTimeout", "", "", [true, false, false]),
        (502, "SandboxIdle", "", "", [true, false, false]),
        (503, "", "", "", [false, false, false]),
        (503, "", "service_unavailable", "", [false, true, false]),
        (503, "unavailable", "", "", [true, false, false]),
        (503, "", "session_not_ready", "", [true, false, false]),
        (504, "", "", "", [false, false, false]),
        (504, "ProxyTimeout", "", "", [false, false, false]),
    ];

    #[test]
    fn a_turn_is_known_not_to_have_run_only_by_a_named_refusal() {
        let given = |text: &'static str| Some(text).filter(|text| !text.is_empty());
        for &(status, details, code, source, expected) in REFUSALS {
            let said_by = |speaker| {
                let (details, code, source) = (given(details), given(code), given(source));
                let refusal = Refusal { speaker, status, details, code, source, lacks_route: false };
                refusal.turn() == Turn::NotRun
            };
            let found = [Speaker::Gateway, Speaker::AgentServer, Speaker::Agent].map(said_by);
            assert_eq!(found, expected, "{status} {details:?} {code:?} {source:?}");
        }
    }

    #[test]
    fn a_server_without_a_route_is_known_by_its_words() {
        for (status, server, body, expected) in [
            (404, None, "Not Found", true),
            (404, None, "{\"detail\":\"Not Found\"}", true),
            (404, None, "<!DOCTYPE html><pre>Cannot POST /responses</pre>", true),
            (404, Some("Kestrel"), "", true),
            (404, None, "", false),
            (404, None, "no such order", false),
            (404, None, r#"{"error":{"code":"not_found","message":"Not Found"}}"#, false),
            (500, None, "Not Found", false),
        ] {
            assert_eq!(lacks_route(status, server, body.as_bytes()), expected, "{status} {body:?}");
        }
        let refusal = |speaker| {
            Refusal { speaker, status: 404, details: None, code: None, source: None, lacks_route: true }.turn()
        };
        assert_eq!([Speaker::AgentServer, Speaker::Agent].map(refusal), [Turn::NotRun; 2]);
        // What a gateway finds nowhere says nothing about the agent.
        assert_eq!(refusal(Speaker::Gateway), Turn::MayHaveRun);
    }

    #[test]
    fn the_speaker_is_told_by_the_header_and_by_who_could_answer() {
        assert_eq!(Speaker::of(false, false), Speaker::Gateway);
        assert_eq!(Speaker::of(false, true), Speaker::AgentServer);
        assert_eq!(Speaker::of(true, true), Speaker::AgentServer);
        assert_eq!(Speaker::of(true, false), Speaker::Agent);
    }
}
