//! The table: one line per method. This file is the daemon's table of contents.
//!
//! To add a method: its types in `protocol/`, one function in `methods/`, one line here.
//!
//! - `listed`: which agents a list is about
//! - `invoke`, `runs`: runs are begun, listed and cancelled; `follow`: one client that follows a run
//! - `sessions`, `monitor`: the service's sandboxes and their logs; `new_session`: how one is created, `named_session`: which one a
//!   call works on
//! - `files`: the files of a session; the daemon itself reads and writes local files, whole directories in `files/tree`
//! - `agents`, `partitions`, `chats`, `auth`: the project's agents, saved state, what clients remember about chats, tokens
//! - `daemon`, `doctor`: `initialize`, status, stop; and a check of everything that a call needs

mod agents;
mod auth;
mod chats;
pub mod daemon;
pub(crate) mod doctor;
pub(crate) mod files;
mod follow;
mod invoke;
mod listed;
mod monitor;
mod named_session;
mod new_session;
mod partitions;
mod runs;
mod sessions;

pub(crate) use self::invoke::take_up;

use crate::rpc::table::Table;
use cupola_protocol::doctor::Doctor;
use cupola_protocol::invoke::Invoke;
use cupola_protocol::monitor::Monitor;
use cupola_protocol::{
    agents as agent, auth as token, chats as chat, daemon as protocol, files as file, partitions as partition,
    runs as run, sessions as session,
};
use std::sync::LazyLock;

/// Every method the daemon answers.
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        Table::new()
            .on(protocol::Initialize, daemon::initialize)
            .on(protocol::Shutdown, daemon::shutdown)
            .on(protocol::Discover, daemon::discover)
            .on(cupola_protocol::status::Status, daemon::status)
            .on(protocol::Stop, daemon::stop)
            .on(Doctor, doctor::doctor)
            .on(token::Status, auth::status)
            .on(token::Clear, auth::clear)
            .on(agent::List, agents::list)
            .on(agent::Show, agents::show)
            .on(Invoke, invoke::invoke)
            .on(run::List, runs::list)
            .on(run::Show, runs::show)
            .on(run::Attach, runs::attach)
            .on(run::Cancel, runs::cancel)
            .on(Monitor, monitor::monitor)
            .on(session::Create, sessions::create)
            .on(session::List, sessions::list)
            .on(session::Show, sessions::show)
            .on(session::Use, sessions::use_session)
            .on(session::Stop, sessions::stop)
            .on(session::Delete, sessions::delete)
            .on(file::pieces::Read, files::read::read)
            .on(file::pieces::Write, files::write::write)
            .on(file::Upload, files::upload)
            .on(file::Download, files::download)
            .on(file::List, files::list)
            .on(file::Stat, files::stat)
            .on(file::MakeDirectory, files::make_directory)
            .on(file::Delete, files::delete)
            .on(partition::List, partitions::list)
            .on(partition::Forget, partitions::forget)
            .on(partition::Import, partitions::import)
            .on(chat::Save, chats::save)
            .on(chat::List, chats::list)
            .on(chat::Forget, chats::forget)
            .on(chat::Items, chats::items)
    });
    &TABLE
}
