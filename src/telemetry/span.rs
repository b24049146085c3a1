//! A finished span as it waits to be sent: data only.

use super::context::SpanContext;
use std::time::SystemTime;

/// One finished client span.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) context: SpanContext,
    pub(super) parent: Option<[u8; 8]>,
    pub(super) name: String,
    pub(super) started: SystemTime,
    pub(super) ended: SystemTime,
    pub(super) attributes: Vec<(&'static str, Value)>,
    /// `error.type`, if the turn failed.
    pub(super) error: Option<&'static str>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Count(u64),
    Flag(bool),
}

impl<T: Into<String>> From<T> for Value {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}
