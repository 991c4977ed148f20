//! TLS as a listener speaks it: everything that a handshake needs, in one place that is swapped
//! whole when a file has changed.
//!
//! A connection keeps what it began with. What cannot be read again leaves what is there.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;

use model::{
    CertificateFiles, Code, Config, Diagnostic, MinVersion, Proxy, Secret, ServerTls, Severity,
    Spanned,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;

use crate::acme::{self, Site, Sites};
use crate::backends::Backends;
use crate::certificates::Certificates;
use crate::clients::{self, Boundary};
use crate::disk::{self, Disk};
use crate::identity::{Files, Identity};
use crate::key::Passphrase;
use crate::renewal::{Fingerprint, Renewal};
use crate::tickets::Tickets;

/// What files and time are asked of.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Reads files.
    pub disk: Disk<'a>,
    /// Gives the value of a variable of the environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The time, in seconds since 1970-01-01 UTC.
    pub now: i64,
}

impl Surroundings<'static> {
    /// Those of this process.
    pub fn of_this_process() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        Self { disk: &disk::read, environment: &|name| std::env::var(name).ok(), now }
    }
}

/// A certificate that a listener has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The file that it is in.
    pub path: String,
    /// Until when it is valid, in seconds since 1970-01-01 UTC.
    pub not_after: i64,
}

/// How a listener speaks TLS.
#[derive(Debug)]
pub struct Server {
    tls: ServerTls,
    /// Names whose certificates come from an authority.
    sites: Vec<Arc<Site>>,
    current: ArcSwap<Current>,
}

/// What a handshake is done with.
#[derive(Clone, Debug)]
pub enum Handshake {
    /// A session comes behind it.
    Session(Arc<ServerConfig>),
    /// An authority wants a proof (RFC 8737), and nothing behind it.
    Proof(Arc<ServerConfig>),
}

impl Handshake {
    /// What rustls does it by.
    pub fn config(self) -> Arc<ServerConfig> {
        match self {
            Self::Session(config) | Self::Proof(config) => config,
        }
    }
}

/// What was read.
#[derive(Debug)]
struct Current {
    /// Of all that was read.
    fingerprint: Fingerprint,
    config: Arc<ServerConfig>,
    tickets: Option<Tickets>,
    held: Vec<Held>,
}

impl Server {
    /// Reads the files of `tls`, beside what `sites` are given. Faults of them are put into `faults`;
    /// there is no server if one is an error. Sessions that began with `before` can be resumed, unless something else is asked
    /// of clients now.
    pub fn load(
        tls: &ServerTls,
        sites: Vec<Arc<Site>>,
        around: Surroundings<'_>,
        before: Option<&Self>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let before = before.map(|before| before.current.load());
        let tickets = before.as_ref().and_then(|before| before.tickets.as_ref());
        let current = Current::read(tls, &sites, around, tickets, faults)?;
        Some(Self { tls: tls.clone(), sites, current: ArcSwap::from_pointee(current) })
    }

    /// Reads the files again.
    pub fn renew(&self, around: Surroundings<'_>) -> Renewal {
        let mut faults = Vec::new();
        let before = self.current.load();
        let current =
            Current::read(&self.tls, &self.sites, around, before.tickets.as_ref(), &mut faults);
        match current {
            None => Renewal::Refused(faults),
            Some(current) if current.fingerprint == before.fingerprint => Renewal::Same,
            Some(current) => {
                self.current.store(Arc::new(current));
                Renewal::Renewed(faults)
            }
        }
    }

    /// The files that it is read from.
    pub fn files(&self) -> Vec<&str> {
        let mut files: Vec<_> = self.tls.certificates.iter().flat_map(files_of).collect();
        if let Some(proof) = &self.tls.clients {
            let lists = proof.authorities.iter().chain(&proof.revoked);
            files.extend(lists.map(|file| file.value.as_str()));
        }
        files
    }

    /// The certificates that it has now.
    pub fn held(&self) -> Vec<Held> {
        self.current.load().held.clone()
    }

    /// What the next handshake is done with.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// What that is done with of a client who asks for `name` and the protocols `alpn`.
    pub fn handshake(&self, name: Option<&str>, alpn: &[Box<[u8]>]) -> Handshake {
        let wants_proof = matches!(alpn, [one] if **one == *acme::PROTOCOL);
        if self.sites.is_empty() || !wants_proof {
            return Handshake::Session(self.config());
        }
        let is_meant = |site: &&Arc<Site>| {
            name.is_some_and(|name| {
                site.name().eq_ignore_ascii_case(name.strip_suffix('.').unwrap_or(name))
            })
        };
        let site = self.sites.iter().find(is_meant);
        Handshake::Proof(site.and_then(|site| site.challenge()).unwrap_or_else(acme::refusal))
    }

