//! Certificates that an authority gives over the network (ACME, RFC 8555), one for each name.
//!
//! A [`Site`] is a name with what it has: its certificate, when that is due to be renewed, and the
//! answer to a question of the authority while there is one. Listeners that have the same name
//! of the same [`Issuer`] share it, and so do the configurations before and after a reload. Each
//! handshake looks into it, so that what is new counts at once and for everybody.
//!
//! Somebody else decides when [`Site::order`] is called; [`Site::due`] says when it should be.

#[cfg_attr(not(feature = "acme"), allow(dead_code, reason = "nobody orders"))]
mod challenge;
#[cfg(feature = "acme")]
mod client;
#[cfg_attr(not(feature = "acme"), allow(dead_code, reason = "nobody orders"))]
mod external;
#[cfg(feature = "acme")]
mod order;
#[cfg(not(feature = "acme"))]
#[path = "acme/absent.rs"]
mod order;
mod schedule;
#[cfg_attr(not(feature = "acme"), allow(dead_code, reason = "nobody orders"))]
mod store;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use model::{Acme, Code, Diagnostic, Spanned};
use rustls::ServerConfig;
use rustls::sign::CertifiedKey;

use crate::Certificate;
use crate::identity::{self, Identity};
use crate::server::{Surroundings, passphrase};

pub use order::IS_BUILT;

use external::ExternalKey;
use schedule::{Failed, Term};
use store::Store;

pub(crate) use challenge::{PROTOCOL, refusal};

/// Looks up the addresses of a host; may take its time.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// An account at an authority, and where all that comes of it is kept.
pub struct Issuer {
    settings: Acme,
    /// Whom to believe who the server of the authority is.
    trusted: Vec<Certificate>,
    /// The key of the account that the authority knows already.
    external_key: Option<ExternalKey>,
    store: Store,
    /// What it has refused to everybody.
    failed: Mutex<Option<Failed>>,
}

impl Issuer {
    /// With the files that `acme` names, and whom this machine trusts taken over from one `before` it.
    /// `None`: the faults are told.
    fn load(
        acme: &Acme,
        before: Option<&Self>,
        around: Surroundings<'_>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let told = faults.len();
        let mut trusted = Vec::new();
        for at in &acme.ca {
            let found = identity::authorities(at, around.disk, faults).unwrap_or_default();
            trusted.extend(found.iter().map(|der| Certificate(der.to_vec())));
        }
        if acme.ca.is_empty() {
            // Behind `--chroot` they cannot be found again.
            let known = before.filter(|before| before.settings.ca.is_empty());
            match known.map_or_else(crate::authorities, |known| Ok(known.trusted.clone())) {
                Ok(found) => trusted = found,
                Err(why) => faults.push(
                    Diagnostic::new(Code::Certificate, acme.names[0].span, why.to_string())
                        .label("the authority cannot be known")
                        .help("name who signs for its server: `ca = \"PATH\"`"),
                ),
            }
        }
        let external_key = acme.external_account.as_ref().and_then(|account| {
            let text = passphrase(&account.key, around, faults)?;
            let key = ExternalKey::read(text.bytes());
            if key.is_none() {
                faults.push(
                    Diagnostic::new(Code::Certificate, account.key.span, "this is no key")
                        .label("no Base64 as URLs have it")
                        .help("copy it as the authority shows it, with `-` and `_` in it"),
                );
            }
            key
        });
        let store = Store::new(Path::new(&acme.store.value), acme.directory.url());
        let failed = store.failed(None).into();
        let settings = Acme { names: Vec::new(), ..acme.clone() };
        (faults.len() == told).then_some(Self { settings, trusted, external_key, store, failed })
    }

    /// Puts it into `faults` if nothing can be kept where it should be.
    fn check(&self, faults: &mut Vec<Diagnostic>) {
        let Err((path, error)) = self.store.check() else { return };
        let at = &self.settings.store;
        let message = format!("nothing can be kept in {}: {error}", at.value);
        let help = format!(
            "make {} a folder of the user that replug runs as, or name another one: \
             `store = \"PATH\"`",
            path.display()
        );
        faults.push(
            Diagnostic::new(Code::Store, at.span, message)
                .label("account and certificates")
                .help(help),
        );
    }

    fn is(&self, other: &Self) -> bool {
        self.settings.has_settings_of(&other.settings)
            && self.trusted == other.trusted
            && self.external_key == other.external_key
    }

