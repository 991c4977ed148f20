//! Clients of a listener that is a proxy: they greet it, sign in if they have to, and say where
//! they want to go; and get their answer when that is known.
//!
//! What it is that they speak is told by the first byte. All that they say until their way is known
//! is bounded by the time of phase *sniff*, and by the longest message of their protocol. What they
//! send behind it is for the backend, and kept for it. They are told that their way is open only
//! when it is.
//!
//! Where they may go is decided by the name they say and again by each address that it has: it is
//! the address that was judged that is connected to, so that a name cannot mean another one a moment
//! later.

mod http;
mod socks;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use model::ServedProtocol;
use relay::Socket;
use wire::Parse;
use wire::socks::MESSAGE_BYTES_MAX;
use wire::socks::v5::Reply;

use crate::lookup::Lookups;
use crate::phase::account::{By, ConnectFailure, Reason};
use crate::phase::carry::Outcome;
use crate::phase::hearing::{Hall, Heard, Hearing};
use crate::plan::{ByName, Served};

/// How long somebody waits for the answer whose password is wrong: who tries many gets nowhere.
const SIGN_IN_PAUSE: Duration = Duration::from_secs(1);

/// Longest host name (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = model::address::HOST_BYTES_MAX;

/// Where a client wants to go.
#[derive(Debug)]
pub(crate) struct Asked {
    host: Host,
    port: u16,
    /// `host:port`, as records call it.
    pub(crate) label: Arc<str>,
    manner: Manner,
    /// Where we listen.
    own: Arc<[SocketAddr]>,
    lookups: Lookups,
}

/// A host, as a client calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    /// In lower case, without a dot at the end.
    Name(Box<str>),
}

/// How a client has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Socks4,
    Socks5,
    /// HTTP `CONNECT`.
    Connect,
    /// A request of HTTP that is passed on: the answer is the backend's.
    Forward,
}

/// A destination that was read.
#[derive(Debug)]
struct Destination {
    host: Host,
    port: u16,
}

/// The end of a session whose client has not got as far as to have a way.
#[derive(Debug)]
pub(crate) struct Declined {
    pub(crate) outcome: Outcome,
    /// What it is told.
    pub(crate) reply: Vec<u8>,
}

impl From<Outcome> for Declined {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, reply: Vec::new() }
    }
}

impl Declined {
    /// It speaks something else than it should.
    fn bad(reply: Vec<u8>) -> Self {
        Self { outcome: Outcome { reason: Reason::BadRequest, by: By::Client }, reply }
    }

    /// It may not.
    fn denied(reply: Vec<u8>) -> Self {
        Self { outcome: Outcome { reason: Reason::Denied, by: By::Replug }, reply }
    }
}

/// Listens to a client until it has said where it wants to go. `bytes` came before, and were not
/// used; what is left in them is for the backend. `user` becomes whoever has signed in, also if
/// nothing comes of it.
///
/// # Errors
/// How the session ends instead.
pub(crate) async fn greet(
    client: &mut Socket,
    bytes: &mut Vec<u8>,
    hall: Hall<'_>,
    served: &Served,
    user: &mut Option<Arc<str>>,
) -> Result<Asked, Declined> {
    let hearing = hall.hear(hall.listener.timeouts.sniff, bytes.len())?;
    let mut talk = Talk { client, bytes, hearing, served, user };
    let first = talk.hear(1, |bytes| match bytes.first() {
        Some(first) => Parse::Whole { value: *first, length: 0 },
        None => Parse::Partial,
    });
    let (destination, manner) = match first.await? {
        wire::socks::v4::VERSION if served.speaks(ServedProtocol::Socks4) => {
            (talk.socks4().await?, Manner::Socks4)
        }
        wire::socks::v5::VERSION if served.speaks(ServedProtocol::Socks5) => {
            (talk.socks5().await?, Manner::Socks5)
        }
        byte if served.speaks(ServedProtocol::Http) && byte.is_ascii_alphabetic() => {
            talk.http().await?
        }
        _ => return Err(Declined::bad(Vec::new())),
    };
    let Destination { host, port } = destination;
    let label = match &host {
        Host::Ip(ip) => SocketAddr::new(*ip, port).to_string().into(),
        Host::Name(name) => format!("{name}:{port}").into(),
    };
    let own = Arc::clone(&hall.shard.own.borrow());
    Ok(Asked { host, port, label, manner, own, lookups: hall.shard.lookups().clone() })
}

