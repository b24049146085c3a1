//! The TLS provider of the process.

use std::sync::OnceLock;

/// Makes ring the TLS provider of the process, unless one is set already.
pub fn use_ring() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        // An error means that another provider is installed, which serves as well.
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
    });
}