    /// The URL at which the authority says what it offers.
    pub fn directory(&self) -> &str {
        self.settings.directory.url()
    }

    /// The folder where account and certificates are kept, as it was configured.
    pub fn folder(&self) -> &Path {
        Path::new(&self.settings.store.value)
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("directory", &self.directory()).finish_non_exhaustive()
    }
}

/// A name with its certificate, or on the way to one.
#[derive(Debug)]
pub struct Site {
    name: Box<str>,
    issuer: Arc<Issuer>,
    held: ArcSwapOption<Held>,
    /// What the authority gets to see while it asks.
    challenge: ArcSwapOption<ServerConfig>,
    failed: Mutex<Option<Failed>>,
}

/// A certificate that was given.
#[derive(Debug)]
struct Held {
    certified: Arc<CertifiedKey>,
    term: Term,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The authority gives none to anybody here, now: it cannot be reached, or does not take the
    /// account.
    Everything(String),
    /// It gives none for this name.
    Name(String),
    /// It has been asked too often for this name.
    TooOften(String),
    /// Another process is about it.
    Busy,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything(why) | Self::Name(why) | Self::TooOften(why) => f.write_str(why),
            Self::Busy => f.write_str("another process orders with the same account"),
        }
    }
}

impl Site {
    fn new(name: &str, issuer: &Arc<Issuer>, now: i64) -> Self {
        let site = Self {
            name: name.into(),
            issuer: Arc::clone(issuer),
            held: ArcSwapOption::empty(),
            challenge: ArcSwapOption::empty(),
            failed: issuer.store.failed(Some(name)).into(),
        };
        site.take_up(now);
        site
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who gives it certificates.
    pub fn issuer(&self) -> &Arc<Issuer> {
        &self.issuer
    }

    /// Until when its certificate is valid, in seconds since 1970; `None`: it has none.
    pub fn valid_until(&self) -> Option<i64> {
        self.held.load().as_ref().map(|held| held.term.until)
    }

    /// When a certificate should be ordered for it, in seconds since 1970; it is `now`.
    pub fn due(&self, now: i64) -> i64 {
        let term = self.held.load().as_ref().map(|held| held.term);
        let name = schedule::due(term, *lock(&self.failed), now);
        name.max(schedule::due(None, *lock(&self.issuer.failed), now))
    }

    /// Whatever went wrong before does not count any more.
    pub fn forgive(&self) {
        *lock(&self.failed) = None;
        *lock(&self.issuer.failed) = None;
    }

    /// Takes up the certificate in the store, if there is one that is not the one it has. True: it
    /// is another one now.
    pub fn take_up(&self, now: i64) -> bool {
        let Some(held) = self.issuer.store.certificate(&self.name, now) else { return false };
        let before = self.held.load();
        let is_newer = |before: &Arc<Held>| {
            before.term.seed != held.term.seed && before.term.until <= held.term.until
        };
        let is_other = before.as_ref().is_none_or(is_newer);
        if is_other {
            self.held.store(Some(Arc::new(held)));
        }
        is_other
    }

    /// Orders a certificate, and takes it up. It takes as long as the authority wants; dropped, it
    /// is given up.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn order(&self, lookup: Lookup, now: i64) -> Result<(), Refused> {
        match self.issuer.store.lock() {
            // Another process may have ordered it.
            Ok(Some(_lock)) if self.take_up(now) => Ok(()),
            Ok(Some(_lock)) => order::order(self, lookup, now).await,
            Ok(None) => Err(Refused::Busy),
            Err(error) => Err(self.not_kept(&error)),
        }
    }

    /// Takes note of what an order came to: [`Site::due`] says from then on when to try again, for
    /// which `chance` is any number.
    pub fn note(&self, result: &Result<(), Refused>, now: i64, chance: u32) {
        let store = &self.issuer.store;
        let note = |place: &Mutex<Option<Failed>>, name, failed: Option<Failed>| {
            *lock(place) = failed;
            // That of this process holds; that in the folder is for the next one.
            let _ = store.note(name, failed);
        };
        let again = |place: &Mutex<Option<Failed>>, least| {
            Some(Failed::again(*lock(place), now, chance, least))
        };
        let own = Some(&*self.name);
        match result {
            Ok(()) => {
                note(&self.failed, own, None);
                note(&self.issuer.failed, None, None);
            }
            Err(Refused::Everything(_)) => {
                note(&self.issuer.failed, None, again(&self.issuer.failed, schedule::WAIT_MIN));
            }
            Err(Refused::Busy) => *lock(&self.failed) = Some(Failed::briefly(now)),
            Err(Refused::Name(_)) => {
                note(&self.failed, own, again(&self.failed, schedule::WAIT_MIN));
                note(&self.issuer.failed, None, None);
            }
            Err(Refused::TooOften(_)) => {
                note(&self.failed, own, again(&self.failed, schedule::TOO_OFTEN_MIN));
            }
        }
    }

