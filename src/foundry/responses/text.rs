//! The text of a streamed response, and what an unreadable event left out of it. Pure.

use super::super::reply::ReplyItem;
use cupola_protocol::invoke::InvokeEvent;

/// The output item and the piece of its content that a text belongs to.
pub(super) type Part = (u64, u64);

/// The part that text came for last.
#[derive(Debug, Clone, Copy)]
struct Current {
    part: Part,
    /// Where in the text it begins.
    begin: usize,
    /// Has the service repeated it as a whole?
    is_confirmed: bool,
}

/// All text so far, as it came.
#[derive(Debug, Default)]
pub(super) struct Text {
    whole: String,
    /// The part that text came for last.
    current: Option<Current>,
    /// Has the service not repeated an earlier part as a whole?
    has_unconfirmed: bool,
    /// The parts are not one after the other in the text, so that one of them cannot be replaced.
    is_mixed: bool,
    /// An event could not be read, and may have held text.
    has_lost: bool,
}

impl Text {
    pub(super) fn whole(&self) -> &str {
        &self.whole
    }

    /// May text be missing?
    pub(super) fn has_hole(&self) -> bool {
        let is_confirmed = self.current.is_some_and(|current| current.is_confirmed);
        self.has_lost && (self.is_mixed || self.has_unconfirmed || !is_confirmed)
    }

    /// An event could not be read.
    pub(super) fn lost_some(&mut self) {
        self.has_lost = true;
    }

    /// More text of a part.
    pub(super) fn append(&mut self, part: Part, delta: String) -> ReplyItem {
        self.enter(part, false);
        self.whole.push_str(&delta);
        ReplyItem::Event(InvokeEvent::TextDelta { delta })
    }

    /// The service repeats a part as a whole. Gives what fills the hole in it, if there is one.
    pub(super) fn confirm(&mut self, part: Part, whole: &str) -> Option<ReplyItem> {
        let begin = self.enter(part, true);
        if self.is_mixed {
            return None;
        }
        let known = self.whole.get(begin..).unwrap_or_default();
        // Without a hole the final object has the last word.
        if !self.has_lost || known == whole {
            return None;
        }
        let event = if let Some(rest) = whole.strip_prefix(known) {
            self.whole.push_str(rest);
            InvokeEvent::TextDelta { delta: rest.to_owned() }
        } else {
            self.whole.truncate(begin);
            self.whole.push_str(whole);
            InvokeEvent::Snapshot { text: self.whole.clone() }
        };
        Some(ReplyItem::Event(event))
    }

    /// The run restarted with this text.
    pub(super) fn restart(&mut self, text: String) -> ReplyItem {
        // Where in it the parts begin is not known.
        *self = Self { whole: text.clone(), is_mixed: true, ..Self::default() };
        ReplyItem::Event(InvokeEvent::Snapshot { text })
    }

    /// Text comes for a part. Gives where it begins.
    fn enter(&mut self, part: Part, is_confirmed: bool) -> usize {
        let mut begin = self.whole.len();
        match self.current {
            Some(current) if current.part == part => begin = current.begin,
            Some(current) => {
                self.is_mixed |= part < current.part;
                self.has_unconfirmed |= !current.is_confirmed;
            }
            None => {}
        }
        self.current = Some(Current { part, begin, is_confirmed });
        begin
    }
}
