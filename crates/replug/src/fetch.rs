//! Configurations from elsewhere: files that are named by a URL.
//!
//! A [`Visit`] reads all that one configuration consists of: each file once, however often it is
//! named, and all of them within one time. What is fetched may say what the process does, so with
//! `https://` nothing is taken from anybody whom this machine does not trust, not even behind a
//! redirection.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::file::{self, FILE_BYTES_MAX};

/// Longest time for all files of one configuration: a reload waits for it, and so does a start.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Redirections that are followed for one file.
const REDIRECTS_MAX: u32 = 5;

/// Files that one configuration may be fetched from.
const FETCHES_MAX: usize = 100;

/// Whether `name` says where something is by a URL, of whatever kind.
pub(crate) fn is_url(name: &str) -> bool {
    name.contains("://")
}

/// A URL as it may be shown: without a password.
pub(crate) fn shown(url: &str) -> String {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (_, host) = authority.rsplit_once('@')?;
        Some(format!("{scheme}://{host}{path}"))
    });
    parts.unwrap_or_else(|| url.to_owned())
}

/// The URL of what lies beside `url`: all of it up to its last slash.
pub(crate) fn folder(url: &str) -> &str {
    let path = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    let authority = path.find("://").map_or(0, |at| at + 3);
    match path[authority..].rfind('/') {
        Some(slash) => &path[..authority + slash],
        None => path,
    }
}

/// The reading of one configuration.
#[derive(Debug)]
pub(crate) struct Visit {
    until: Instant,
    fetched: RefCell<HashMap<String, Result<String, String>>>,
}

impl Visit {
    /// Begins now, and lasts ten seconds at the most.
    pub(crate) fn begin() -> Self {
        Self { until: Instant::now() + TIME_MAX, fetched: RefCell::default() }
    }

    /// The text at `url`, or why there is none. Each is fetched once.
    pub(crate) fn text(&self, url: &str) -> Result<String, String> {
        if let Some(known) = self.fetched.borrow().get(url) {
            return known.clone();
        }
        let text = match self.fetched.borrow().len() {
            FETCHES_MAX => Err(Fault::TooMany),
            _ => fetch(url, self.until.saturating_duration_since(Instant::now())),
        };
        let text = text.map_err(|fault| fault.to_string());
        self.fetched.borrow_mut().insert(url.to_owned(), text.clone());
        text
    }
}

/// Why there is nothing to read.
#[derive(Debug)]
enum Fault {
    /// Other than `http` and `https`.
    Scheme,
    Url(String),
    Status(u16),
    TooLarge,
    TooMany,
    Slow,
    /// A redirection from `https://` to elsewhere.
    Unprotected,
    NobodyTrusted(tls::NobodyTrusted),
    Tls(String),
    NotText(io::Error),
    /// Nobody is there, or the connection breaks.
    Failed(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str(
                "configurations are read from files, http:// and https:// only; fetch it into a \
                 file first",
            ),
            Self::Url(why) => write!(f, "this is no URL: {why}"),
            Self::Status(status) => write!(f, "the server answers with status {status}"),
            Self::TooLarge => f.write_str("it is larger than 16 MiB"),
            Self::TooMany => {
                write!(f, "a configuration may consist of {FETCHES_MAX} URLs at the most")
            }
            Self::Slow => write!(f, "it took longer than {} s", TIME_MAX.as_secs()),
            Self::Unprotected => {
                f.write_str("the server redirects from https:// to what is not protected")
            }
            Self::NobodyTrusted(why) => write!(f, "the server cannot be known: {why}"),
            Self::Tls(why) => write!(
                f,
                "the server is not who it should be, or speaks no TLS: {why}; an authority of \
                 your own is named with SSL_CERT_FILE"
            ),
            Self::NotText(why) => why.fmt(f),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

fn fetch(url: &str, within: Duration) -> Result<String, Fault> {
    let scheme = url.split("://").next().unwrap_or_default();
    let is_protected = scheme.eq_ignore_ascii_case("https");
    if !is_protected && !scheme.eq_ignore_ascii_case("http") {
        return Err(Fault::Scheme);
    }
    if within.is_zero() {
        return Err(Fault::Slow);
    }
    let mut answer = agent(is_protected, within)?.get(url).call().map_err(Fault::from)?;
    let body = answer.body_mut().with_config().limit(FILE_BYTES_MAX).read_to_vec();
    file::utf8(body.map_err(Fault::from)?).map_err(Fault::NotText)
}

fn agent(is_protected: bool, within: Duration) -> Result<Agent, Fault> {
    let config = Agent::config_builder()
        .user_agent(concat!("replug/", env!("CARGO_PKG_VERSION")))
        .max_redirects(REDIRECTS_MAX)
        // A server may close behind a redirection without a word.
        .max_idle_connections(0)
        .timeout_global(Some(within))
        .https_only(is_protected);
    let config = match is_protected {
        true => config.tls_config(trust()?),
        false => config,
    };
    Ok(config.build().new_agent())
}

/// Trust in the authorities of this machine.
fn trust() -> Result<TlsConfig, Fault> {
    tls::install();
    let authorities = tls::authorities().map_err(Fault::NobodyTrusted)?;
    let authorities: Vec<_> =
        authorities.iter().map(|der| Certificate::from_der(der.as_der()).to_owned()).collect();
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&authorities)).build())
}

