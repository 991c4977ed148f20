//! The step before all others at a listener behind a proxy: the PROXY header, which tells whose
//! connection it is. And, at the other end, the header that a backend gets before anything else.
//!
//! From then on the session's client is the one that the header tells of: access rules, limits,
//! routes and backends go by it, and records show it, with the sender beside it. A sender that tells
//! of its own connection (`LOCAL`), or of nobody's, is the client itself.
//!
//! Nothing is guessed. Whoever is believed must send a header, whole and in time; nobody else's first
//! bytes are looked at for one.

mod ended;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{ProxyOthers, ProxyTlv, ProxyVersion};
use relay::{Socket, Tick};
use wire::Parse;
use wire::proxy_header::{
    Checksum, Header, Kind, Subject, TlvBuffer, Transport, UNIQUE_ID_BYTES_MAX, V2_BYTES_MAX, read,
    write_v1, write_v2,
};
use wire::tls::{ClientHello, Version};

use crate::journal::{Journal, Level, Notice};
use crate::phase::account::{By, ClientAddress, Reason, Spoken};
use crate::phase::admit::Rules;
use crate::phase::carry::Outcome;
use crate::phase::hearing::{Hall, Heard};
use crate::phase::route::names;
use crate::phase::via::{Reached, Refused};
use crate::seldom::Seldom;
use crate::socket;
pub(crate) use ended::Ended;

/// Bytes that are taken at once: nearly always more than a header has. One that is longer gets room
/// for as much as there may be.
const ROOM: usize = 4 * 1024;

/// Longest text of a header that is kept for routes, records and other headers, in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Longest value about TLS that is kept for other headers, in bytes.
const SSL_BYTES_MAX: usize = 4 * 1024;

/// Whose headers a listener takes.
#[derive(Debug)]
pub struct Accepts {
    from: Rules,
    others: ProxyOthers,
    timeout: Duration,
    /// Connections that were turned away.
    refused: Seldom,
}

/// What becomes of somebody who has connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It must send a header.
    Sender,
    /// It is a client without a header.
    Plain,
    /// It is turned away.
    Refused,
}

impl Accepts {
    pub(crate) fn new(config: &model::AcceptProxy) -> Self {
        let from = model::Access { allow: config.from.clone(), deny: Vec::new() };
        let (others, timeout) = (config.others, config.timeout);
        Self { from: Rules::new(&from), others, timeout, refused: Seldom::default() }
    }

    /// Who connects to a unix socket is let in by the permissions of its file, and believed.
    pub(crate) fn standing(&self, peer: ClientAddress) -> Standing {
        let is_listed = match peer {
            ClientAddress::Ip(address) => self.from.denial(address.ip()).is_none(),
            ClientAddress::Unix => true,
        };
        match (is_listed, self.others) {
            (true, _) => Standing::Sender,
            (false, ProxyOthers::Plain) => Standing::Plain,
            (false, ProxyOthers::Refuse) => Standing::Refused,
        }
    }

    /// Tells, now and then, that somebody was turned away.
    pub(crate) fn tell(
        &self,
        journal: &Journal,
        listener: &str,
        sender: ClientAddress,
        why: &'static str,
    ) {
        if let Some(times) = self.refused.happened(Tick::now()) {
            let text = format!("{sender} was turned away by {listener}: {why} ({times} times)");
            journal.notice(Notice::Remark { level: Level::Warning, text });
        }
    }
}

/// Why the connection of somebody who is not listed is turned away, in words.
pub(crate) const NOT_LISTED: &str = "it is none of those that may send PROXY headers";

/// What a header has told.
#[derive(Debug)]
pub(crate) struct Introduction {
    /// Who has sent it.
    pub(crate) sender: ClientAddress,
    told: Told,
    /// What the client has asked for and agreed on, as its ClientHello would tell it.
    pub(crate) hello: Option<ClientHello>,
    tls_version: Option<Version>,
    authority: Option<Box<[u8]>>,
    alpn: Option<Box<[u8]>>,
    ssl: Option<Box<[u8]>>,
    pub(crate) unique_id: Option<Arc<[u8]>>,
}

/// Whose connection it is.
#[derive(Debug)]
enum Told {
    Nobody,
    Ip { client: SocketAddr, server: SocketAddr },
    Unix { client: Box<[u8]>, server: Box<[u8]> },
}

