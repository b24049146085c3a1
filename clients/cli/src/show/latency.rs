//! How long the parts of a call took, in one line.

use cupola_protocol::latency::{Latency, SessionStart};

/// For example `cold start, 2345 ms (platform 12, infrastructure 1800, container start 400, agent 133)`.
pub(crate) fn line(latency: &Latency) -> String {
    let start = latency.session_start.map(|start| match start {
        SessionStart::Cold => "cold start",
        SessionStart::Warm => "warm session",
        SessionStart::Resume => "resumed session",
        SessionStart::Other => "another kind of start",
    });
    let whole = latency.response_begin_ms.map(|milliseconds| format!("{milliseconds} ms"));
    let parts: Vec<_> = [
        ("platform", latency.platform_preprocessing_ms),
        ("infrastructure", latency.infra_setup_ms),
        ("container start", latency.container_readiness_ms),
        ("agent", latency.container_response_ms),
    ]
    .into_iter()
    .filter_map(|(name, milliseconds)| Some(format!("{name} {}", milliseconds?)))
    .collect();
    let head: Vec<_> = start.map(str::to_owned).into_iter().chain(whole).collect();
    match (head.is_empty(), parts.is_empty()) {
        (_, true) => head.join(", "),
        (true, false) => format!("{} (ms)", parts.join(", ")),
        (false, false) => format!("{} ({})", head.join(", "), parts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_the_service_reported() {
        for (latency, expected) in [
            (
                r#"{"sessionStart":"cold","platformPreprocessingMs":12,"infraSetupMs":1800,"containerReadinessMs":400,
                    "containerResponseMs":133,"responseBeginMs":2345}"#,
                "cold start, 2345 ms (platform 12, infrastructure 1800, container start 400, agent 133)",
            ),
            (r#"{"sessionStart":"warm","responseBeginMs":40}"#, "warm session, 40 ms"),
            (r#"{"containerResponseMs":7}"#, "agent 7 (ms)"),
            (r#"{"sessionStart":"prewarmed"}"#, "another kind of start"),
        ] {
            assert_eq!(line(&serde_json::from_str(latency).unwrap()), expected);
        }
    }
}
