//! A local Foundry data plane that enforces isolation as the service does.
//!
//! In reading order:
//!
//! - [`emulator`]: starts and stops a whole emulator; [`options`]: what it is started with
//! - `server`: connections; `gateway`: who is let in, and routes, one file per protocol or resource; `error`: their error
//!   answers
//! - [`auth`]: who calls; [`isolation`]: whose state a request reaches, as pure rules
//! - `agent`: agents and their versions; `sessions`, `session`: sandboxes and their lifecycle
//! - `home`: a session's files, as clients reach them
//! - `conversation`: the message history that the gateway keeps; what the notes agent knows of earlier turns is in
//!   `agents/notes/store`
//! - `responses`: which session answers for which response
//! - [`container`]: what the gateway asks of an agent; [`logs`]: what a session's container wrote
//! - [`agents`]: the agents built in; [`sandbox`]: agents that are separate programs: `exec:` and `url:`
//! - [`recording`]: exchanges with agents, kept in a file and answered from it
//! - [`variables`]: which environment variables a posted agent version may have; `content_type`: is a body JSON?
//! - [`hooks`]: where the next two plug in
//! - [`faults`]: failures switched on per route
//! - [`tls`]: the certificate and the TLS side of the listener
//! - [`command`]: `cupola emulator`
//! - [`registry`]: which emulators of this user run, and where their secrets are
//! - [`clock`]: time as data; `private`: files that only their owner can open; `store`: small files that survive a restart; `ids`: ids and their rules
//!
//! What it does not do is listed by `GET /__cupola/about` (in `gateway/about.rs`).

pub mod agents;
pub mod auth;
pub mod clock;
pub mod command;
pub mod container;
pub mod emulator;
pub mod faults;
pub mod hooks;
pub mod isolation;
pub mod logs;
pub mod options;
pub mod recording;
pub mod registry;
pub mod sandbox;
pub mod tls;
pub mod variables;

mod agent;
mod content_type;
mod conversation;
mod error;
mod gateway;
mod home;
mod ids;
mod private;
mod responses;
mod server;
mod session;
mod sessions;
mod store;

pub use auth::{Secret, Token};
pub use clock::Clock;
pub use emulator::{Emulator, StartError, start};
pub use options::{
    AgentSpec, KEYS_OPTIONAL, KEYS_REQUIRED, Listen, MAX_SOCKET_PATH, Options, Protocol, Undocumented, VersionSpec,
    stock_agents,
};