impl Introduction {
    /// What `header`, which `sender` has sent, is about.
    pub(crate) fn of(sender: ClientAddress, header: &Header<'_>) -> Self {
        let told = match header.subject {
            Subject::Local | Subject::Unknown => Told::Nobody,
            Subject::Ip { client, server, .. } => {
                Told::Ip { client: socket::canonical(client), server: socket::canonical(server) }
            }
            Subject::Unix { client, server, .. } => {
                Told::Unix { client: client.into(), server: server.into() }
            }
        };
        let value = |kind, most: usize| {
            header.tlvs.get(kind).filter(|value| !value.is_empty() && value.len() <= most)
        };
        let (authority, alpn) =
            (value(Kind::AUTHORITY, TEXT_BYTES_MAX), value(Kind::ALPN, TEXT_BYTES_MAX));
        let ssl = header.tlvs.ssl();
        let tls_version = ssl.and_then(|ssl| ssl.fields.get(Kind::SSL_VERSION)).and_then(version);
        let hello = (authority.is_some() || alpn.is_some()).then(|| ClientHello {
            server_name: authority.and_then(names::host).map(String::into_boxed_str),
            alpn: alpn.map(Into::into).into_iter().collect(),
            newest: tls_version.unwrap_or(Version::Tls12),
        });
        Self {
            sender,
            told,
            hello,
            tls_version,
            authority: authority.map(Into::into),
            alpn: alpn.map(Into::into),
            ssl: value(Kind::SSL, SSL_BYTES_MAX).map(Into::into),
            unique_id: value(Kind::UNIQUE_ID, UNIQUE_ID_BYTES_MAX).map(Into::into),
        }
    }

    /// Whose connection it is.
    pub(crate) fn client(&self) -> ClientAddress {
        match self.told {
            Told::Nobody => self.sender,
            Told::Ip { client, .. } => ClientAddress::Ip(client),
            Told::Unix { .. } => ClientAddress::Unix,
        }
    }

    /// Where the client has connected to, if that is told.
    pub(crate) fn server(&self) -> Option<SocketAddr> {
        match self.told {
            Told::Ip { server, .. } => Some(server),
            Told::Nobody | Told::Unix { .. } => None,
        }
    }

    /// What is worth recording of what it tells.
    pub(crate) fn spoken(&self) -> Spoken {
        let text = |bytes: &Option<Box<[u8]>>| {
            bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into())
        };
        Spoken {
            sni: text(&self.authority),
            alpn: text(&self.alpn),
            tls_version: self.tls_version,
            ..Spoken::default()
        }
    }
}

fn version(name: &[u8]) -> Option<Version> {
    Some(match name {
        b"TLSv1.3" => Version::Tls13,
        b"TLSv1.2" => Version::Tls12,
        b"TLSv1.1" => Version::Tls11,
        b"TLSv1" | b"TLSv1.0" => Version::Tls10,
        b"SSLv3" => Version::Ssl30,
        _ => return None,
    })
}

/// Reads the header that `sender` has to send; `early` gets what comes behind it.
pub(crate) async fn hear(
    peer: &mut Socket,
    early: &mut Vec<u8>,
    sender: ClientAddress,
    hall: Hall<'_>,
    accepts: &Accepts,
) -> Result<Introduction, Outcome> {
    let Hall { listener, shard, .. } = hall;
    let refused = |why: Option<&'static str>, by| {
        if let Some(why) = why {
            accepts.tell(&shard.journal, &listener.name, sender, why);
        }
        Outcome { reason: Reason::ProxyHeader, by }
    };
    let mut hearing = hall.hear(accepts.timeout, early.len())?;
    loop {
        match read(early) {
            Parse::Whole { value, length } => {
                let introduction = Introduction::of(sender, &value);
                early.drain(..length);
                return Ok(introduction);
            }
            Parse::Foreign(fault) => return Err(refused(Some(fault.as_str()), By::Client)),
            Parse::Partial => {}
        }
        let most = if early.len() < ROOM { ROOM } else { V2_BYTES_MAX };
        match hearing.more(peer, early, most).await? {
            Heard::More => {}
            // Many look in this way whether somebody listens: no news.
            Heard::End if early.is_empty() => return Err(refused(None, By::Client)),
            Heard::End => return Err(refused(Some("it has ended within its header"), By::Client)),
            Heard::Late => return Err(refused(Some("no whole header came in time"), By::Replug)),
        }
    }
}

