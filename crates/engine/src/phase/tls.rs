//! Phase *admit*, its last step where a listener speaks TLS: the handshake with the client.
//!
//! The ClientHello is read first, for what it asks for and to know clients that do not speak TLS at
//! all; one that asks in plain HTTP is told so. Everything else is the server's to judge. What both
//! sides have agreed on stands from then on for the ClientHello that routes ask about, and the
//! session goes on with what is decrypted.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use relay::Socket;
use relay::cipher::UNOPENED_MAX;
use tls::session::{Failure, Version};
use tls::{Facts, Handshake};
use wire::protocol::{Carrier, Protocol, recognise};
use wire::tls::{ClientHello, Foreign, read_client_hello};
use wire::{Parse, Verdict};

use crate::phase::account::{By, Reason, Spoken};
use crate::phase::carry::Outcome;
use crate::phase::hearing::{self, Hall, Heard, Hearing};
use crate::phase::sniff::Looks;
use crate::phase::starttls::{self, Opened};

/// What a client gets that speaks HTTP to a port of TLS.
const NOT_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 40\r\nConnection: close\r\n\r\nThis port speaks TLS: ask with https://\n";

/// How much of a client's name is recorded, in bytes.
const SHOWN_BYTES_MAX: usize = 256;

/// What both sides have agreed on.
#[derive(Debug)]
pub(crate) struct Agreed {
    /// As routes see it: the host that the client has asked for, and of the protocols and versions only
    /// those that are spoken.
    pub(crate) hello: ClientHello,
    /// Who the client is, if it has proven that.
    pub(crate) proven: Option<Proven>,
    /// What is worth recording.
    pub(crate) spoken: Spoken,
}

/// What a client has proven with a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proven {
    /// The common name of its subject; empty if it has none.
    pub(crate) common_name: String,
    /// Its alternative names.
    pub(crate) names: Vec<String>,
}

impl Proven {
    /// By its certificate, which was verified.
    fn of(certificate: &tls::Certificate) -> Option<Self> {
        let facts = Facts::read(certificate.as_der())?;
        let names = facts.names.iter().map(ToString::to_string).collect();
        Some(Self { common_name: facts.common_name.unwrap_or_default(), names })
    }

    /// What records call the client: its common name, or its first other one.
    fn shown(&self) -> Arc<str> {
        let name = match (&*self.common_name, self.names.first()) {
            ("", Some(name)) => name.as_str(),
            ("", None) => "-",
            (common, _) => common,
        };
        let most = name.len().min(SHOWN_BYTES_MAX);
        let end = (0..=most).rev().find(|end| name.is_char_boundary(*end));
        name[..end.unwrap_or_default()].into()
    }
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) enum Unagreed {
    /// Nothing to do with TLS.
    Ended(Outcome),
    /// There was no handshake.
    Failed(Cause),
    /// There was one, and no more: an authority has asked for a proof.
    Proven(Spoken),
}

/// What was wrong with a handshake.
#[derive(Debug)]
pub(crate) enum Cause {
    /// It took too long.
    Late,
    /// The client has ended the connection.
    Gone,
    /// The client speaks something else.
    Foreign,
    /// The client speaks something else than the protocol in which it asks for TLS.
    OtherProtocol,
    /// The client has not asked for TLS.
    Unasked,
    /// The client has said more in the clear behind its request than it may, which would be taken for
    /// said within TLS.
    OutOfTurn,
    /// The client speaks HTTP.
    Http,
    /// The two sides do not agree, or one of them does not keep to the protocol.
    Failed(Failure),
    /// The client says more than a handshake may.
    TooLong,
    /// We cannot do it.
    Ours(Failure),
}

impl Cause {
    /// The outcome of its session.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Late => Outcome { reason: Reason::TlsError, by: By::Replug },
            Self::Ours(_) => Outcome { reason: Reason::Internal, by: By::Replug },
            _ => Outcome { reason: Reason::TlsError, by: By::Client },
        }
    }
}

/// For people: what comes behind `the TLS handshake has failed: `.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("it took too long"),
            Self::Gone => f.write_str("the client has left"),
            Self::Foreign => f.write_str("the client does not speak TLS"),
            Self::OtherProtocol => {
                f.write_str("the client speaks another protocol than `starttls` says")
            }
            Self::Unasked => f.write_str("the client has not asked for it"),
            Self::OutOfTurn => f.write_str("the client said more before TLS than it may"),
            Self::Http => f.write_str("the client speaks HTTP without TLS"),
            Self::TooLong => f.write_str("the client says too much"),
            Self::Failed(failure) | Self::Ours(failure) => failure.fmt(f),
        }
    }
}

impl From<Outcome> for Unagreed {
    fn from(outcome: Outcome) -> Self {
        Self::Ended(outcome)
    }
}

impl From<Cause> for Unagreed {
    fn from(cause: Cause) -> Self {
        Self::Failed(cause)
    }
}

