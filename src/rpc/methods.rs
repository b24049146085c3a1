//! The table: one line per method. This file is the daemon's table of contents.
//!
//! To add a method: its types in `protocol/`, one function in `rpc/methods/`, one line here.

pub mod daemon;

use crate::rpc::table::Table;
use cupola_protocol::daemon as protocol;
use std::sync::LazyLock;

/// Every method the daemon answers.
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        Table::new()
            .on(protocol::Initialize, daemon::initialize)
            .on(protocol::Shutdown, daemon::shutdown)
            .on(protocol::Status, daemon::status)
            .on(protocol::Stop, daemon::stop)
    });
    &TABLE
}