    /// The names whose certificates come from an authority.
    pub fn sites(&self) -> &[Arc<Site>] {
        &self.sites
    }

    /// Whether clients get a certificate whose own is not there yet.
    pub fn has_certificates(&self) -> bool {
        !self.tls.certificates.is_empty()
    }
}

/// All that a configuration needs of TLS, read from its files.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    servers: HashMap<String, Arc<Server>>,
    sites: Sites,
    backends: HashMap<String, Backends>,
    /// Of each pool that is reached through proxies, those of them that are spoken to in TLS.
    proxies: HashMap<String, Vec<Option<Backends>>>,
}

impl Loaded {
    /// Reads the files that `config` names. Sessions that began with `before` can be resumed.
    ///
    /// # Errors
    /// The faults of the files, with at least one that is no mere warning.
    pub fn read(
        config: &Config,
        around: Surroundings<'_>,
        before: &Self,
    ) -> Result<(Self, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let mut servers = HashMap::new();
        let mut sites = Sites::default();
        for listener in &config.listeners {
            let Some(tls) = &listener.tls else { continue };
            let own = tls.value.acme.as_ref();
            let own = own.map(|acme| sites.add(acme, &before.sites, around, &mut faults));
            let before = before.server(&listener.name).map(|server| &**server);
            let own = own.unwrap_or_default();
            let server = Server::load(&tls.value, own, around, before, &mut faults);
            servers.extend(server.map(|server| (listener.name.clone(), Arc::new(server))));
        }
        let mut backends = HashMap::new();
        for pool in &config.pools {
            let Some(tls) = &pool.tls else { continue };
            let loaded = Backends::load(tls, around, &mut faults);
            backends.extend(loaded.map(|loaded| (pool.name.value.clone(), loaded)));
        }
        let mut proxies = HashMap::new();
        for pool in &config.pools {
            let one = |via: &Spanned<Proxy>| Backends::of_proxy(via, around, &mut faults);
            proxies.insert(pool.name.value.clone(), pool.via.iter().map(one).collect());
        }
        match faults.iter().any(|fault| fault.severity() == Severity::Error) {
            true => Err(faults),
            false => Ok((Self { servers, sites, backends, proxies }, faults)),
        }
    }

    /// How the backends of this pool are spoken to in it, if they are.
    pub fn backends(&self, pool: &str) -> Option<&Backends> {
        self.backends.get(pool)
    }

    /// All pools whose backends, or proxies before them, are spoken to in it, by name.
    pub fn pools(&self) -> impl Iterator<Item = (&str, &Backends)> {
        let backends = self.backends.iter().map(|(name, backends)| (name.as_str(), backends));
        let proxies = self.proxies.iter().flat_map(|(name, proxies)| {
            proxies.iter().flatten().map(move |proxy| (name.as_str(), proxy))
        });
        backends.chain(proxies)
    }

    /// How the proxies are spoken to in it that are before the backends of this pool, each that is.
    pub fn proxies(&self, pool: &str) -> &[Option<Backends>] {
        self.proxies.get(pool).map_or(&[], Vec::as_slice)
    }

    /// How this listener speaks it, if it does.
    pub fn server(&self, listener: &str) -> Option<&Arc<Server>> {
        self.servers.get(listener)
    }

    /// The names whose certificates come from an authority.
    pub fn sites(&self) -> &Sites {
        &self.sites
    }

    /// All listeners that do, by name.
    pub fn servers(&self) -> impl Iterator<Item = (&str, &Arc<Server>)> {
        self.servers.iter().map(|(name, server)| (name.as_str(), server))
    }
}

/// All faults of the files that `config` names for TLS.
pub fn check(config: &Config, around: Surroundings<'_>) -> Vec<Diagnostic> {
    match Loaded::read(config, around, &Loaded::default()) {
        Ok((_, warnings)) => warnings,
        Err(faults) => faults,
    }
}

impl Current {
    fn read(
        tls: &ServerTls,
        sites: &[Arc<Site>],
        around: Surroundings<'_>,
        tickets: Option<&Tickets>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let load = |around: Surroundings<'_>| Self::load(tls, sites, around, tickets, faults);
        let (current, fingerprint) = Fingerprint::of(around, load);
        let (config, tickets, held) = current?;
        Some(Self { fingerprint, config, tickets, held })
    }