impl Asked {
    /// What routes go by: the address, or that of nobody if there is but a name, and the port.
    pub(crate) fn address(&self) -> SocketAddr {
        let ip = match self.host {
            Host::Ip(ip) => ip,
            Host::Name(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(ip, self.port)
    }

    /// The addresses that the client may be connected to, at least one.
    ///
    /// # Errors
    /// There are none, or it may not.
    pub(crate) async fn addresses(
        &self,
        served: &Served,
        patience: Duration,
    ) -> Result<Vec<SocketAddr>, ConnectFailure> {
        let (name, found) = match &self.host {
            Host::Ip(ip) => (ByName::Undecided, Arc::from([*ip])),
            Host::Name(host) => {
                let name = self.by_name(served)?;
                let found = self.lookups.addresses(host, patience).await;
                (name, found.map_err(|_| ConnectFailure::Unresolved)?)
            }
        };
        let all = found.iter().map(|ip| SocketAddr::new(ip.to_canonical(), self.port));
        let may: Vec<_> = all.filter(|to| served.may_to(*to, name, &self.own)).collect();
        if may.is_empty() { Err(ConnectFailure::Forbidden) } else { Ok(may) }
    }

    /// The name that another proxy can be asked for: if the client has said one, and it is by that
    /// name that it may go there. Which addresses it has is up to that proxy then.
    ///
    /// # Errors
    /// It may not go there.
    pub(crate) fn name(&self, served: &Served) -> Result<Option<&str>, ConnectFailure> {
        match &self.host {
            Host::Ip(_) => Ok(None),
            Host::Name(_) => match self.by_name(served)? {
                ByName::Allowed => Ok(Some(&self.label)),
                ByName::Denied | ByName::Undecided => Ok(None),
            },
        }
    }

    fn by_name(&self, served: &Served) -> Result<ByName, ConnectFailure> {
        match &self.host {
            Host::Name(host) => match served.may_to_name(host, self.port) {
                ByName::Denied => Err(ConnectFailure::Forbidden),
                known => Ok(known),
            },
            Host::Ip(_) => Ok(ByName::Undecided),
        }
    }

    /// What a client is told whose way is open; empty: the backend answers.
    pub(crate) fn granted(&self) -> Vec<u8> {
        match self.manner {
            Manner::Socks4 => socks::reply_4(true),
            Manner::Socks5 => socks::reply_5(Reply::Granted),
            Manner::Connect => http::CONNECTED.to_vec(),
            Manner::Forward => Vec::new(),
        }
    }

    /// What a client is told that gets no backend.
    pub(crate) fn declined(&self, reason: Reason) -> Vec<u8> {
        match self.manner {
            Manner::Socks4 => socks::reply_4(false),
            Manner::Socks5 => socks::reply_5(socks::reply_to(reason)),
            Manner::Connect | Manner::Forward => http::reply(http::status_of(reason)),
        }
    }
}

impl Destination {
    /// A host that may be an address, as text, and a port; `None`: it is neither.
    fn new(host: &str, port: u16) -> Option<Self> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Self { host: Host::Ip(ip.to_canonical()), port });
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = (1..=HOST_BYTES_MAX).contains(&name.len())
            && name.bytes().all(is_legal)
            && !name.split('.').any(str::is_empty);
        is_name.then(|| Self { host: Host::Name(name.to_ascii_lowercase().into()), port })
    }
}

/// A talk with a client.
struct Talk<'a> {
    client: &'a mut Socket,
    bytes: &'a mut Vec<u8>,
    hearing: Hearing<'a>,
    served: &'a Served,
    user: &'a mut Option<Arc<str>>,
}

impl Talk<'_> {
    async fn say(&mut self, reply: &[u8]) -> Result<(), Declined> {
        let sent = self.client.send_all(reply).await;
        sent.map_err(|error| crate::phase::hearing::reset(error).into())
    }

    /// The next message, once it is whole: at most `most` bytes. What is behind it stays.
    async fn hear<T>(
        &mut self,
        most: usize,
        read: impl Fn(&[u8]) -> Parse<T, Declined>,
    ) -> Result<T, Declined> {
        let mut looked = 0;
        loop {
            let news = &self.bytes[looked.min(self.bytes.len())..];
            // Longer than this are heads of HTTP only, which end with a line: whoever sends one byte by
            // byte shall not have all of it read again for each.
            let is_worth_it =
                looked < MESSAGE_BYTES_MAX || news.contains(&b'\n') || self.bytes.len() >= most;
            if is_worth_it {
                looked = self.bytes.len();
                match read(self.bytes) {
                    Parse::Whole { value, length } => {
                        self.bytes.drain(..length);
                        return Ok(value);
                    }
                    Parse::Foreign(declined) => return Err(declined),
                    Parse::Partial => {}
                }
            }
            match self.hearing.more(self.client, self.bytes, most).await? {
                Heard::More => {}
                Heard::End => return Err(Declined::bad(Vec::new())),
                Heard::Late => {
                    let outcome = Outcome { reason: Reason::SniffTimeout, by: By::Replug };
                    return Err(outcome.into());
                }
            }
        }
    }

    /// Makes somebody wait whose password is wrong.
    async fn pause(&self) {
        tokio::time::sleep(SIGN_IN_PAUSE).await;
    }
}