/// Sends a backend its header, before anybody else says anything.
pub(crate) async fn send(mut reached: Reached, header: &[u8]) -> Result<Reached, Refused> {
    let sent = reached.socket.send_all(header).await;
    sent.map_err(|error| Refused::from(socket::connect_failure(&error, false)))?;
    Ok(reached)
}

/// What backends get first.
#[derive(Debug)]
pub struct Sends {
    version: ProxyVersion,
    tells: Box<[ProxyTlv]>,
    custom: Box<[(Kind, Box<[u8]>)]>,
}

/// What there is to tell of a session or a flow.
#[derive(Debug)]
pub(crate) struct About<'a> {
    pub(crate) transport: Transport,
    pub(crate) client: ClientAddress,
    /// Where it has connected to.
    pub(crate) server: Option<SocketAddr>,
    pub(crate) introduction: Option<&'a Introduction>,
    /// What was agreed on in TLS that ends here, before which nothing else counts.
    pub(crate) ended: Option<&'a Ended>,
    pub(crate) spoken: Option<&'a Spoken>,
    pub(crate) unique_id: Option<&'a [u8]>,
}

impl Sends {
    pub(crate) fn new(config: &model::SendProxy) -> Self {
        let custom = config.custom.iter();
        Self {
            version: config.version,
            tells: config.tlvs.iter().copied().collect(),
            custom: custom.map(|(kind, text)| (Kind(*kind), text.as_bytes().into())).collect(),
        }
    }

    /// Whether it tells this.
    pub(crate) fn tells(&self, tlv: ProxyTlv) -> bool {
        self.tells.contains(&tlv)
    }

    /// The header.
    pub(crate) fn header(&self, about: &About<'_>) -> Box<[u8]> {
        let mut out = Vec::new();
        let subject = about.subject();
        if self.version == ProxyVersion::V1 {
            write_v1(&mut out, &subject);
            return out.into();
        }
        let mut tlvs = TlvBuffer::default();
        for (kind, value) in self.tlvs(about) {
            // All together have room by far: each has its bound.
            if tlvs.push(kind, value).is_err() {
                break;
            }
        }
        let checksum = match self.tells(ProxyTlv::Crc32c) {
            true => Checksum::Crc32c,
            false => Checksum::Absent,
        };
        // The same: it is much shorter than a header may be.
        let written = write_v2(&mut out, &subject, &tlvs, checksum);
        debug_assert!(written.is_ok(), "what is told is bounded");
        out.into()
    }

    fn tlvs<'a>(&'a self, about: &About<'a>) -> impl Iterator<Item = (Kind, &'a [u8])> {
        let (introduction, ended) = (about.introduction, about.ended);
        let value = |tlv: &ProxyTlv| match tlv {
            ProxyTlv::Alpn => Some((
                Kind::ALPN,
                match ended {
                    Some(ended) => ended.alpn.as_deref()?,
                    None => introduction?.alpn.as_deref()?,
                },
            )),
            ProxyTlv::Authority => {
                let told = introduction.and_then(|introduction| introduction.authority.as_deref());
                let asked = about.spoken.and_then(|spoken| Some(spoken.sni.as_deref()?.as_bytes()));
                let value = if ended.is_some() { asked.or(told) } else { told.or(asked) };
                Some((Kind::AUTHORITY, value?))
            }
            ProxyTlv::Ssl => Some((
                Kind::SSL,
                match ended {
                    Some(ended) => &*ended.ssl,
                    None => introduction?.ssl.as_deref()?,
                },
            )),
            ProxyTlv::UniqueId => Some((Kind::UNIQUE_ID, about.unique_id?)),
            ProxyTlv::Crc32c => None,
        };
        let told: Vec<_> = self.tells.iter().filter_map(value).collect();
        told.into_iter().chain(self.custom.iter().map(|(kind, text)| (*kind, &**text)))
    }
}

impl<'a> About<'a> {
    fn subject(&self) -> Subject<'a> {
        let transport = self.transport;
        match (self.introduction.map(|introduction| &introduction.told), self.client) {
            (Some(Told::Unix { client, server }), _) => Subject::Unix { transport, client, server },
            (_, ClientAddress::Ip(client)) => match self.server {
                Some(server) => Subject::Ip { transport, client, server },
                None => Subject::Unknown,
            },
            (_, ClientAddress::Unix) => Subject::Unknown,
        }
    }
}