/// Speaks TLS with the client; `early` came from it before, and was not used. `None`: it has said in
/// the clear what may be said so, which is in `early`.
pub(crate) async fn agree(
    client: &mut Socket,
    early: &mut Vec<u8>,
    hall: Hall<'_>,
    server: &tls::Server,
) -> Result<Option<Agreed>, Unagreed> {
    let mut hearing = hall.hear(hall.listener.timeouts.tls, early.len())?;
    let mut said = std::mem::take(early);
    if let Some(clear) = hall.listener.starttls {
        match starttls::open(client, said, &mut hearing, clear).await? {
            Opened::Tls(behind) => said = behind,
            Opened::Plain(behind) => {
                *early = behind;
                return Ok(None);
            }
        }
    }
    let (hello, said) = listen(client, said, &mut hearing).await?;
    let is_tls = !matches!(hello, Err(Foreign::NotTls));
    if !is_tls && is_http(&said) {
        // It has to take what it can get; if it does not, it does not.
        let mut answer = pin!(client.send_all(NOT_HTTP));
        let _ = hearing.until(|cx| answer.as_mut().poll(cx)).await?;
        return Err(Cause::Http.into());
    }
    let handshake = match &hello {
        Ok(hello) => server.handshake(hello.server_name.as_deref(), &hello.alpn),
        Err(_) => Handshake::Session(server.config()),
    };
    let is_proof = matches!(handshake, Handshake::Proof(_));
    let cipher = tls::session::accept(handshake.config()).map_err(Cause::Ours)?;
    client.seal(cipher, said);
    match hearing.until(|cx| client.poll_handshake(cx)).await? {
        None => Err(Cause::Late.into()),
        Some(Ok(())) if is_proof => {
            let spoken = agreed(client, hello.ok()).spoken;
            // It has seen what it wanted to see, and may end this as it likes.
            let mut leave = pin!(client.take_leave(&[], UNOPENED_MAX));
            let _ = hearing.until(|cx| leave.as_mut().poll(cx)).await?;
            Err(Unagreed::Proven(spoken))
        }
        Some(Ok(())) => Ok(Some(agreed(client, hello.ok()))),
        Some(Err(_)) if !is_tls => Err(Cause::Foreign.into()),
        Some(Err(error)) => Err(unagreed(error)),
    }
}

/// Hears the ClientHello, or what else the client says, with all that has come behind it.
async fn listen(
    client: &mut Socket,
    mut said: Vec<u8>,
    hearing: &mut Hearing<'_>,
) -> Result<(Result<ClientHello, Foreign>, Vec<u8>), Unagreed> {
    let mut looks = Looks::default();
    loop {
        if looks.again(said.len()) {
            match read_client_hello(&said) {
                Parse::Whole { value, .. } => return Ok((Ok(value), said)),
                Parse::Foreign(why) => return Ok((Err(why), said)),
                Parse::Partial if said.len() >= UNOPENED_MAX => return Err(Cause::TooLong.into()),
                Parse::Partial => {}
            }
        }
        match hearing.more(client, &mut said, UNOPENED_MAX).await? {
            Heard::More => {}
            Heard::End => return Err(Cause::Gone.into()),
            Heard::Late => return Err(Cause::Late.into()),
        }
    }
}

fn is_http(said: &[u8]) -> bool {
    recognise(Protocol::Http, said, Carrier::Stream) != Verdict::No
}

fn agreed(client: &Socket, hello: Option<ClientHello>) -> Agreed {
    let negotiated = client.cipher().and_then(tls::session::negotiated);
    let certificate = negotiated.as_ref().and_then(|negotiated| negotiated.peer.first());
    let proven = certificate.and_then(Proven::of);
    let alpn = negotiated.as_ref().and_then(|negotiated| negotiated.alpn.clone());
    let server_name = hello.and_then(|hello| hello.server_name);
    let newest = match negotiated.map(|negotiated| negotiated.version) {
        Some(Version::Tls12) => wire::tls::Version::Tls12,
        Some(Version::Tls13) | None => wire::tls::Version::Tls13,
    };
    let spoken = Spoken {
        sni: server_name.as_deref().map(Arc::from),
        alpn: alpn.as_deref().map(|alpn| String::from_utf8_lossy(alpn).into()),
        tls_version: Some(newest),
        client_cert: proven.as_ref().map(Proven::shown),
        user: None,
    };
    let hello = ClientHello { server_name, alpn: alpn.into_iter().collect(), newest };
    Agreed { hello, proven, spoken }
}

fn unagreed(error: io::Error) -> Unagreed {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Cause::Gone.into(),
        io::ErrorKind::InvalidData => match error.downcast::<Failure>() {
            Ok(failure) => Cause::Failed(failure).into(),
            Err(_) => Cause::TooLong.into(),
        },
        _ => hearing::reset(error).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_http_is_whole() {
        let text = std::str::from_utf8(NOT_HTTP).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }

    #[test]
    fn who_is_to_blame() {
        let outcome = |cause: Cause| {
            let Outcome { reason, by } = cause.outcome();
            (reason, by)
        };
        assert_eq!(outcome(Cause::Late), (Reason::TlsError, By::Replug));
        assert_eq!(outcome(Cause::Gone), (Reason::TlsError, By::Client));
        let cut = unagreed(io::ErrorKind::UnexpectedEof.into());
        assert!(matches!(cut, Unagreed::Failed(Cause::Gone)), "{cut:?}");
        let reset = unagreed(io::ErrorKind::ConnectionReset.into());
        assert!(
            matches!(reset, Unagreed::Ended(Outcome { reason: Reason::ClientReset, .. })),
            "{reset:?}"
        );
    }
}
