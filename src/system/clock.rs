//! Times as they travel.

use std::time::SystemTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// RFC 3339, UTC, to the second: without fractions, the later of two times is the greater text, too.
pub fn rfc3339(time: SystemTime) -> String {
    OffsetDateTime::from(time).truncate_to_second().format(&Rfc3339).unwrap_or_default()
}

/// A time as [`rfc3339`] writes it. What it did not write counts as the oldest time.
pub fn from_rfc3339(text: &str) -> SystemTime {
    OffsetDateTime::parse(text, &Rfc3339).map_or(SystemTime::UNIX_EPOCH, SystemTime::from)
}
