//! File descriptors: how many this process may have open.

/// What a full daemon needs: a thousand connections, which all may be slow (two descriptors each), the service's side of 256 runs (two
/// descriptors each where the embedded emulator is the service), files, and a margin. More would only make a leak harder to notice.
#[cfg(unix)]
const WANTED: u64 = 4096;

/// The soft limit of this process; `None` when there is none, or none is known.
#[cfg(unix)]
pub fn limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// The soft limit of this process; `None` when there is none, or none is known.
#[cfg(windows)]
pub fn limit() -> Option<u64> {
    None
}

/// Raises the soft limit to what a full daemon needs, as far as the hard limit allows. Processes that this one starts
/// inherit it.
#[cfg(unix)]
pub fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(WANTED, |hard| hard.min(WANTED));
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        tracing::warn!(%error, ?current, wanted, "could not raise the limit of open files; fewer clients can connect");
    }
}

/// Windows has no such limit.
#[cfg(windows)]
pub fn raise_limit() {}
