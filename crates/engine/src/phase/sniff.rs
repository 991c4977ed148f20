//! Phase *sniff*: what a client says first, as far as its route depends on it.
//!
//! Bytes are taken from the client's socket until a route is decided, at most
//! `sniff_bytes` of them, and for at most the listener's time for all of it, however
//! they trickle in. They are delivered to the backend before anything else. A client that waits for
//! the server to speak is known by its silence.
//!
//! A PostgreSQL client asks for encryption before it says anything else. Where a route asks for
//! more than that it is PostgreSQL, it gets its answer here: `S` if the listener has routes by what
//! comes within TLS, else `N`. What was answered here is not sent on: the backend gets the plain
//! start of the session, or is asked for TLS in its own turn (see [`ask_for_tls`]) before it gets
//! the ClientHello.

use std::sync::Arc;

use relay::Socket;
use wire::postgres::{First, REFUSED, TLS_ACCEPTED, TLS_REQUEST};
use wire::tls::ClientHello;

use crate::phase::account::{By, ConnectFailure, Reason, Spoken};
use crate::phase::asked::Asked;
use crate::phase::carry::Outcome;
use crate::phase::connect::FirstWord;
use crate::phase::hearing::{self, Hall, Heard};
use crate::phase::route::Routed;
use crate::phase::route::condition::Around;
use crate::phase::route::seen::{Answered, Part, REQUEST_BYTES, Seen};
use crate::phase::via::{Reached, Refused};
use crate::socket;

/// Bytes that are looked at freely for one client, again and again as it sends more: enough for a
/// ClientHello of 5 KiB that comes byte by byte, and some 20 ms of work. After that a look is worth
/// it when an eighth more has come.
const LOOKED_AT_MAX: usize = 16 * 1024 * 1024;

/// Longest part of a list of protocols that is recorded, in bytes.
const ALPN_BYTES_MAX: usize = 256;

/// Whose route is looked for, and with what.
pub(crate) struct Inquiry<'a> {
    pub(crate) hall: Hall<'a>,
    /// The ClientHello that is known otherwise, if one is; where TLS ends here, what was agreed on.
    pub(crate) told: Option<&'a ClientHello>,
    pub(crate) around: Around<'a>,
}

/// What was found out.
#[derive(Debug)]
pub(crate) struct Sniffed {
    /// Never [`Routed::Wait`].
    pub(crate) routed: Routed,
    pub(crate) hello: Hello,
    /// What is worth recording.
    pub(crate) spoken: Spoken,
}

/// What is owed to the backend.
#[derive(Debug, Default)]
pub(crate) struct Hello {
    /// What the client has said.
    pub(crate) early: Box<[u8]>,
    /// What the backend hears first: the question for TLS if the client was told to go on with it.
    pub(crate) first_word: FirstWord,
    /// Where the client wants to go, if the listener is a proxy.
    pub(crate) asked: Option<Box<Asked>>,
}

/// How much work a client has made.
#[derive(Default)]
pub(crate) struct Looks {
    /// Bytes that were looked at, each as often as it was.
    bytes: usize,
    /// How many there were at the last look.
    last: usize,
}

impl Looks {
    /// Whether to look again, when there are so many bytes.
    pub(crate) fn again(&mut self, bytes: usize) -> bool {
        if self.bytes > LOOKED_AT_MAX && bytes < self.last + self.last / 8 {
            return false;
        }
        self.bytes += bytes;
        self.last = bytes;
        true
    }
}

