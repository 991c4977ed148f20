//! HTTP requests on their way to a backend: seen, and turned into requests to a proxy.
//!
//! ```text
//! what a client sends to www.example.com      what a proxy is to get
//! GET /a HTTP/1.1                              GET http://www.example.com/a HTTP/1.1
//! Host: www.example.com                        Host: www.example.com
//! ```
//!
//! `Requests` stands in the direction to the backend. It holds back the head of a request until
//! that is whole, never a body. What is no HTTP, or could be read in two ways ([`wire::http`]), is
//! refused where requests are rewritten, since a proxy can make nothing of it, and passes where
//! they are only looked at. After `CONNECT` everything passes; after a request to change the
//! protocol (`Upgrade`), everything from the first bytes on that are no request.
//!
//! Here are no sockets and no clocks; whoever makes a `Requests` says whom it tells of each request.

mod told;

use std::fmt::{self, Debug};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use relay::{Next, Rewrite};
use wire::Parse;
use wire::http::{BodyReader, Foreign, HEAD_BYTES_MAX, METHOD_BYTES_MAX, read_request};

pub(crate) use told::Told;
pub use told::{Request, URL_BYTES_MAX};

/// The port of HTTP, which stands in no URL.
const HTTP_PORT: u16 = 80;

/// What became of a request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It passed as it came.
    Unchanged,
    /// Its target became a URL with the host that it names.
    Named,
    /// It names no host: its target became a URL with the address that the client went to.
    Addressed,
    /// Its target became the one that all have.
    Forced,
}

impl Passage {
    /// The word in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Named => "named",
            Self::Addressed => "addressed",
            Self::Forced => "forced",
        }
    }
}

/// What is done with requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// They are looked at.
    Watch,
    /// They become requests to a proxy.
    Proxy {
        /// Where the client went.
        destination: Option<SocketAddr>,
        /// What each is turned into, unless its `Referer` is this.
        force_url: Option<Arc<str>>,
    },
}

/// Whoever is told of requests.
pub(crate) trait Listen: Debug {
    /// A request with this `method` goes to `target`, what is said behind `prefix`, which may be
    /// empty. Neither has line ends.
    fn request(&mut self, method: &[u8], prefix: &str, target: &[u8], passage: Passage);

    /// The rest of what the client sends is refused.
    fn refused(&mut self, why: Foreign);
}

/// Looks at the requests of one client, and rewrites them if a proxy is to have them.
pub(crate) struct Requests<L> {
    aim: Aim,
    listen: L,
    at: At,
    /// What has come of a head; shorter than [`HEAD_BYTES_MAX`].
    held: Vec<u8>,
    /// Whether the client has asked for another protocol, so that bytes of it may come.
    may_change: bool,
}

/// Where in the stream it is.
#[derive(Debug)]
enum At {
    /// At or within a head; whether its first line has been read.
    Head {
        has_line: bool,
    },
    Body(BodyReader),
}

/// What comes after some bytes.
enum Step {
    /// So many of them are done with.
    Done(usize),
    /// They have all been taken.
    More,
    /// A request after which there are no more; it and what is left pass. So many are done with.
    Connected(usize),
    Stranger(Foreign),
}

impl<L: Listen> Requests<L> {
    pub(crate) fn new(aim: Aim, listen: L) -> Self {
        let at = At::Head { has_line: false };
        Self { aim, listen, at, held: Vec::new(), may_change: false }
    }

    fn only_watches(&self) -> bool {
        self.aim == Aim::Watch
    }

