//! A number with its noun, as people read it: `1 session`, `2 sessions`.

use std::fmt::Display;

/// The count and its noun. `noun` is the singular of a noun whose plural only adds an `s`.
///
/// ```
/// # use cupola_protocol::count::counted;
/// assert_eq!([counted(0_u64, "run"), counted(1_u64, "run"), counted(2_u64, "run")], ["0 runs", "1 run", "2 runs"]);
/// ```
pub fn counted<Count: Copy + Display + PartialEq + From<u8>>(count: Count, noun: &str) -> String {
    let ending = if count == Count::from(1) { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
