//! What holds for every protocol's answers: one ending, the same story however the bytes arrive, and text that adds up.

use super::*;
use crate::fuzz::pieces;

/// What a caller is told: events with neighbouring pieces of text joined, then the ending.
#[derive(Debug, PartialEq)]
pub(in crate::foundry) struct Told {
    story: Vec<String>,
    text: String,
    ending: String,
}

/// Collects items up to the first ending, as the stream that callers read does.
pub(in crate::foundry) fn told(items: VecDeque<ReplyItem>) -> Told {
    let (mut story, mut text) = (Vec::<String>::new(), String::new());
    for item in items {
        let event = match &item {
            ReplyItem::Event(event) => event,
            ReplyItem::End(ending) => &ending.event,
            // Places in the stream, for those who read it again.
            ReplyItem::At(_) | ReplyItem::Lost => continue,
        };
        let line = serde_json::to_string(event).unwrap();
        assert!(!line.contains(['\n', '\r']), "an event must be one line: {line:?}");
        match item {
            ReplyItem::At(_) | ReplyItem::Lost => {}
            ReplyItem::Event(event) => {
                assert!(event.ending().is_none(), "an ending among the events: {event:?}");
                match event {
                    InvokeEvent::TextDelta { delta } => {
                        text.push_str(&delta);
                        match story.last_mut() {
                            Some(last) if last.starts_with('+') => last.push_str(&delta),
                            _ => story.push(format!("+{delta}")),
                        }
                    }
                    InvokeEvent::Snapshot { text: whole } => {
                        text.clone_from(&whole);
                        story.push(format!("={whole}"));
                    }
                    _ => story.push(line),
                }
            }
            ReplyItem::End(ending) => {
                assert!(ending.event.ending().is_some(), "no ending: {ending:?}");
                if let Some(whole) = &ending.text {
                    assert_eq!(&text, whole, "the pieces of text do not add up to the whole");
                }
                if let Some(output) = &ending.output {
                    assert!(!output.get().contains(['\n', '\r']), "an object must be one line: {output}");
                }
                return Told { story, text, ending: format!("{ending:?}") };
            }
        }
    }
    panic!("there is no ending: {story:?}");
}

fn mapped(mut splitter: Splitter<impl Mapping>, pieces: &[&[u8]], how: BodyEnd) -> Told {
    let mut items = VecDeque::new();
    for piece in pieces {
        splitter.bytes(piece, &mut items);
    }
    splitter.end(how, &mut items);
    told(items)
}

/// Maps the bytes whole and in pieces, of an answer that ended well or of one that broke.
pub(in crate::foundry) fn check_mapping<M: Mapping>(
    split: fn() -> Split,
    mapping: impl Fn() -> M,
    bytes: &[u8],
    cuts: &[u8],
) {
    let how = if cuts.len().is_multiple_of(2) { BodyEnd::Broken("cut".to_owned()) } else { BodyEnd::Clean };
    let splitter = |is_raw| Splitter::new(split(), mapping(), is_raw);
    let whole = mapped(splitter(false), &[bytes], how.clone());
    assert_eq!(mapped(splitter(false), &pieces(bytes, cuts), how.clone()), whole);
    // A caller who wants the unmodified answer hears the same beside it.
    let raw = mapped(splitter(true), &[bytes], how);
    assert_eq!((raw.text, raw.ending), (whole.text, whole.ending));
}
