//! A value and where it came from. Not printable: the value may be a key.

use crate::failure::Failure;
use cupola_protocol::Invalid;
use cupola_protocol::isolation::{Isolation, IsolationKey};
use std::str::FromStr;

/// A value and the flag, variable or profile it came from.
pub(super) struct Sourced {
    pub(super) source: String,
    pub(super) value: String,
}

impl Sourced {
    pub(super) fn new(source: impl Into<String>, value: &str) -> Self {
        Self { source: source.into(), value: value.to_owned() }
    }

    /// Is it a flag without text, as a script passes a variable that is not set?
    pub(super) fn is_empty_flag(&self) -> bool {
        self.value.is_empty() && self.source.starts_with("--")
    }

    /// Parses a value that may be shown.
    pub(super) fn parse<Value: FromStr<Err = Invalid>>(&self) -> Result<Value, Failure> {
        parse(&self.source, &self.value)
    }

    /// Parses a value that may be secret: a refusal names its source and the rule only.
    pub(super) fn parse_secret<Value: FromStr<Err = Invalid>>(self, rule: &str) -> Result<Value, Failure> {
        self.value.parse().map_err(|_| refusal(&self.source, rule))
    }

    /// An isolation key.
    pub(super) fn key(self) -> Result<IsolationKey, Failure> {
        let Self { source, value } = self;
        Isolation::key("key", value).map_err(|invalid| refusal(&source, invalid.rule))
    }
}

/// Names the source and the rule, never the value.
fn refusal(source: &str, rule: &str) -> Failure {
    Failure::usage(format!("{source} {rule}"))
}

/// Most characters of a bad value that are shown: enough to recognize it.
const MAX_SHOWN: usize = 300;

/// Parses a value that may be shown, naming the flag or variable it came from.
pub(crate) fn parse<Value: FromStr<Err = Invalid>>(name: &str, value: &str) -> Result<Value, Failure> {
    value.parse().map_err(|invalid: Invalid| {
        let shown: String = value.chars().take(MAX_SHOWN).collect();
        let more = if shown.len() < value.len() { format!("... ({} bytes)", value.len()) } else { String::new() };
        Failure::usage(format!("{name} {}: got {shown:?}{more}", invalid.rule))
    })
}
