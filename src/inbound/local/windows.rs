//! The named pipe on Windows.

use super::{BindError, Bound, Ownership};
use crate::inbound::listener::Listener;
use crate::inbound::listener::Stream;
use cupola_cli::user;
use interprocess::local_socket::prelude::*;
use interprocess::local_socket::tokio::{Listener as Pipe, Stream as Connected};
use interprocess::local_socket::traits::tokio::{Listener as _, Stream as _};
use interprocess::local_socket::{GenericFilePath, ListenerOptions};
use interprocess::os::windows::local_socket::ListenerOptionsExt;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;
use widestring::U16CString;

/// Owned by the user, also when run as an administrator: clients ask for that. Full access for the user and the system,
/// nothing for anybody else, nothing inherited.
fn security(user: &str) -> String {
    format!("O:{user}D:P(A;;GA;;;{user})(A;;GA;;;SY)")
}

/// The listening pipe.
#[derive(Debug)]
pub struct LocalListener {
    pipe: Pipe,
    path: PathBuf,
}

/// A socket that a service manager listens on: there is none on Windows.
#[derive(Debug)]
pub enum Inherited {}

impl Inherited {
    /// Where it is.
    pub fn path(&self) -> &Path {
        match *self {}
    }
}

/// None.
pub fn inherited() -> io::Result<Option<Inherited>> {
    Ok(None)
}

/// Serves on it.
#[expect(clippy::needless_pass_by_value, reason = "there is no value")]
pub fn take(inherited: Inherited) -> Result<LocalListener, BindError> {
    match inherited {}
}

/// The lock of a state directory: there is none on Windows, where a user's daemons have one pipe.
#[derive(Debug)]
pub enum StateLock {}

/// Unknown on this system.
#[expect(clippy::unused_async, reason = "other systems wait here")]
pub async fn own(_state_directory: &Path, _socket: &Path) -> Result<Ownership, BindError> {
    Ok(Ownership::Unknown)
}

/// Listens at `path`, unless another daemon does: only one process may create a name's first instance.
pub async fn bind(path: &Path) -> Result<Bound, BindError> {
    match listen(path) {
        Ok(pipe) => Ok(Bound::Listening(Box::new(LocalListener { pipe, path: path.to_owned() }))),
        Err(_) if answers(path).await => Ok(Bound::AlreadyServed),
        Err(source) => Err(BindError::System { path: path.to_owned(), source }),
    }
}

fn listen(path: &Path) -> io::Result<Pipe> {
    let security = U16CString::from_str(security(&user::id()?)).map_err(io::Error::other)?;
    ListenerOptions::new()
        .name(path.to_fs_name::<GenericFilePath>()?)
        .security_descriptor(SecurityDescriptor::deserialize(&security)?)
        .create_tokio()
}

/// A connection within this process: the client's end and the daemon's. To be called inside a runtime. It has a name for as long as this takes, which
/// other processes cannot guess.
pub async fn pair() -> io::Result<(cupola_cli::Stream, Stream)> {
    let path = PathBuf::from(format!(r"\\.\pipe\cupola-{}", Uuid::new_v4().simple()));
    let pipe = listen(&path)?;
    let client = cupola_cli::Stream::connect(&path)?;
    Ok((client, pipe.accept().await?))
}

async fn answers(path: &Path) -> bool {
    match path.to_fs_name::<GenericFilePath>() {
        Ok(name) => Connected::connect(name).await.is_ok(),
        Err(_) => false,
    }
}

impl LocalListener {
    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Is it a service manager's? There is none.
    pub const fn is_inherited(&self) -> bool {
        false
    }

    /// Keeps the lock of the state directory, of which there is none.
    pub fn hold(&mut self, lock: StateLock) {
        match lock {}
    }
}

impl Listener for LocalListener {
    /// The pipe's access list has already turned others away.
    async fn accept(&mut self) -> io::Result<Option<Stream>> {
        self.pipe.accept().await.map(Some)
    }
}
