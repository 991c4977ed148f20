//! TLS as the backends of a pool are spoken to, and proxies before them: everything that a handshake
//! with one of them needs.
//!
//! The files are read again when they change, and at a reload. Nothing that was trusted before lasts
//! over that: sessions are resumed only with the backend they began with, by what held then.

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::tls::{CertificateFiles, MinVersion};
use model::{
    BackendTls, Code, Diagnostic, Proxy, ProxyProtocol, ProxyTls, ServerName, Severity, Spanned,
    Verify, VerifyExtent,
};
use relay::Cipher;
use rustls::client::{ClientConfig, ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types;
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, RootCertStore};

use crate::clients;
use crate::identity::{self, Files, Identity};
use crate::renewal::{Fingerprint, Renewal};
use crate::server::{Held, Surroundings, files_of, passphrase};
use crate::session::{self, Failure};
use crate::verify::{Authorities, OtherKey, Verifier};

/// Sessions with one backend that can be resumed, at the most: one name, of which rustls keeps
/// up to so many tickets of some hundred bytes.
const RESUMABLE_MAX: usize = 8;

/// How the backends of a pool are spoken to.
#[derive(Clone, Debug)]
pub struct Backends(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    tls: Spanned<BackendTls>,
    current: ArcSwap<Current>,
}

/// What was read.
#[derive(Debug)]
struct Current {
    /// Of all that was read.
    fingerprint: Fingerprint,
    config: Arc<ClientConfig>,
    /// Our own certificate.
    held: Option<Held>,
}

/// How one backend is spoken to.
#[derive(Clone, Debug)]
pub struct Backend {
    of: Arc<Shared>,
    own: Arc<ArcSwap<Own>>,
    name: pki_types::ServerName<'static>,
}

/// What of that is its own: the sessions that can be resumed with it.
#[derive(Debug)]
struct Own {
    of: Arc<Current>,
    config: Arc<ClientConfig>,
}

impl Own {
    fn new(of: &Arc<Current>) -> Self {
        let mut config = ClientConfig::clone(&of.config);
        config.resumption = Resumption::in_memory_sessions(RESUMABLE_MAX);
        Self { of: Arc::clone(of), config: Arc::new(config) }
    }
}

impl Backends {
    /// Reads the files of `tls`. Faults of them are put into `faults`; there is nobody to speak to
    /// if one is an error.
    pub fn load(
        tls: &Spanned<BackendTls>,
        around: Surroundings<'_>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let current = ArcSwap::from_pointee(Current::read(tls, around, faults)?);
        Some(Self(Arc::new(Shared { tls: tls.clone(), current })))
    }

    /// Reads the files again.
    pub fn renew(&self, around: Surroundings<'_>) -> Renewal {
        let mut faults = Vec::new();
        let Shared { tls, current } = &*self.0;
        match Current::read(tls, around, &mut faults) {
            None => Renewal::Refused(faults),
            Some(read) if read.fingerprint == current.load().fingerprint => Renewal::Same,
            Some(read) => {
                current.store(Arc::new(read));
                Renewal::Renewed(faults)
            }
        }
    }

    /// The files that it is read from; those of this machine are none of them.
    pub fn files(&self) -> Vec<&str> {
        let BackendTls { verify, certificate, .. } = &self.0.tls.value;
        let of_others = verify.ca().into_iter().chain(verify.revoked());
        let of_others = of_others.map(|file| file.value.as_str());
        of_others.chain(certificate.iter().flat_map(files_of)).collect()
    }

    /// Our own certificate, if it is to be shown.
    pub fn held(&self) -> Option<Held> {
        self.0.current.load().held.clone()
    }

