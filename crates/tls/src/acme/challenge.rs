//! The proof that somebody has a name: a certificate that says what the authority wants to see,
//! shown to whoever asks for it by a protocol of its own (RFC 8737).
//!
//! Nothing is said within: the handshake is all.

use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::self_signed::{NoChance, challenge};

/// The protocol that is asked for.
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";

/// How long the certificate is valid around now, in seconds: nobody looks.
const LIFE: i64 = 7 * 86_400;

/// What shows `digest` to the authority that asks for `name`.
pub(super) fn config(
    name: &str,
    digest: &[u8; 32],
    now: i64,
) -> Result<Arc<ServerConfig>, NoChance> {
    let made = challenge(name, digest, now - LIFE, now + LIFE)?;
    let cert = CertificateDer::from_pem_slice(made.cert.as_bytes()).map_err(|_| NoChance)?;
    let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).map_err(|_| NoChance)?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|_| NoChance)?;
    Ok(Arc::new(server(Some(CertifiedKey::new(vec![cert], key)))))
}

/// What refuses whoever asks where there is nothing to show.
pub(crate) fn refusal() -> Arc<ServerConfig> {
    static REFUSAL: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    Arc::clone(REFUSAL.get_or_init(|| Arc::new(server(None))))
}

fn server(shown: Option<CertifiedKey>) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shown(shown.map(Arc::new))));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// A certificate, whoever asks.
#[derive(Debug)]
struct Shown(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}
