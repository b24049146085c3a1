//! The one way a validated string is made, refused and carried over serde.

use std::fmt;

/// Why a value was refused: which field, and the rule it breaks. Never contains the value itself, which may be a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The field's name as its caller knows it, for example `userKey`.
    pub field: &'static str,
    /// The rule, as a sentence part: `must be 8 to 128 characters of A-Z a-z 0-9 _ -`.
    pub rule: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.field, self.rule)
    }
}

impl std::error::Error for Invalid {}

/// Declares a string newtype that cannot be constructed unless `$check` accepts it. What follows `schema` is `$check` as
/// JSON Schema keywords (`pattern`, `minLength`, …), as far as they can express it.
macro_rules! validated_text {
    ($(#[$meta:meta])* $name:ident, field $field:literal, rule $rule:literal, $check:expr $(, schema { $($key:literal = $value:expr),+ })?) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[cfg_attr(feature = "schema", schemars(extend("x-rule" = $rule $($(, $key = $value)+)?)))]
        pub struct $name(String);

        impl $name {
            /// The rule a value must keep, as a sentence part.
            pub const RULE: &'static str = $rule;

            /// The value as given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::Invalid;
            fn try_from(value: String) -> Result<Self, $crate::Invalid> {
                let accepts: fn(&str) -> bool = $check;
                if accepts(&value) {
                    Ok(Self(value))
                } else {
                    Err($crate::Invalid { field: $field, rule: $rule })
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Invalid;
            fn from_str(value: &str) -> Result<Self, $crate::Invalid> {
                Self::try_from(value.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

/// As [`validated_text`], for values that may be shown to people.
macro_rules! shown_text {
    ($(#[$meta:meta])* $name:ident, field $field:literal, rule $rule:literal, $check:expr $(, schema $schema:tt)?) => {
        $crate::text::validated_text!($(#[$meta])* $name, field $field, rule $rule, $check $(, schema $schema)?);

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "{:?}", self.0)
            }
        }
    };
}

/// As [`validated_text`], for values that must not reach a log: no `Display`, and `Debug` shows only that it is set.
macro_rules! private_text {
    ($(#[$meta:meta])* $name:ident, field $field:literal, rule $rule:literal, $check:expr $(, schema { $($key:literal = $value:expr),+ })?) => {
        $crate::text::validated_text!(
            $(#[$meta])* $name, field $field, rule $rule, $check,
            schema { "writeOnly" = true, "format" = "password" $($(, $key = $value)+)? }
        );

        impl std::fmt::Debug for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("[redacted]")
            }
        }
    };
}

pub(crate) use {private_text, shown_text, validated_text};