/// Listens to the client until it is known where it goes. `bytes` came before, and were not used.
pub(crate) async fn sniff(
    client: &mut Socket,
    mut bytes: Vec<u8>,
    inquiry: Inquiry<'_>,
) -> Result<Sniffed, Outcome> {
    let Inquiry { hall, told, around } = inquiry;
    let Hall { listener, .. } = hall;
    let mut hearing = hall.hear(listener.timeouts.sniff, bytes.len())?;
    let most = listener.routing.sniff_bytes;
    let (mut answered, mut looks) = (Answered::default(), Looks::default());
    let mut heard = if bytes.is_empty() { None } else { Some(Heard::More) };
    loop {
        let heard = match heard.take() {
            Some(heard) => heard,
            None => hearing.more(client, &mut bytes, most).await?,
        };
        match (heard, listener.routing.on_silence) {
            (Heard::Late | Heard::End, Some(pool)) if bytes.is_empty() => {
                let (routed, hello) = (Routed::Route(pool), Hello::default());
                return Ok(Sniffed { routed, hello, spoken: Spoken::default() });
            }
            (Heard::Late, _) => {
                return Err(Outcome { reason: Reason::SniffTimeout, by: By::Replug });
            }
            (Heard::More, _) if bytes.len() < most => {
                if !looks.again(bytes.len()) {
                    continue;
                }
            }
            (Heard::More | Heard::End, _) => {
                let seen = Seen::of_stream(&bytes[..bytes.len().min(most)], answered, true)
                    .with_hello(told);
                let routed = listener.routing.routes.decide(&around, &seen);
                let spoken = spoken(&seen);
                return Ok(decided(routed, bytes, answered, spoken));
            }
        }
        let seen = Seen::of_stream(&bytes, answered, false).with_hello(told);
        match (listener.routing.routes.decide(&around, &seen), seen.unanswered()) {
            (Routed::Wait, Some(request)) => {
                let is_tls =
                    request == First::TlsRequest && listener.routing.routes.grants_tls_to_postgres;
                answered = Answered { bytes: answered.bytes + REQUEST_BYTES, is_tls };
                let answer = if is_tls { TLS_ACCEPTED } else { REFUSED };
                client.send_all(&[answer]).await.map_err(hearing::reset)?;
            }
            (Routed::Wait, None) => {}
            (routed, _) => {
                let spoken = spoken(&seen);
                return Ok(decided(routed, bytes, answered, spoken));
            }
        }
    }
}

fn decided(routed: Routed, mut bytes: Vec<u8>, answered: Answered, spoken: Spoken) -> Sniffed {
    bytes.drain(..answered.bytes);
    let first_word = match (answered.is_tls, bytes.is_empty()) {
        (true, _) => FirstWord::TlsRequest,
        (false, false) => FirstWord::Client,
        (false, true) => FirstWord::Unknown,
    };
    let hello = Hello { early: bytes.into(), first_word, asked: None };
    Sniffed { routed, hello, spoken }
}

/// What is worth recording of what a client has said.
fn spoken(seen: &Seen<'_>) -> Spoken {
    let Part::Known(hello) = seen.hello_of_postgres() else { return Spoken::default() };
    let mut alpn = String::new();
    for protocol in &hello.alpn {
        let protocol = String::from_utf8_lossy(protocol);
        if alpn.len() + protocol.len() < ALPN_BYTES_MAX {
            alpn += if alpn.is_empty() { "" } else { "," };
            alpn += &protocol;
        }
    }
    Spoken {
        sni: hello.server_name.as_deref().map(Arc::from),
        alpn: (!alpn.is_empty()).then(|| alpn.into()),
        tls_version: Some(hello.newest),
        ..Spoken::default()
    }
}

/// Asks a PostgreSQL backend for TLS, as its client has asked us. There is no way back for one
/// that refuses: the client has begun with it.
pub(crate) async fn ask_for_tls(mut reached: Reached) -> Result<Reached, Refused> {
    let broken = |error: std::io::Error| match socket::connect_failure(&error, false) {
        // It was there a moment ago.
        ConnectFailure::Refused => ConnectFailure::NoTls.into(),
        failure => Refused::from(failure),
    };
    reached.socket.send_all(&TLS_REQUEST).await.map_err(broken)?;
    let mut answer = reached.early.to_vec();
    if answer.is_empty() {
        // One byte, and no more: what follows is for the client's TLS to judge.
        answer.push(0);
        let received = reached.socket.receive(&mut answer).await.map_err(broken)?;
        answer.truncate(received);
    }
    match *answer {
        [TLS_ACCEPTED] => Ok(Reached { early: Box::default(), ..reached }),
        _ => Err(ConnectFailure::NoTls.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_trickles_is_looked_at_less_and_less() {
        let looks = |most: usize| {
            let mut looks = Looks::default();
            let count = (1..=most).filter(|bytes| looks.again(*bytes)).count();
            (count, looks.bytes)
        };
        assert_eq!(looks(5 * 1024).0, 5 * 1024);
        assert!(looks(64 * 1024).1 < 2 * LOOKED_AT_MAX);
    }
}
