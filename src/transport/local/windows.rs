//! The named pipe on Windows. Written after interprocess's documentation; not run so far.

use super::{BindError, Bound};
use crate::server::Listener;
use crate::transport::Stream;
use interprocess::local_socket::prelude::*;
use interprocess::local_socket::tokio::{Listener as Pipe, Stream as Connected};
use interprocess::local_socket::traits::tokio::{Listener as _, Stream as _};
use interprocess::local_socket::{GenericFilePath, ListenerOptions};
use interprocess::os::windows::local_socket::ListenerOptionsExt;
use interprocess::os::windows::security_descriptor::SecurityDescriptor;
use std::io;
use std::path::{Path, PathBuf};
use widestring::U16CString;

/// Full access for the pipe's owner and the system, nothing for anybody else, nothing inherited.
const OWNER_AND_SYSTEM: &str = "D:P(A;;GA;;;OW)(A;;GA;;;SY)";

/// The listening pipe.
#[derive(Debug)]
pub struct LocalListener {
    pipe: Pipe,
    path: PathBuf,
}

/// Listens at `path`, unless another daemon does: only one process may create a name's first instance.
pub async fn bind(path: &Path) -> Result<Bound, BindError> {
    match listen(path) {
        Ok(pipe) => Ok(Bound::Listening(LocalListener { pipe, path: path.to_owned() })),
        Err(_) if answers(path).await => Ok(Bound::AlreadyServed),
        Err(source) => Err(BindError::System { path: path.to_owned(), source }),
    }
}

fn listen(path: &Path) -> io::Result<Pipe> {
    let access = U16CString::from_str(OWNER_AND_SYSTEM).map_err(io::Error::other)?;
    ListenerOptions::new()
        .name(path.to_fs_name::<GenericFilePath>()?)
        .security_descriptor(SecurityDescriptor::deserialize(&access)?)
        .create_tokio()
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
}

impl Listener for LocalListener {
    /// The pipe's access list has already turned others away.
    async fn accept(&mut self) -> io::Result<Stream> {
        self.pipe.accept().await
    }
}
