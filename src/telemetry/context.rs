//! The ids of a span, and how they travel: W3C Trace Context, <https://www.w3.org/TR/trace-context/>. Pure, except that ids are random.

use cupola_protocol::headers::TraceParent;
use http::HeaderValue;
use uuid::Uuid;

/// The flag that says that the trace is recorded.
const SAMPLED: u8 = 1;

/// The ids of one span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanContext {
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
    /// Is the span recorded? All spans of a trace follow the first one.
    pub(super) is_sampled: bool,
}

impl SpanContext {
    /// A new span. Without a parent it begins a trace, and is recorded with a probability of `ratio`.
    pub(super) fn new(parent: Option<Self>, ratio: f64) -> Self {
        let span = random_span();
        if let Some(parent) = parent {
            return Self { span, ..parent };
        }
        let trace = *Uuid::new_v4().as_bytes();
        Self { trace, span, is_sampled: is_sampled(trace, ratio) }
    }

    /// What a caller sent. `None` for ids that mean nothing.
    pub(super) fn parse(given: &TraceParent) -> Option<Self> {
        let mut fields = given.as_str().split('-').skip(1);
        let (trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?);
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let context = Self { trace: bytes(trace)?, span: bytes(span)?, is_sampled: flags & SAMPLED != 0 };
        (context.trace != [0; 16] && context.span != [0; 8]).then_some(context)
    }

    /// The `traceparent` that makes the receiver's spans children of this one.
    pub(super) fn header(self) -> Option<HeaderValue> {
        let (trace, span) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.span));
        let flags = u8::from(self.is_sampled);
        HeaderValue::try_from(format!("00-{trace:032x}-{span:016x}-{flags:02x}")).ok()
    }
}

/// Eight bytes that are random: in a UUID, six bits in the bytes 6 and 8 are not.
fn random_span() -> [u8; 8] {
    let (first, second) = Uuid::new_v4().as_u64_pair();
    let mut span = second.to_be_bytes();
    // In place of the byte whose first bits are the variant.
    [span[0], ..] = first.to_be_bytes();
    span
}

/// By the id, so that a trace is recorded everywhere or nowhere.
fn is_sampled(trace: [u8; 16], ratio: f64) -> bool {
    let [.., a, b, c, d] = trace;
    f64::from(u32::from_be_bytes([a, b, c, d])) < ratio * (f64::from(u32::MAX) + 1.0)
}

fn bytes<const N: usize>(hexadecimal: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if hexadecimal.len() != 2 * N || !hexadecimal.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hexadecimal.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(text: &str) -> Option<SpanContext> {
        SpanContext::parse(&text.parse().unwrap())
    }

    #[test]
    fn what_a_caller_sent_is_sent_on_unchanged() {
        let given = parse(GIVEN).unwrap();
        assert!(given.is_sampled);
        assert_eq!(given.header().unwrap(), GIVEN);
        let not_recorded = GIVEN.replace("-01", "-00");
        assert_eq!(parse(&not_recorded).unwrap().header().unwrap(), not_recorded.as_str());
    }

    #[test]
    fn ids_of_nothing_but_zeros_mean_no_parent() {
        for zeros in [
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(parse(zeros), None, "{zeros}");
        }
    }

    #[test]
    fn a_child_stays_in_the_trace_and_follows_its_parent() {
        for is_sampled in [true, false] {
            let parent = SpanContext { is_sampled, ..parse(GIVEN).unwrap() };
            // Whatever the ratio says: the first span of a trace has decided.
            for ratio in [0.0, 1.0] {
                let child = SpanContext::new(Some(parent), ratio);
                assert_eq!((child.trace, child.is_sampled), (parent.trace, is_sampled));
                assert_ne!(child.span, parent.span);
            }
        }
    }

    #[test]
    fn the_ratio_is_the_share_of_traces_that_are_recorded() {
        let recorded = |ratio| (0..2000).filter(|_| SpanContext::new(None, ratio).is_sampled).count();
        assert_eq!((recorded(0.0), recorded(1.0)), (0, 2000));
        // Eight standard deviations around the mean.
        assert!((320..680).contains(&recorded(0.25)));
    }
}