    fn not_kept(&self, error: &io::Error) -> Refused {
        let folder = self.issuer.folder().display();
        Refused::Everything(format!("nothing can be kept in {folder}: {error}"))
    }

    /// The certificate that clients get.
    pub(crate) fn certified(&self) -> Option<Arc<CertifiedKey>> {
        self.held.load().as_ref().map(|held| Arc::clone(&held.certified))
    }

    /// What the authority gets to see, if it is asked for now.
    pub(crate) fn challenge(&self) -> Option<Arc<ServerConfig>> {
        self.challenge.load_full()
    }
}

/// The sites of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Sites(Vec<Arc<Site>>);

impl Sites {
    /// All of them.
    pub fn all(&self) -> &[Arc<Site>] {
        &self.0
    }

    /// Those of `acme`, which are taken over from `before` where they are the same; they belong to
    /// these from now on.
    pub(crate) fn add(
        &mut self,
        acme: &Spanned<Acme>,
        before: &Self,
        around: Surroundings<'_>,
        faults: &mut Vec<Diagnostic>,
    ) -> Vec<Arc<Site>> {
        if !IS_BUILT {
            let message = "this replug was built without ACME";
            faults.push(
                Diagnostic::new(Code::NotBuilt, acme.span, message)
                    .label("cannot be carried out")
                    .help("build it with `cargo build --release --features acme`"),
            );
            return Vec::new();
        }
        let known = || self.0.iter().chain(&before.0).map(|site| &site.issuer);
        let like = known().find(|known| known.settings.has_settings_of(&acme.value));
        let like = like.map(|like| &**like);
        let Some(issuer) = Issuer::load(&acme.value, like, around, faults) else {
            return Vec::new();
        };
        let issuer = match known().find(|known| known.is(&issuer)) {
            Some(known) => Arc::clone(known),
            None => {
                issuer.check(faults);
                Arc::new(issuer)
            }
        };
        let mut sites = Vec::new();
        for name in &acme.value.names {
            let is_it =
                |site: &&Arc<Site>| Arc::ptr_eq(&site.issuer, &issuer) && *site.name == *name.value;
            let same = self.0.iter().chain(&before.0).find(is_it).map(Arc::clone);
            sites.push(
                same.unwrap_or_else(|| Arc::new(Site::new(&name.value, &issuer, around.now))),
            );
        }
        for site in &sites {
            if !self.0.iter().any(|known| Arc::ptr_eq(known, site)) {
                self.0.push(Arc::clone(site));
            }
        }
        sites
    }

    /// Makes the folders in which certificates are kept, and gives them to `owner`, as user and
    /// group.
    ///
    /// # Errors
    /// Of which folder, and why not.
    pub fn hand_over(&self, owner: Option<(u32, u32)>) -> Result<(), (PathBuf, io::Error)> {
        for site in &self.0 {
            let store = &site.issuer.store;
            let done = match owner {
                Some((user, group)) => store.make_for(user, group),
                None => store.make(),
            };
            done.map_err(|error| (site.issuer.folder().to_owned(), error))?;
        }
        Ok(())
    }

    /// Calls folders by what `inside` says that they are called from now on.
    ///
    /// # Errors
    /// Which one has no such name.
    pub fn rename(&self, inside: impl Fn(&Path) -> Option<PathBuf>) -> Result<(), PathBuf> {
        for site in &self.0 {
            let folder = site.issuer.folder();
            let inside = inside(folder).ok_or_else(|| folder.to_owned())?;
            site.issuer.store.is_now_at(&inside);
        }
        Ok(())
    }
}

/// What can be told about a certificate and its time.
impl Held {
    fn of(identity: Identity) -> Self {
        let facts = &identity.facts;
        let seed = identity.certified.cert.first().map_or(0, |cert| schedule::seed(cert));
        let term = Term { from: facts.not_before, until: facts.not_after, seed };
        Self { certified: identity.certified, term }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in it holds, whoever panicked beside it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, feature = "acme"))]
mod tests;