    /// The same for a proxy on the way to backends, if it is spoken to in TLS.
    pub(crate) fn of_proxy(
        proxy: &Spanned<Proxy>,
        around: Surroundings<'_>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        if proxy.value.protocol != ProxyProtocol::Https {
            return None;
        }
        let ProxyTls { verify, name, certificate } = proxy.value.tls.clone();
        let name = name.map(|value| Spanned { value, span: proxy.span });
        let tls = BackendTls { verify, name, certificate, ..BackendTls::default() };
        Self::load(&Spanned { value: tls, span: proxy.span }, around, faults)
    }

    /// How the one is spoken to that is configured as `host`: it has sessions of its own to resume.
    /// One that has no host, and was given no name, is not asked for any, and only what is verified
    /// without a name holds.
    pub fn backend(&self, host: Option<&ServerName>) -> Backend {
        let of = Arc::clone(&self.0);
        let own = Arc::new(ArcSwap::from_pointee(Own::new(&of.current.load())));
        let name = match of.tls.value.name.as_ref().map(|name| &name.value).or(host) {
            Some(ServerName::Host(name)) => pki_types::ServerName::try_from(name.clone()).ok(),
            Some(ServerName::Ip(address)) => Some(pki_types::ServerName::from(*address)),
            None => None,
        };
        // No certificate is for the unspecified address.
        let nobody = || pki_types::ServerName::from(std::net::IpAddr::from([0, 0, 0, 0]));
        Backend { of, own, name: name.unwrap_or_else(nobody) }
    }
}

impl Current {
    fn read(
        tls: &Spanned<BackendTls>,
        around: Surroundings<'_>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let load = |around: Surroundings<'_>| load(tls, around, faults);
        let (loaded, fingerprint) = Fingerprint::of(around, load);
        let (config, held) = loaded?;
        Some(Self { fingerprint, config: Arc::new(config), held })
    }
}

fn load(
    tls: &Spanned<BackendTls>,
    around: Surroundings<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<(ClientConfig, Option<Held>)> {
    let before = faults.len();
    let BackendTls { verify, name: _, certificate, alpn, min_version, starttls: _ } = &tls.value;
    let authorities = authorities(verify, tls, around, faults);
    let identity = certificate.as_ref().map(|certificate| identity(certificate, around, faults));
    let has_failed = faults[before..].iter().any(|fault| fault.severity() == Severity::Error);
    let identity = match identity {
        Some(None) => return None,
        Some(Some(identity)) => Some(identity),
        None => None,
    };
    let held = certificate.as_ref().zip(identity.as_ref()).map(|(files, identity)| Held {
        path: files.cert.value.clone(),
        not_after: identity.facts.not_after,
    });
    let provider = Arc::new(aws_lc_rs::default_provider());
    let authorities = authorities.filter(|_| !has_failed)?;
    let revocation = match verify.revoked() {
        [] => None,
        lists => Some(revocation(lists, &authorities, &provider, around, faults)?),
    };
    let verifier = Verifier {
        extent: verify.extent(),
        authorities,
        revocation,
        pins: verify.pins().to_vec(),
        algorithms: provider.signature_verification_algorithms,
    };
    let mut config = config(provider, verifier, *min_version, identity);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Some((config, held))
}

fn config(
    provider: Arc<CryptoProvider>,
    verifier: Verifier,
    min_version: MinVersion,
    identity: Option<Identity>,
) -> ClientConfig {
    let versions: &[&rustls::SupportedProtocolVersion] = match min_version {
        MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        MinVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let certificate: Arc<dyn ResolvesClientCert> =
                Arc::new(SingleCertAndKey::from(identity.certified));
            config.with_client_cert_resolver(certificate)
        }
    }
}

