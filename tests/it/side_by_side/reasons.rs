//! Why Cupola sends something else than azd: each reason a sentence and the differences it covers.

use super::cases::Case;
use super::differences::Difference;
use super::differences::Difference::{Extra, Missing, Part};

/// One reason.
pub(super) struct Reason {
    pub(super) says: &'static str,
    covers: fn(&Case, &Difference) -> bool,
}

/// All of them.
pub(super) const REASONS: [Reason; 22] = [
    Reason { says: "a program says its own name", covers: |_, it| part(it, "header user-agent").is_some() },
    Reason {
        says: "azd asks for the latency of a turn since beta.16, after these captures (contract section 21.1)",
        covers: |_, it| part(it, "header x-ms-debug-latency-enabled") == Some((None, Some("true"))),
    },
    Reason {
        says: "azd leaves open what it can read; Cupola says it",
        covers: |_, it| matches!(part(it, "header accept"), Some((None, Some(_)))),
    },
    Reason {
        says: "compressed, an event stream arrives in lumps and a file has other bytes; what is shown is not compressed",
        covers: |_, it| {
            let is_streamed = |request: &str| {
                ["responses", "invocations", "a2a", ":logstream", "files/content"]
                    .iter()
                    .any(|end| request.ends_with(end))
            };
            let is_so = part(it, "header accept-encoding") == Some((Some("gzip"), Some("identity")));
            is_so && matches!(it, Part { request, .. } if is_streamed(request))
        },
    },
    Reason {
        says: "what was a preview has the API version v1 now",
        covers: |_, it| part(it, "query api-version") == Some((Some("2025-11-15-preview"), Some("v1"))),
    },
    Reason {
        says: "no operation is a preview any more, so none is opted into (contract section 1.4)",
        covers: |_, it| matches!(part(it, "header foundry-features"), Some((Some(_), None))),
    },
    Reason {
        says: "the session's field is agent_session_id; containers ignore session_id (contract section 7.1)",
        covers: |_, it| part(it, "session in the body") == Some((Some("session_id"), Some("agent_session_id"))),
    },
    Reason {
        says: "an agent's OpenAPI document is of no use to an invoke",
        covers: |_, it| matches!(it, Missing(request) if request.ends_with("invocations/docs/openapi.json")),
    },
    Reason {
        says: "how an agent isolates is in its definition, which a daemon reads once",
        covers: |_, it| matches!(it, Extra(request) if request == "GET the agent" || request.starts_with("GET versions/")),
    },
    Reason {
        says: "the agent has its newest version in it, so that one is not asked for by itself",
        covers: |case, it| case.name == "show" && *it == Missing("GET versions/3".to_owned()),
    },
    Reason {
        says: "the largest page: azd shows the first page and calls it the list",
        covers: |_, it| part(it, "query limit") == Some((None, Some("100"))),
    },
    Reason {
        says: "a conversation leads back to the session it is bound to, so a new session is made before it is used",
        covers: |case, it| {
            case.name == "invoke-new-session"
                && (*it == Extra("POST sessions".to_owned())
                    || part(it, "session in the body") == Some((None, Some("agent_session_id"))))
        },
    },
    Reason {
        says: "azd's defect: what one user's call saved is sent under the next user's name; Cupola starts a new one for each",
        covers: |case, it| {
            ["invoke-responses-isolated", "fresh-tenant-contoso", "fresh-other-user"].contains(&case.name)
                && match it {
                    Extra(request) => starts_a_new_one(request),
                    _ => part(it, "session in the body") == Some((Some("session_id"), None)),
                }
        },
    },
    Reason {
        says: "azd's defect: the session of a version is made without the user it is for",
        covers: |case, it| {
            case.name == "fresh-version"
                && matches!(it, Part { request, .. } if request == "POST sessions")
                && matches!(part(it, "header x-ms-user-identity"), Some((None, Some(_))))
        },
    },
    Reason {
        says: "azd's defect: with another version it continues in the old version's session",
        covers: |case, it| case.name == "invoke-version" && matches!(it, Extra(request) if starts_a_new_one(request)),
    },
    Reason {
        says: "a session with an ownership key has an id of Cupola's making, which is stored with the key before the service is asked",
        covers: |case, it| {
            case.name == "sessions-create" && matches!(part(it, "session in the body"), Some((None, Some(_))))
        },
    },
    Reason {
        says: "a local agent's answer is streamed as well",
        covers: |_, it| {
            matches!(it, Part { request, .. } if request == "POST /responses")
                && part(it, "body stream") == Some((None, Some("true")))
        },
    },
    Reason {
        says: "a local agent gets the keys, as the article says: its code can be tried with them",
        covers: |case, it| {
            let keys = ["header x-agent-user-isolation-key", "header x-agent-chat-isolation-key"];
            case.name.starts_with("invoke-local")
                && keys.iter().any(|key| matches!(part(it, key), Some((None, Some(_)))))
        },
    },
    Reason {
        says: "the agent of this test is told by its input to take long, that of the capture always did",
        covers: |case, it| {
            let parts = ["body", "body mode", "body seconds", "header content-type"];
            case.name.starts_with("invoke-invocations-lro")
                && matches!(it, Part { request, .. } if request == "POST protocols/invocations")
                && parts.iter().any(|name| part(it, name).is_some())
        },
    },
    Reason {
        says: "and it has done sooner, so it is asked less often",
        covers: |case, it| {
            case.name.starts_with("invoke-invocations-lro")
                && matches!(it, Missing(request) if request == "GET protocols/invocations/<id>")
        },
    },
    Reason {
        says: "the service says that it has deleted what never was, so the session is looked at first: its id may be the beginning of one",
        covers: |case, it| case.name.starts_with("sessions-delete") && *it == Extra("GET sessions/<id>".to_owned()),
    },
    Reason {
        says: "an agent that can stream over a2a is asked to; its card says whether it can",
        covers: |case, it| {
            case.name == "invoke-a2a"
                && (*it == Extra("GET protocols/a2a/agentCard/v0.3".to_owned())
                    || part(it, "body method") == Some((Some("\"message/send\""), Some("\"message/stream\""))))
        },
    },
];

/// The reason of a difference, if there is one.
pub(super) fn of(case: &Case, difference: &Difference) -> Option<&'static str> {
    REASONS.iter().find(|reason| (reason.covers)(case, difference)).map(|reason| reason.says)
}

/// What both send in a part of this name, if it is this part that differs.
fn part<'a>(difference: &'a Difference, name: &str) -> Option<(Option<&'a str>, Option<&'a str>)> {
    match difference {
        Part { part, theirs, ours, .. } if part == name => Some((theirs.as_deref(), ours.as_deref())),
        _ => None,
    }
}

/// A session or a conversation is made.
fn starts_a_new_one(request: &str) -> bool {
    ["POST sessions", "POST protocols/openai/conversations"].contains(&request)
}
