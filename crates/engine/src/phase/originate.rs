//! Phase *connect*, its last step where the backends of a pool are spoken to in TLS: what is said in
//! the clear before, and the handshake. A greeting that backends give in the clear is kept for the
//! client, which they will not greet again.
//!
//! The caller bounds the time. A backend that is not who it should be, or has no TLS, is an attempt
//! that failed, and the next one is tried: nothing of the session has been said to it.

use model::StartTls;
use relay::Socket;
use wire::Parse;
use wire::starttls::Opening;
use wire::starttls::ask::{self, ANSWER_BYTES_MAX, Ask, Foreign, Next};

use crate::phase::account::{ConnectFailure, TlsFailure};
use crate::phase::starttls::opening;
use crate::phase::via::{Reached, Refused};
use crate::socket;

/// First room for what a backend says in the clear, in bytes.
const ROOM: usize = 1024;

/// Begins TLS with a backend that is there.
pub(crate) async fn begin(
    reached: Reached,
    backend: &tls::Backend,
    starttls: Option<StartTls>,
) -> Result<Reached, Refused> {
    let Reached { mut socket, early } = reached;
    let mut early = early.into_vec();
    let mut said = Vec::new();
    if let Some(protocol) = starttls {
        said = ask(&mut socket, opening(protocol), &mut early).await?;
    }
    agree(&mut socket, backend, early).await?;
    Ok(Reached { socket, early: said.into() })
}

/// Does the handshake with whom `socket` leads to. `early` was received before.
pub(crate) async fn agree(
    socket: &mut Socket,
    with: &tls::Backend,
    early: Vec<u8>,
) -> Result<(), ConnectFailure> {
    let cipher = with.session().map_err(|_| ConnectFailure::Tls(TlsFailure::Broken))?;
    socket.seal(cipher, early);
    socket.handshake().await.map_err(|error| failed(&error))
}

/// Asks for TLS. `early` is what was received before; gives the greeting, as clients may see it.
async fn ask(
    socket: &mut Socket,
    opening: Opening,
    early: &mut Vec<u8>,
) -> Result<Vec<u8>, Refused> {
    let (mut ask, first) = Ask::new(opening);
    let mut greeting = Vec::new();
    if !first.is_empty() {
        socket.send_all(first).await.map_err(|error| lost(&error))?;
    }
    loop {
        match ask.read(early) {
            Parse::Whole { value, .. } => {
                let said = std::mem::take(early);
                match value {
                    Next::Tls => return Ok(greeting),
                    Next::Greeted(say) => {
                        greeting = ask::greeting_within(opening, &said);
                        socket.send_all(say).await.map_err(|error| lost(&error))?;
                    }
                    Next::Say(say) => {
                        socket.send_all(say).await.map_err(|error| lost(&error))?;
                    }
                }
            }
            Parse::Partial => receive(socket, early).await?,
            Parse::Foreign(why) => {
                return Err(ConnectFailure::Tls(match why {
                    Foreign::Refused => TlsFailure::NotOffered,
                    Foreign::Malformed => TlsFailure::OtherProtocol,
                    Foreign::OutOfTurn => TlsFailure::OutOfTurn,
                })
                .into());
            }
        }
    }
}

async fn receive(socket: &mut Socket, bytes: &mut Vec<u8>) -> Result<(), Refused> {
    let length = bytes.len();
    bytes.resize((2 * length).clamp(ROOM, ANSWER_BYTES_MAX.max(length + 1)), 0);
    let received = socket.receive(&mut bytes[length..]).await.map_err(|error| lost(&error))?;
    bytes.truncate(length + received);
    match received {
        0 => Err(ConnectFailure::Tls(TlsFailure::Closed).into()),
        _ => Ok(()),
    }
}

/// Why a handshake came to nothing, or what was to be said within TLS.
pub(crate) fn failed(error: &std::io::Error) -> ConnectFailure {
    let failure = error.get_ref().and_then(|inner| inner.downcast_ref::<tls::Failure>());
    match failure.map(tls::Cause::of) {
        Some(tls::Cause::Distrust(why)) => ConnectFailure::Tls(TlsFailure::Distrust(why)),
        Some(tls::Cause::Alert(alert)) => ConnectFailure::Tls(TlsFailure::Alert(alert)),
        Some(tls::Cause::Broken) => ConnectFailure::Tls(TlsFailure::Broken),
        None => lost(error),
    }
}

/// Why the connection broke: it was there a moment ago.
fn lost(error: &std::io::Error) -> ConnectFailure {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return ConnectFailure::Tls(TlsFailure::Closed);
    }
    match socket::connect_failure(error, false) {
        ConnectFailure::Refused => ConnectFailure::Tls(TlsFailure::Closed),
        failure => failure,
    }
}