impl From<ureq::Error> for Fault {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::StatusCode(status) => Self::Status(status),
            ureq::Error::BodyExceedsLimit(_) => Self::TooLarge,
            ureq::Error::Timeout(_) => Self::Slow,
            ureq::Error::RequireHttpsOnly(_) => Self::Unprotected,
            ureq::Error::BadUri(why) => Self::Url(why),
            ureq::Error::Http(why) => Self::Url(why.to_string()),
            ureq::Error::Io(error) => match error.get_ref().map(ToString::to_string) {
                // What rustls finds wrong comes as invalid data.
                Some(why) if error.kind() == io::ErrorKind::InvalidData => Self::Tls(why),
                _ if error.kind() == io::ErrorKind::TimedOut => Self::Slow,
                _ => Self::Failed(error.to_string()),
            },
            ureq::Error::Tls(why) => Self::Tls(why.to_owned()),
            ureq::Error::Rustls(why) => Self::Tls(why.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let check = |url: &str, expected: &str| assert_eq!(shown(url), expected);
        check("http://host/a", "http://host/a");
        check("https://me:secret@host:8443/a@b", "https://host:8443/a@b");
        check("http://me:s@cret@host", "http://host");
        check("http://host?a@b", "http://host?a@b");
        check("ipc://1/2", "ipc://1/2");
    }

    #[test]
    fn what_lies_beside_a_file() {
        assert_eq!(folder("http://host/a/b.cfg?x=/y"), "http://host/a");
        assert_eq!(folder("http://host/b.cfg"), "http://host");
        assert_eq!(folder("http://host"), "http://host");
    }

    #[test]
    fn a_visit_ends() {
        let visit = Visit { until: Instant::now(), fetched: RefCell::default() };
        let why = visit.text("http://127.0.0.1:1/").expect_err("there is no time");
        assert_eq!(why, "it took longer than 10 s");
        // Connected by the kernel, and never answered.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/", silent.local_addr().expect("it is bound"));
        let until = Instant::now() + Duration::from_millis(50);
        let visit = Visit { until, fetched: RefCell::default() };
        assert_eq!(visit.text(&url).expect_err("nobody answers"), "it took longer than 10 s");
        let visit = Visit::begin();
        for number in 0..FETCHES_MAX {
            visit.text(&format!("ftp://host/{number}")).expect_err("not this way");
        }
        let why = visit.text("ftp://host/x").expect_err("too many");
        assert!(why.contains("100 URLs"), "{why}");
        let why = visit.text("ftp://host/1").expect_err("known from before");
        assert!(why.contains("http:// and https:// only"), "{why}");
    }
}
