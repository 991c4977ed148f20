//! One proxy is asked for a connection, in its own protocol, and its answer read.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use model::{Credentials, Password, ProxyProtocol};
use relay::Socket;
use wire::Parse;
use wire::connect::{self, Fields, RESPONSE_BYTES_MAX};
use wire::socks::{MESSAGE_BYTES_MAX, Target, v4, v5};

use super::{Goal, Refused};
use crate::phase::account::{ConnectFailure, ProxyFailure, TlsFailure};
use crate::phase::originate;
use crate::plan::Hop;

/// Longest part of a reason phrase that is kept, in bytes.
const PHRASE_BYTES_MAX: usize = 64;

/// The one status that opens the way for those who ask barely: they look no closer than that.
const STATUS_OK: u16 = 200;

/// Asks the proxy `hop` behind `socket` for `goal`. What it has sent behind its answers is left in
/// `bytes`.
pub(super) async fn ask(
    socket: &mut Socket,
    bytes: &mut Vec<u8>,
    hop: &Hop,
    goal: Goal<'_>,
) -> Result<(), Refused> {
    let mut talk = Talk { socket, bytes };
    let credentials = hop.credentials.as_ref();
    match hop.protocol {
        ProxyProtocol::Http { bare } => talk.connect(goal, bare, credentials).await,
        ProxyProtocol::Https => talk.connect(goal, false, credentials).await,
        ProxyProtocol::Socks4 | ProxyProtocol::Socks4a => talk.socks4(goal, credentials).await,
        ProxyProtocol::Socks5 | ProxyProtocol::Socks5h => talk.socks5(goal, credentials).await,
    }
}

/// A talk with a proxy.
struct Talk<'a> {
    socket: &'a mut Socket,
    /// What it has said and nobody has read yet.
    bytes: &'a mut Vec<u8>,
}

