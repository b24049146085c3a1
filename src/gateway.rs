//! `cupola gateway`: the daemon's methods over HTTPS, for people and services on other machines.
//!
//! Who calls is proven, and the isolation is taken from that proof and from nothing else: no caller can name another's. Every
//! connection is bound to it from its first byte (`rpc/proven`).
//!
//! - [`server`]: accepts connections; [`connection`]: what they share; `tls`: certificates, the gateway's own and those of clients
//! - `routes`: which requests are taken; `exchange`: calls over HTTP; `files`: files as bodies of HTTP; `websocket`: calls over a WebSocket; `answers`: refusals and headers
//! - `issuers`, `keys`, `token`: what proves who calls; `caller`: from a proof to an isolation and what was granted; `proofs`: callers who are known already
//! - `limits`: what each caller may do; `readiness`: what `/readyz` answers

mod answers;
mod caller;
pub mod connection;
mod exchange;
mod files;
mod issuers;
mod keys;
mod limits;
mod proofs;
mod readiness;
mod routes;
pub mod server;
mod tls;
mod token;
mod websocket;
