//! A dialogue over a WebSocket: messages, and how the agent closes.

use super::*;
use crate::foundry::reply::fuzz_reply::told;
use crate::fuzz::{Input, mutated};
use bolero::{check, produce};

#[test]
fn dialogues_end_once_whatever_the_agent_says() {
    let token = r#"{"type":"token","content":"al"}"#;
    let done = r#"{"type":"done","full_text":"alpha"}"#;
    let seeds = [
        format!("{token}\n{token}\n{done}\n"),
        format!("echo: hello\n[DONE]\n{token}\n{done}\n{done}\n"),
        "42\n\"just words\"\n{\"a\":1}\n{\"error\":{\"message\":\"no\"}}\n".to_owned(),
        "{\"type\":\"session.created\"}\n{\"type\":\"error\",\"message\":\"no\",\"code\":\"c\"}\n".to_owned(),
    ];
    let words = ["token", "done", "error", "content", "delta", "text", "full_text", "message", "[DONE]", "type"];
    let seeds = seeds.into_iter().map(String::into_bytes);
    let whole = (mutated(seeds, &words), produce::<u8>(), produce::<u16>(), produce::<bool>());
    check!().with_generator(whole).for_each(|(bytes, sent, code, is_raw): &(Input, u8, u16, bool)| {
        let (mut mapping, mut items) = (MessageMapping::new(usize::from(sent % 4), *is_raw), VecDeque::new());
        for line in bytes.split(|byte| *byte == b'\n') {
            match std::str::from_utf8(line) {
                Ok(text) => mapping.text(text, &mut items),
                Err(_) => mapping.binary(line, &mut items),
            }
        }
        match code % 5 {
            0 => mapping.closed(None, &mut items),
            1 => mapping.fell_silent(&mut items),
            2 => mapping.broken("reset", &mut items),
            3 => mapping.failed("too long".to_owned(), &mut items),
            _ => mapping.closed(Some((CloseCode::from(*code), "why")), &mut items),
        }
        let endings = items.iter().filter(|item| matches!(item, ReplyItem::End(_))).count();
        assert_eq!(endings, 1, "{items:?}");
        told(items);
    });
}
