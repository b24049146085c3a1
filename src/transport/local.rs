//! The per-user socket: who may use it, and that there is one daemon behind it.