    fn load(
        tls: &ServerTls,
        sites: &[Arc<Site>],
        around: Surroundings<'_>,
        tickets: Option<&Tickets>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<(Arc<ServerConfig>, Option<Tickets>, Vec<Held>)> {
        let before = faults.len();
        let mut identities = Vec::new();
        let mut held = Vec::new();
        for certificate in &tls.certificates {
            let secret = certificate.passphrase.as_ref();
            let passphrase = secret.and_then(|secret| passphrase(secret, around, faults));
            if secret.is_some() && passphrase.is_none() {
                continue;
            }
            let files = Files {
                cert: &certificate.cert,
                key: certificate.key.as_ref(),
                passphrase: passphrase.as_ref(),
                ocsp: certificate.ocsp.as_ref(),
                names: &certificate.names,
            };
            if let Some(identity) = Identity::load(files, around.disk, around.now, faults) {
                let not_after = identity.facts.not_after;
                held.push(Held { path: certificate.cert.value.clone(), not_after });
                identities.push(identity);
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let asked = match &tls.clients {
            None => Some((rustls::server::WebPkiClientVerifier::no_client_auth(), Boundary::NONE)),
            Some(proof) => clients::verifier(proof, &provider, around.disk, faults),
        };
        if faults[before..].iter().any(|fault| fault.severity() == Severity::Error) {
            return None;
        }
        let (verifier, boundary) = asked?;
        let mut config = config(tls, provider, verifier, (&identities, sites));
        let tickets = tls.tickets.then(|| Tickets::within(boundary, tickets)).flatten();
        Tickets::put(tickets.as_ref(), &mut config);
        Some((Arc::new(config), tickets, held))
    }
}

fn config(
    tls: &ServerTls,
    provider: Arc<rustls::crypto::CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
    (identities, sites): (&[Identity], &[Arc<Site>]),
) -> ServerConfig {
    let versions: &[&rustls::SupportedProtocolVersion] = match tls.min_version {
        MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        MinVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let certificates = Arc::new(Certificates::new(identities, sites, tls.unknown_name));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the provider has suites for both versions")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificates);
    config.alpn_protocols = tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// The files of a certificate.
pub(crate) fn files_of(certificate: &CertificateFiles) -> Vec<&str> {
    let CertificateFiles { cert, key, passphrase, ocsp, .. } = certificate;
    let named = [Some(cert), key.as_ref(), ocsp.as_ref()];
    let mut files: Vec<_> = named.into_iter().flatten().map(|file| file.value.as_str()).collect();
    match passphrase.as_ref().map(|secret| &secret.value) {
        Some(Secret::File(path)) => files.push(path),
        Some(Secret::Variable(_) | Secret::Text(_)) | None => {}
    }
    files
}

pub(crate) fn passphrase(
    secret: &Spanned<Secret>,
    around: Surroundings<'_>,
    faults: &mut Vec<Diagnostic>,
) -> Option<Passphrase> {
    match &secret.value {
        Secret::Text(words) => Some(Passphrase::new(words.as_str())),
        Secret::Variable(name) => {
            let value = (around.environment)(name);
            if value.is_none() {
                let message = format!("the variable `{name}` is not set, or is no text");
                faults.push(
                    Diagnostic::new(Code::Variable, secret.span, message)
                        .label("not set")
                        .help("set it where replug is started"),
                );
            }
            value.map(Passphrase::new)
        }
        Secret::File(path) => match (around.disk)(Path::new(path)) {
            Ok(content) => {
                let end = content.bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'));
                Some(Passphrase::new(&content.bytes[..end.map_or(0, |end| end + 1)]))
            }
            Err(error) => {
                let message = format!("cannot read {path}: {error}");
                faults.push(
                    Diagnostic::new(Code::File, secret.span, message)
                        .label("a passphrase")
                        .help("replug reads it as the user that it is started as"),
                );
                None
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::self_signed::self_signed;
    use crate::testing::{DAY, NOW, at};
    use model::{ClientAuth, ClientProof};
    use rig::Scratch;

    fn around(now: i64) -> Surroundings<'static> {
        let environment = &|name: &str| (name == "PASS").then(|| "p w".to_owned());
        Surroundings { disk: &disk::read, environment, now }
    }

    fn write(path: &str, name: &str, days: i64) {
        let made = self_signed(&[name.to_owned()], NOW - DAY, NOW + days * DAY);
        let made = made.expect("random numbers");
        std::fs::write(path, made.cert + &made.key).expect("a file");
    }

    fn load(tls: &ServerTls, before: Option<&Server>) -> Server {
        let mut faults = Vec::new();
        Server::load(tls, Vec::new(), around(NOW), before, &mut faults)
            .unwrap_or_else(|| panic!("{faults:?}"))
    }

    fn boundary(server: &Server) -> String {
        format!("{:?}", server.current.load().tickets)
    }

    #[test]
    fn what_cannot_be_read_again_leaves_what_is_there() {
        let scratch = Scratch::new();
        let path = scratch.join("a.pem");
        write(&path, "a.example", 5);
        let server = load(&ServerTls::new(CertificateFiles::new(at(&path))), None);
        assert_eq!(server.files(), [&*path]);
        let not_after = |server: &Server| server.held()[0].not_after;
        assert_eq!(not_after(&server), NOW + 5 * DAY);
        std::fs::write(&path, "nothing").expect("a file");
        let before = server.config();
        let Renewal::Refused(faults) = server.renew(around(NOW)) else { panic!("it is nothing") };
        assert_eq!(faults[0].code, Code::Certificate, "{faults:?}");
        assert!(Arc::ptr_eq(&before, &server.config()));
        write(&path, "a.example", 7);
        assert!(matches!(server.renew(around(NOW)), Renewal::Renewed(_)));
        let renewed = server.config();
        assert_eq!(server.renew(around(NOW)), Renewal::Same);
        assert!(Arc::ptr_eq(&renewed, &server.config()));
        assert_eq!(not_after(&server), NOW + 7 * DAY);
        assert!(Arc::ptr_eq(&before.ticketer, &server.config().ticketer), "sessions are resumed");
    }

    #[test]
    fn sessions_are_resumed_within_one_boundary_only() {
        let scratch = Scratch::new();
        let [path, one, two] = ["a.pem", "ca1.pem", "ca2.pem"].map(|name| scratch.join(name));
        for path in [&path, &one, &two] {
            write(path, "a.example", 5);
        }
        let plain = ServerTls::new(CertificateFiles::new(at(&path)));
        let asks = |ca: &str, need| {
            let authorities = vec![at(ca)];
            let clients = Some(ClientProof { authorities, revoked: Vec::new(), need });
            ServerTls { clients, ..plain.clone() }
        };
        let all = [
            plain.clone(),
            asks(&one, ClientAuth::Required),
            asks(&one, ClientAuth::Optional),
            asks(&two, ClientAuth::Required),
        ];
        for before in &all {
            for after in &all {
                let first = load(before, None);
                let next = load(after, Some(&first));
                let is_shared = Arc::ptr_eq(&first.config().ticketer, &next.config().ticketer);
                assert_eq!(is_shared, before == after, "{}", boundary(&next));
            }
        }
        // Without tickets nothing is resumed.
        let without = load(&ServerTls { tickets: false, ..plain.clone() }, None);
        assert!(!without.config().ticketer.enabled());
        assert!(!without.config().session_storage.can_cache());
        assert!(!load(&plain, None).config().session_storage.can_cache());
    }

    #[test]
    fn an_authority_that_is_renewed_is_another() {
        let scratch = Scratch::new();
        let [path, ca] = ["a.pem", "ca.pem"].map(|name| scratch.join(name));
        write(&path, "a.example", 5);
        write(&ca, "ca.example", 5);
        let clients = ClientProof {
            authorities: vec![at(&ca)],
            revoked: Vec::new(),
            need: ClientAuth::Required,
        };
        let plain = ServerTls::new(CertificateFiles::new(at(&path)));
        let server = load(&ServerTls { clients: Some(clients), ..plain }, None);
        let before = server.config();
        server.renew(around(NOW));
        assert!(Arc::ptr_eq(&before.ticketer, &server.config().ticketer));
        write(&ca, "ca.example", 5);
        server.renew(around(NOW));
        assert!(!Arc::ptr_eq(&before.ticketer, &server.config().ticketer));
        assert_eq!(server.files(), [&*path, &*ca]);
    }

    #[test]
    fn passphrases_come_from_where_they_are() {
        let scratch = Scratch::new();
        let file = scratch.join("secret");
        std::fs::write(&file, "p w\n").expect("a file");
        let find = |secret: Secret| {
            let mut faults = Vec::new();
            let found = passphrase(&Spanned::default_of(secret), around(NOW), &mut faults);
            assert_eq!(found.is_none(), !faults.is_empty(), "{faults:?}");
            found
        };
        let expected = Some(Passphrase::new("p w"));
        assert_eq!(find(Secret::File(file.clone())), expected);
        assert_eq!(find(Secret::Variable("PASS".into())), expected);
        assert_eq!(find(Secret::Text("p w".into())), expected);
        assert_eq!(find(Secret::File(file + "x")), None);
        assert_eq!(find(Secret::Variable("OTHER".into())), None);
    }
}