    fn step(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Step {
        match &mut self.at {
            At::Body(reader) => {
                let (step, length) = match reader.read(rest) {
                    Parse::Whole { length, .. } => (Step::Done(length), length),
                    Parse::Partial => (Step::More, rest.len()),
                    Parse::Foreign(why) => return Step::Stranger(why),
                };
                if self.aim != Aim::Watch {
                    out.extend_from_slice(&rest[..length]);
                }
                if reader.has_ended() {
                    self.at = At::Head { has_line: false };
                }
                step
            }
            At::Head { .. } if self.held.is_empty() => {
                // Empty lines before a request mean nothing.
                match rest {
                    [b'\n', ..] => Step::Done(1),
                    [b'\r', b'\n', ..] => Step::Done(2),
                    _ => self.head(rest, 0, out),
                }
            }
            At::Head { .. } => {
                let mut held = std::mem::take(&mut self.held);
                let before = held.len();
                let room = HEAD_BYTES_MAX - before;
                held.extend_from_slice(&rest[..rest.len().min(room)]);
                match self.head(&held, before, out) {
                    Step::Done(length) => Step::Done(length - before),
                    Step::Connected(length) => Step::Connected(length - before),
                    Step::More => Step::More,
                    Step::Stranger(why) => {
                        // They may have to pass yet, those that are behind them too.
                        held.truncate(before);
                        self.held = held;
                        Step::Stranger(why)
                    }
                }
            }
        }
    }

    /// Reads the head that `bytes` begin with; all but the first `before` of them are new.
    fn head(&mut self, bytes: &[u8], before: usize, out: &mut Vec<u8>) -> Step {
        if !self.is_worth_reading(bytes, before) {
            self.held = bytes.to_vec();
            return Step::More;
        }
        match read_request(bytes) {
            Parse::Whole { value, length } => {
                self.may_change |= value.field("upgrade").is_some();
                self.at = match BodyReader::new(value.body) {
                    reader if reader.has_ended() => At::Head { has_line: false },
                    reader => At::Body(reader),
                };
                match self.pass_on(&value, &bytes[value.begin..length], out) {
                    Err(why) => Step::Stranger(why),
                    Ok(()) if value.method == b"CONNECT" => Step::Connected(length),
                    Ok(()) => Step::Done(length),
                }
            }
            Parse::Partial => {
                self.at = At::Head { has_line: bytes.contains(&b'\n') };
                self.held = bytes.to_vec();
                Step::More
            }
            Parse::Foreign(why) => Step::Stranger(why),
        }
    }

    /// Whether reading all of it again can tell more than the last time. A head may come byte by
    /// byte, and the work for it is not to grow with the square of its length.
    fn is_worth_reading(&self, bytes: &[u8], before: usize) -> bool {
        let new = &bytes[before..];
        let ends_line = || new.contains(&b'\n');
        match self.at {
            _ if before <= METHOD_BYTES_MAX || bytes.len() >= HEAD_BYTES_MAX => true,
            At::Head { has_line: false } => ends_line(),
            _ => {
                let around = &bytes[before.saturating_sub(2)..];
                let has = |end: &[u8]| around.windows(end.len()).any(|window| window == end);
                ends_line() && (has(b"\n\n") || has(b"\n\r\n"))
            }
        }
    }

    /// Puts the head of a request behind `out` as it is to be. `head` begins with its line.
    fn pass_on(
        &mut self,
        request: &wire::http::Request<'_>,
        head: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Foreign> {
        let (method, target) = (request.method, request.target);
        let Aim::Proxy { destination, force_url } = &self.aim else {
            self.listen.request(method, "", target, Passage::Unchanged);
            return Ok(());
        };
        let referer = || request.field("referer");
        let (prefix, target, passage) = match force_url {
            _ if method == b"CONNECT" => (String::new(), target, Passage::Unchanged),
            Some(url) if referer() != Some(url.as_bytes()) => {
                (String::new(), url.as_bytes(), Passage::Forced)
            }
            None if target.starts_with(b"/") => {
                let (prefix, passage) = prefix(request.host, *destination)?;
                (prefix, target, passage)
            }
            _ => (String::new(), target, Passage::Unchanged),
        };
        let at = request.target_at - request.begin;
        out.extend_from_slice(&head[..at]);
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(target);
        out.extend_from_slice(&head[at + request.target.len()..]);
        self.listen.request(method, &prefix, target, passage);
        Ok(())
    }

    /// What comes is no request. `rest` has not been delivered, unless everything is.
    fn stranger(&mut self, why: Foreign, rest: &[u8], out: &mut Vec<u8>) -> Next {
        let held = std::mem::take(&mut self.held);
        if self.only_watches() {
            return Next::Pass;
        }
        if self.may_change && matches!(self.at, At::Head { .. }) {
            out.extend_from_slice(&held);
            out.extend_from_slice(rest);
            return Next::Pass;
        }
        self.listen.refused(why);
        Next::Refuse
    }
}

impl<L: Listen> Rewrite for Requests<L> {
    fn rewrite(&mut self, received: &[u8], out: &mut Vec<u8>) -> Next {
        if self.only_watches() {
            out.extend_from_slice(received);
        }
        let mut rest = received;
        while !rest.is_empty() {
            match self.step(rest, out) {
                Step::Done(length) => rest = &rest[length..],
                Step::More => return Next::Rewrite,
                Step::Connected(length) => {
                    if !self.only_watches() {
                        out.extend_from_slice(&rest[length..]);
                    }
                    return Next::Pass;
                }
                Step::Stranger(why) => return self.stranger(why, rest, out),
            }
        }
        Next::Rewrite
    }

    /// A request that is not whole is not sent on: a proxy might take it for one, as it is.
    fn finish(&mut self, _: &mut Vec<u8>) {
        self.held = Vec::new();
    }
}

impl<L: Debug> Debug for Requests<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held.len();
        f.debug_struct("Requests")
            .field("at", &self.at)
            .field("held", &held)
            .finish_non_exhaustive()
    }
}

/// `http://www.example.com:8080`, for a request that names this `host` and went to `destination`.
fn prefix(
    host: Option<&[u8]>,
    destination: Option<SocketAddr>,
) -> Result<(String, Passage), Foreign> {
    let port = destination.map_or(HTTP_PORT, |destination| destination.port());
    let (mut prefix, names_port, passage) = match (host, destination) {
        (Some(host), _) => {
            // Only visible ASCII is a host.
            let host = std::str::from_utf8(host).map_err(|_| Foreign::Host)?;
            (format!("http://{host}"), names_port(host), Passage::Named)
        }
        (None, Some(destination)) => {
            let host = match destination.ip() {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            };
            (format!("http://{host}"), false, Passage::Addressed)
        }
        (None, None) => return Err(Foreign::Host),
    };
    if port != HTTP_PORT && !names_port {
        prefix += &format!(":{port}");
    }
    Ok((prefix, passage))
}

/// Whether a port stands behind a host, whose IPv6 addresses stand in brackets.
fn names_port(host: &str) -> bool {
    let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    behind.contains(':')
}

#[cfg(test)]
mod tests;