impl Talk<'_> {
    async fn connect(
        &mut self,
        goal: Goal<'_>,
        bare: bool,
        credentials: Option<&Credentials>,
    ) -> Result<(), Refused> {
        let text = match goal {
            Goal::Ip(address) => address.to_string(),
            Goal::Name(text) => text.to_owned(),
        };
        let mut request = Vec::new();
        let fields = match credentials.and_then(with_password) {
            _ if bare => Fields::Bare,
            Some((user, password)) => Fields::SignedIn(user, password),
            None => Fields::Host,
        };
        connect::write_request(&mut request, &text, fields);
        self.say(&request).await?;
        let read = |bytes: &[u8]| {
            Ok(match connect::read_response(bytes) {
                Parse::Whole { value, length }
                    if value.opens() && (!bare || value.status == STATUS_OK) =>
                {
                    Some(((), length))
                }
                Parse::Whole { value, .. } => {
                    let refused = refused(ProxyFailure::Status(value.status));
                    return Err(Refused { phrase: phrase(value.reason), ..refused });
                }
                Parse::Partial => None,
                Parse::Foreign(_) => return Err(refused(ProxyFailure::Malformed)),
            })
        };
        self.hear(RESPONSE_BYTES_MAX, read).await
    }

    async fn socks4(
        &mut self,
        goal: Goal<'_>,
        credentials: Option<&Credentials>,
    ) -> Result<(), Refused> {
        let user = credentials.map_or("", |credentials| &credentials.user);
        let mut request = Vec::new();
        match goal {
            Goal::Ip(SocketAddr::V4(address)) => v4::write_request(&mut request, address, user),
            Goal::Ip(SocketAddr::V6(_)) => return Err(refused(ProxyFailure::Family)),
            Goal::Name(text) => {
                let (host, port) = split(text)?;
                v4::write_request_by_name(&mut request, host, port, user);
            }
        }
        self.say(&request).await?;
        match self.hear(v4::REPLY_BYTES, parse(v4::read_reply)).await? {
            v4::GRANTED => Ok(()),
            code => Err(refused(ProxyFailure::Socks4(code))),
        }
    }

    async fn socks5(
        &mut self,
        goal: Goal<'_>,
        credentials: Option<&Credentials>,
    ) -> Result<(), Refused> {
        let target = match goal {
            Goal::Ip(address) => Target::Ip(address),
            Goal::Name(text) => {
                let (host, port) = split(text)?;
                Target::Name(host, port)
            }
        };
        let credentials = credentials.and_then(with_password);
        let mut greeting = Vec::new();
        let methods =
            &[v5::Method::Open, v5::Method::Password][..1 + usize::from(credentials.is_some())];
        v5::write_greeting(&mut greeting, methods);
        self.say(&greeting).await?;
        match (self.hear(MESSAGE_BYTES_MAX, parse(v5::read_choice)).await?, credentials) {
            (Some(v5::Method::Open), _) => {}
            (Some(v5::Method::Password), Some((user, password))) => {
                let mut message = Vec::new();
                v5::write_credentials(&mut message, user.as_bytes(), password.as_bytes());
                self.say(&message).await?;
                if !self.hear(MESSAGE_BYTES_MAX, parse(v5::read_verdict)).await? {
                    return Err(refused(ProxyFailure::SignIn));
                }
            }
            (Some(v5::Method::Password) | None, _) => {
                return Err(refused(ProxyFailure::NoMethod));
            }
        }
        let mut request = Vec::new();
        v5::write_request(&mut request, target);
        self.say(&request).await?;
        match self.hear(MESSAGE_BYTES_MAX, parse(v5::read_reply)).await? {
            v5::Reply::Granted => Ok(()),
            reply => Err(refused(ProxyFailure::Socks5(reply))),
        }
    }

    async fn say(&mut self, message: &[u8]) -> Result<(), Refused> {
        self.socket.send_all(message).await.map_err(|error| broken(&error))
    }

    /// The next message, once it is whole: at most `most` bytes. What is behind it stays.
    async fn hear<T>(
        &mut self,
        most: usize,
        read: impl Fn(&[u8]) -> Result<Option<(T, usize)>, Refused>,
    ) -> Result<T, Refused> {
        loop {
            if let Some((message, length)) = read(self.bytes)? {
                self.bytes.drain(..length);
                return Ok(message);
            }
            let room = most.saturating_sub(self.bytes.len());
            if room == 0 {
                return Err(refused(ProxyFailure::Malformed));
            }
            let (socket, bytes) = (&mut *self.socket, &mut *self.bytes);
            let received = poll_fn(|cx| socket.poll_append(cx, bytes, room)).await;
            if received.map_err(|error| broken(&error))? == 0 {
                return Err(refused(ProxyFailure::Closed));
            }
        }
    }
}

/// A reader of `wire` as [`Talk::hear`] takes it.
fn parse<T, F>(
    read: impl Fn(&[u8]) -> Parse<T, F>,
) -> impl Fn(&[u8]) -> Result<Option<(T, usize)>, Refused> {
    move |bytes| match read(bytes) {
        Parse::Whole { value, length } => Ok(Some((value, length))),
        Parse::Partial => Ok(None),
        Parse::Foreign(_) => Err(refused(ProxyFailure::Malformed)),
    }
}

/// Host and port of `host:port`.
fn split(text: &str) -> Result<(&str, u16), Refused> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    match port.parse() {
        Ok(port) if host.len() <= wire::socks::HOST_BYTES_MAX => Ok((host, port)),
        // A checked configuration has none that is longer, or without a port.
        _ => Err(ConnectFailure::Unresolved.into()),
    }
}

fn with_password(credentials: &Credentials) -> Option<(&str, &str)> {
    Some((&*credentials.user, credentials.password.as_ref().map(Password::reveal)?))
}

fn refused(failure: ProxyFailure) -> Refused {
    ConnectFailure::Proxy(failure).into()
}

fn broken(error: &std::io::Error) -> Refused {
    match originate::failed(error) {
        // It was there a moment ago.
        ConnectFailure::Tls(TlsFailure::Closed) => refused(ProxyFailure::Closed),
        ConnectFailure::Tls(why) => refused(ProxyFailure::Tls(why)),
        failure => failure.into(),
    }
}

fn phrase(reason: &[u8]) -> Option<Arc<str>> {
    let text = String::from_utf8_lossy(reason);
    let end = text.floor_char_boundary(PHRASE_BYTES_MAX.min(text.len()));
    (end > 0).then(|| text[..end].into())
}
