//! TLS: rustls with aws-lc-rs, and nothing of it anywhere else.
//!
//! What other crates see is bytes: certificates as DER, and whom this machine trusts. A library
//! that brings its own use of rustls is given the same cryptography by [`install`].
//!
//! [`Server`] is how a listener speaks it: its certificates and keys from files, which are read
//! again when they change, and how its clients prove who they are. [`Backends`] is how those of a
//! pool are spoken to, and how it is known who they are, by files that are read again as well. [`Facts`] is what a certificate
//! says; [`self_signed()`] makes one. [`session`] is what stands between a socket and its bytes.

pub mod acme;
mod backends;
mod certificates;
mod clients;
mod der;
pub mod disk;
mod identity;
mod key;
mod renewal;
mod self_signed;
mod server;
pub mod session;
#[cfg(test)]
mod testing;
mod tickets;
mod time;
mod verify;
mod x509;

use std::fmt;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

pub use backends::{Backend, Backends, Cause, Distrust};
pub use renewal::Renewal;
pub use self_signed::{NoChance, SelfSigned, self_signed};
pub use server::{Handshake, Held, Loaded, Server, Surroundings, check};
pub use session::Failure;
pub use x509::{Facts, KeyKind, Name};

/// A certificate, in DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate(Vec<u8>);

impl Certificate {
    /// Its bytes.
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }
}

/// This machine trusts nobody, as far as could be found out.
#[derive(Debug)]
pub struct NobodyTrusted {
    faults: Vec<rustls_native_certs::Error>,
}

impl fmt::Display for NobodyTrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.first() {
            Some(fault) => write!(f, "the authorities that this machine trusts: {fault}"),
            None => f.write_str(
                "this machine trusts no authority; install its certificates (Debian: \
                 ca-certificates), or name them with SSL_CERT_FILE",
            ),
        }
    }
}

/// Makes aws-lc-rs the cryptography of this process, for whoever uses rustls in it. More than once
/// does nothing more.
pub fn install() {
    // An error says that there is one already, and only this function installs any.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// The authorities that this machine trusts: those of `SSL_CERT_FILE` and `SSL_CERT_DIR` where
/// these are set, else those of the system. A few that cannot be read are left out.
///
/// # Errors
/// When there is none.
pub fn authorities() -> Result<Vec<Certificate>, NobodyTrusted> {
    let found = rustls_native_certs::load_native_certs();
    match found.certs.is_empty() {
        true => Err(NobodyTrusted { faults: found.errors }),
        false => Ok(found.certs.iter().map(|cert| Certificate(cert.to_vec())).collect()),
    }
}

/// What the certificates in a PEM text say, in its order. `None`: there is none, or one that
/// cannot be read.
pub fn read_certificates(pem: &[u8]) -> Option<Vec<Facts>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let facts: Option<Vec<_>> = found.ok()?.iter().map(|der| Facts::read(der)).collect();
    facts.filter(|facts| !facts.is_empty())
}

/// A moment in seconds since 1970 as `YYYY-MM-DD hh:mm:ss`, in UTC.
pub fn moment(seconds: i64) -> String {
    time::shown(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::CryptoProvider;

    #[test]
    fn there_is_one_cryptography_however_often_it_is_installed() {
        install();
        let first = CryptoProvider::get_default().expect("it was installed");
        install();
        let second = CryptoProvider::get_default().expect("it still is");
        assert!(std::sync::Arc::ptr_eq(first, second));
        assert!(!first.cipher_suites.is_empty());
    }
}
