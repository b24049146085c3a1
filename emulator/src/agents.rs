//! The agents that live inside the emulator, for use without writing an agent.
//!
//! - [`notes`]: `builtin:notes`, which remembers lines into its session's home

pub mod notes;

pub use notes::{Busy, Notes};
