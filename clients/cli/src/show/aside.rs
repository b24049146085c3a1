//! What happens beside an answer, on request (`--show`): reasoning, tool calls and token use, on standard error.

use crate::terminal;
use clap::ValueEnum;
use serde_json::Value;
use std::io::{self, Write};

/// What can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Aside {
    /// Summaries of the model's reasoning
    Reasoning,
    /// Tool calls with their arguments and results
    Tools,
    /// How many tokens the answer took
    Usage,
}

/// Shows an event of the service, if it is one of `wanted`.
pub(crate) fn event(name: &str, data: &Value, wanted: &[Aside], err: &mut impl Write) -> io::Result<()> {
    let text = |value: &Value, member: &str| value.get(member).and_then(Value::as_str).map(ToOwned::to_owned);
    if wanted.contains(&Aside::Reasoning)
        && matches!(name, "response.reasoning_summary_text.done" | "response.reasoning_text.done")
        && let Some(summary) = text(data, "text")
    {
        writeln!(err, "{}", terminal::paragraph("reasoning: ", &summary))?;
    }
    let Some(item) = data.get("item").filter(|_| wanted.contains(&Aside::Tools) && name == "response.output_item.done")
    else {
        return Ok(());
    };
    let kind = text(item, "type").unwrap_or_default();
    let (is_call, is_result) = (kind.ends_with("_call"), kind.ends_with("_call_output"));
    if is_call {
        let tool = text(item, "name").unwrap_or_else(|| kind.trim_end_matches("_call").to_owned());
        let arguments = text(item, "arguments").unwrap_or_default();
        writeln!(err, "{}", terminal::paragraph("tool: ", format!("{tool} {arguments}").trim_end()))?;
    }
    if let Some(result) = item.get("output").filter(|result| (is_call || is_result) && !result.is_null()) {
        let result = result.as_str().map_or_else(|| result.to_string(), ToOwned::to_owned);
        writeln!(err, "{}", terminal::paragraph("tool result: ", &result))?;
    }
    Ok(())
}

/// Shows how many tokens a response took, if it says that.
pub(crate) fn usage(response: &Value, wanted: &[Aside], err: &mut impl Write) -> io::Result<()> {
    if !wanted.contains(&Aside::Usage) {
        return Ok(());
    }
    let number = |name: &str| response.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
    match (number("input_tokens"), number("output_tokens")) {
        (Some(input), Some(output)) => {
            let total = number("total_tokens").unwrap_or(input.saturating_add(output));
            writeln!(err, "usage: {input} input tokens, {output} output tokens, {total} in all")
        }
        _ => writeln!(err, "usage: the agent does not say how many tokens it used"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_was_asked_for_is_shown() {
        let call = json!({"item": {"type": "function_call", "name": "get_time", "arguments": "{\"tz\":\"UTC\"}"}});
        let result = json!({"item": {"type": "function_call_output", "output": "12:00"}});
        let mcp = json!({"item": {"type": "mcp_call", "name": "find", "arguments": "{}", "output": "two"}});
        let message = json!({"item": {"type": "message", "content": []}});
        let thought = json!({"text": "step one"});
        let shown = |wanted: &[Aside]| {
            let mut err = Vec::new();
            for item in [&call, &result, &mcp, &message] {
                event("response.output_item.done", item, wanted, &mut err).unwrap();
            }
            event("response.reasoning_summary_text.done", &thought, wanted, &mut err).unwrap();
            usage(&json!({"usage": {"input_tokens": 3, "output_tokens": 4}}), wanted, &mut err).unwrap();
            String::from_utf8(err).unwrap()
        };
        assert_eq!(shown(&[]), "");
        assert_eq!(
            shown(&[Aside::Tools]),
            "tool: get_time {\"tz\":\"UTC\"}\ntool result: 12:00\ntool: find {}\ntool result: two\n"
        );
        assert_eq!(
            shown(&[Aside::Reasoning, Aside::Usage]),
            "reasoning: step one\nusage: 3 input tokens, 4 output tokens, 7 in all\n"
        );
    }
}