/// Who is believed, if anybody has to be.
fn authorities(
    verify: &Verify,
    tls: &Spanned<BackendTls>,
    around: Surroundings<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<Authorities> {
    let mut roots = RootCertStore::empty();
    let mut known = Vec::new();
    match (verify.extent(), verify.ca()) {
        (VerifyExtent::Pins | VerifyExtent::None, _) => {}
        (VerifyExtent::Full | VerifyExtent::Authority, Some(ca)) => {
            known = identity::authorities(ca, around.disk, faults)?;
            let (_, unread) = roots.add_parsable_certificates(known.iter().cloned());
            if unread > 0 {
                let message = format!("{unread} of its certificates cannot be read");
                faults.push(identity::fault(ca, &message).help(format!(
                    "look at them: `openssl storeutl -noout -text -certs {}`",
                    ca.value
                )));
                return None;
            }
        }
        (VerifyExtent::Full | VerifyExtent::Authority, None) => {
            let found = crate::authorities().map_err(|error| {
                faults.push(
                    Diagnostic::new(Code::Certificate, tls.span, error.to_string())
                        .label("believes the authorities of this machine")
                        .help("name the one that has signed the backends: `ca = \"PATH\"`"),
                );
            });
            let found = found.ok()?;
            let found = found.iter().map(|found| pki_types::CertificateDer::from(found.as_der()));
            roots.add_parsable_certificates(found);
        }
    }
    Some(Authorities { roots: Arc::new(roots), known })
}

/// Who judges of what the authorities have revoked.
fn revocation(
    lists: &[Spanned<String>],
    authorities: &Authorities,
    provider: &Arc<CryptoProvider>,
    around: Surroundings<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<Arc<WebPkiServerVerifier>> {
    let before = faults.len();
    let all: Vec<_> =
        lists.iter().flat_map(|list| clients::revoked(list, around.disk, faults)).collect();
    if faults.len() > before {
        return None;
    }
    let (roots, provider) = (Arc::clone(&authorities.roots), Arc::clone(provider));
    // A list says nothing about what other authorities, on the way to ours, have signed.
    let judge = WebPkiServerVerifier::builder_with_provider(roots, provider)
        .with_crls(all)
        .only_check_end_entity_revocation()
        .allow_unknown_revocation_status()
        .build();
    judge
        .map_err(|error| {
            let message = format!("backends cannot be looked at: {error}");
            let span = lists.first().and_then(|list| list.span);
            faults.push(Diagnostic::new(Code::Certificate, span, message));
        })
        .ok()
}

fn identity(
    certificate: &CertificateFiles,
    around: Surroundings<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<Identity> {
    let passphrase = match &certificate.passphrase {
        Some(secret) => Some(passphrase(secret, around, faults)?),
        None => None,
    };
    let files = Files {
        cert: &certificate.cert,
        key: certificate.key.as_ref(),
        passphrase: passphrase.as_ref(),
        ocsp: None,
        names: &[],
    };
    Identity::load(files, around.disk, around.now, faults)
}

impl Backend {
    /// Begins to speak to it.
    ///
    /// # Errors
    /// When it cannot be spoken to with what is configured.
    pub fn session(&self) -> Result<Box<dyn Cipher>, Failure> {
        let (current, own) = (self.of.current.load(), self.own.load());
        let config = match Arc::ptr_eq(&own.of, &current) {
            true => Arc::clone(&own.config),
            false => {
                let own = Own::new(&current);
                let config = Arc::clone(&own.config);
                self.own.store(Arc::new(own));
                config
            }
        };
        session::connect(config, self.name.clone())
    }
}

/// Why a handshake with a backend came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It is not who it should be.
    Distrust(Distrust),
    /// It said so, by this alert (RFC 8446, 6).
    Alert(u8),
    /// What it sends is no TLS, or both have nothing in common.
    Broken,
}

impl Cause {
    /// Why there is this failure.
    pub fn of(failure: &Failure) -> Self {
        match &failure.0 {
            rustls::Error::AlertReceived(alert) => Self::Alert((*alert).into()),
            error => Distrust::of(error).map_or(Self::Broken, Self::Distrust),
        }
    }
}

/// What is wrong with a backend, by its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distrust {
    /// Nobody who is believed has signed it.
    UnknownAuthority,
    /// It is for another name.
    OtherName,
    /// It has expired.
    Expired,
    /// It is not valid yet.
    NotValidYet,
    /// Its authority has revoked it.
    Revoked,
    /// Its key is none of those that were named.
    OtherKey,
    /// It is an authority's, and does not stand among those that are believed.
    Authority,
    /// It is not sound, or not for servers.
    Unsound,
}

impl Distrust {
    /// What an error of a handshake says about a certificate, if it is about one.
    fn of(error: &rustls::Error) -> Option<Self> {
        let rustls::Error::InvalidCertificate(error) = error else { return None };
        Some(match error {
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotValidYet
            }
            CertificateError::Revoked => Self::Revoked,
            CertificateError::Other(other) if other.0.is::<OtherKey>() => Self::OtherKey,
            // It has no name that could be held against it.
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                Self::Authority
            }
            _ => Self::Unsound,
        })
    }
}
