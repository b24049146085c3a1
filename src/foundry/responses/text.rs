//! The text of a streamed response, and what an unreadable event left out of it. Pure.

use super::super::reply::ReplyItem;
use cupola_protocol::invoke::InvokeEvent;

/// The output item and the piece of its content that a text belongs to.
pub(super) type Part = (u64, u64);

/// All text so far, as it came.
#[derive(Debug, Default)]
pub(super) struct Text {
    whole: String,
    /// The part that text came for last, and where in the text it begins.
    current: Option<(Part, usize)>,
    /// Has the service repeated the current part as a whole?
    is_confirmed: bool,
    /// Has it not done so for an earlier one?
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
        self.has_lost && (self.is_mixed || self.has_unconfirmed || !self.is_confirmed)
    }

    /// An event could not be read.
    pub(super) fn lost_some(&mut self) {
        self.has_lost = true;
    }

    /// More text of a part.
    pub(super) fn append(&mut self, part: Part, delta: String) -> ReplyItem {
        self.enter(part);
        self.is_confirmed = false;
        self.whole.push_str(&delta);
        ReplyItem::Event(InvokeEvent::TextDelta { delta })
    }

    /// The service repeats a part as a whole. Gives what fills the hole in it, if there is one.
    pub(super) fn confirm(&mut self, part: Part, whole: &str) -> Option<ReplyItem> {
        if self.current.is_some_and(|(current, _)| part < current) {
            self.is_mixed = true;
        }
        if self.is_mixed {
            return None;
        }
        let begin = self.enter(part);
        self.is_confirmed = true;
        let known = self.whole.get(begin..).unwrap_or_default();
        // Without a hole the final object has the last word.
        if !self.has_lost || known == whole {
            return None;
        }
        let event = match whole.strip_prefix(known) {
            Some(rest) => {
                self.whole.push_str(rest);
                InvokeEvent::TextDelta { delta: rest.to_owned() }
            }
            None => {
                self.whole.truncate(begin);
                self.whole.push_str(whole);
                InvokeEvent::Snapshot { text: self.whole.clone() }
            }
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
    fn enter(&mut self, part: Part) -> usize {
        match self.current {
            Some((current, begin)) if current == part => return begin,
            Some((current, _)) => {
                self.is_mixed |= part < current;
                self.has_unconfirmed |= !self.is_confirmed;
            }
            None => {}
        }
        self.current = Some((part, self.whole.len()));
        self.whole.len()
    }
}
