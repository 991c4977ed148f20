//! Clients that begin in the clear, and ask for TLS: phase *admit*, before the handshake, where they
//! are answered until they do; and phase *connect*, where their backend begins anew.
//!
//! Nothing that was said in the clear reaches a backend, which is met with a client that has said
//! nothing yet. That one was greeted already, and no client waits for a second greeting behind its
//! handshake: so that of the backend is taken off.
//!
//! Time and room are those of the handshake, for all that a client says before it as well.

use std::future::{Future as _, poll_fn};
use std::pin::pin;

use model::{ClientAuth, ServerTls, StartTls};
use relay::Socket;
use wire::Parse;
use wire::postgres::FIRST_BYTES_MAX;
use wire::starttls::Opening;
use wire::starttls::answer::{Answer, Foreign, Next};
use wire::starttls::ask::{ANSWER_BYTES_MAX, read_greeting};

use crate::phase::account::ConnectFailure;
use crate::phase::hearing::{Heard, Hearing, reset};
use crate::phase::tls::{Cause, Unagreed};
use crate::phase::via::{Reached, Refused};
use crate::socket;

/// Most bytes that a client may have said without being answered: the longest message there is. A
/// line is shorter.
const UNANSWERED_MAX: usize = FIRST_BYTES_MAX;

/// How the clients of a listener begin in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clear {
    pub(crate) opening: Opening,
    /// Whether queries may be cancelled by clients that go on so. They prove nothing.
    lets_cancel: bool,
}

impl Clear {
    /// By what is configured.
    pub(crate) fn new(tls: &ServerTls) -> Option<Self> {
        let proof = tls.clients.as_ref().map(|clients| clients.need);
        Some(Self {
            opening: opening(tls.starttls?),
            lets_cancel: proof != Some(ClientAuth::Required),
        })
    }
}

/// How a protocol begins in the clear.
pub(crate) fn opening(protocol: StartTls) -> Opening {
    match protocol {
        StartTls::Postgres => Opening::Postgres,
        StartTls::Smtp => Opening::Smtp,
        StartTls::Imap => Opening::Imap,
        StartTls::Pop3 => Opening::Pop3,
    }
}

/// What comes behind an opening, with what of it was received already.
#[derive(Debug)]
pub(crate) enum Opened {
    /// TLS.
    Tls(Vec<u8>),
    /// A session in the clear, of the kind that may be.
    Plain(Vec<u8>),
}

/// Answers a client until it asks for TLS. `said` is what it has said already.
pub(crate) async fn open(
    client: &mut Socket,
    mut said: Vec<u8>,
    hearing: &mut Hearing<'_>,
    clear: Clear,
) -> Result<Opened, Unagreed> {
    let (mut answer, greeting) = Answer::new(clear.opening);
    say(client, greeting, hearing).await?;
    loop {
        match answer.read(&said) {
            Parse::Whole { value, length } => {
                said.drain(..length);
                match value {
                    Next::Say(text) => say(client, &text, hearing).await?,
                    Next::Tls(text) => {
                        say(client, &text, hearing).await?;
                        return Ok(Opened::Tls(said));
                    }
                    Next::Plain if clear.lets_cancel => return Ok(Opened::Plain(said)),
                    Next::Plain => return Err(Cause::Unasked.into()),
                    Next::End(text) => {
                        say(client, &text, hearing).await?;
                        return Err(Cause::Unasked.into());
                    }
                }
            }
            Parse::Partial => match hearing.more(client, &mut said, UNANSWERED_MAX).await? {
                Heard::More => {}
                Heard::End => return Err(Cause::Gone.into()),
                Heard::Late => return Err(Cause::Late.into()),
            },
            Parse::Foreign(why) => {
                return Err(Unagreed::Failed(match why {
                    Foreign::Malformed => Cause::OtherProtocol,
                    Foreign::TooMuch => Cause::TooLong,
                    Foreign::OutOfTurn => Cause::OutOfTurn,
                }));
            }
        }
    }
}

async fn say(client: &mut Socket, text: &[u8], hearing: &Hearing<'_>) -> Result<(), Unagreed> {
    if text.is_empty() {
        return Ok(());
    }
    let mut sending = pin!(client.send_all(text));
    match hearing.until(|cx| sending.as_mut().poll(cx)).await? {
        None => Err(Cause::Late.into()),
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(reset(error).into()),
    }
}

/// Waits for the greeting of a backend whose client was greeted already, and takes it off. The
/// caller bounds the time.
pub(crate) async fn skip_greeting(reached: Reached, clear: Clear) -> Result<Reached, Refused> {
    let Reached { mut socket, early } = reached;
    let mut said = early.into_vec();
    loop {
        match read_greeting(clear.opening, &said) {
            Parse::Whole { length, .. } => {
                said.drain(..length);
                return Ok(Reached { socket, early: said.into() });
            }
            Parse::Foreign(_) => return Err(ConnectFailure::NoGreeting.into()),
            Parse::Partial => {}
        }
        // A greeting that is as long is not waited for any more, so there is room.
        let room = ANSWER_BYTES_MAX - said.len();
        match poll_fn(|cx| socket.poll_append(cx, &mut said, room)).await {
            Ok(0) => return Err(ConnectFailure::NoGreeting.into()),
            Ok(_) => {}
            Err(error) => {
                return Err(match socket::connect_failure(&error, false) {
                    // It was there a moment ago.
                    ConnectFailure::Refused => ConnectFailure::NoGreeting.into(),
                    failure => failure.into(),
                });
            }
        }
    }
}
