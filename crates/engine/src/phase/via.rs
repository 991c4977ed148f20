//! Phase *connect*, its last step where a pool is reached through a proxy: the proxy is asked for
//! the backend, and its answer read.
//!
//! What the backend has sent behind the answer is kept, and delivered before anything else. The
//! caller bounds the time; what a proxy may send before it has answered is bounded here.

use std::sync::Arc;

use model::ProxyProtocol;
use relay::Socket;
use wire::Parse;
use wire::connect::{self, Fields, RESPONSE_BYTES_MAX, STATUS_OK};

use crate::phase::account::{ConnectFailure, ProxyFailure};
use crate::socket;

/// Longest part of a reason phrase that is kept, in bytes.
const PHRASE_BYTES_MAX: usize = 64;

/// First room for an answer, in bytes: nearly always enough.
const ROOM: usize = 1024;

/// A backend that a proxy has connected us to.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) socket: Socket,
    /// What it has sent already.
    pub(crate) early: Box<[u8]>,
}

/// Why an attempt came to nothing.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) failure: ConnectFailure,
    /// What a proxy said about it.
    pub(crate) phrase: Option<Arc<str>>,
}

impl From<ConnectFailure> for Refused {
    fn from(failure: ConnectFailure) -> Self {
        Self { failure, phrase: None }
    }
}

/// Asks the proxy behind `socket` for `backend`, which is `host:port`.
pub(crate) async fn ask(
    mut socket: Socket,
    backend: &str,
    protocol: ProxyProtocol,
) -> Result<Reached, Refused> {
    let ProxyProtocol::Http { bare } = protocol;
    let mut request = Vec::new();
    connect::write_request(&mut request, backend, if bare { Fields::Bare } else { Fields::Host });
    socket.send_all(&request).await.map_err(|error| broken(&error))?;
    let mut bytes = Vec::new();
    let mut length = 0;
    loop {
        if bytes.len() == length {
            bytes.resize((2 * length).clamp(ROOM, RESPONSE_BYTES_MAX), 0);
        }
        match socket.receive(&mut bytes[length..]).await.map_err(|error| broken(&error))? {
            0 => return Err(ConnectFailure::Proxy(ProxyFailure::Closed).into()),
            received => length += received,
        }
        match connect::read_response(&bytes[..length]) {
            Parse::Whole { value, length: head } if value.status == STATUS_OK => {
                let early = bytes[head..length].into();
                return Ok(Reached { socket, early });
            }
            Parse::Whole { value, .. } => {
                let failure = ConnectFailure::Proxy(ProxyFailure::Status(value.status));
                return Err(Refused { failure, phrase: phrase(value.reason) });
            }
            Parse::Partial => {}
            Parse::Foreign(_) => {
                return Err(ConnectFailure::Proxy(ProxyFailure::Malformed).into());
            }
        }
    }
}

fn broken(error: &std::io::Error) -> Refused {
    match socket::connect_failure(error, false) {
        // It was there a moment ago.
        ConnectFailure::Refused => ConnectFailure::Proxy(ProxyFailure::Closed).into(),
        failure => failure.into(),
    }
}

fn phrase(reason: &[u8]) -> Option<Arc<str>> {
    let text = String::from_utf8_lossy(reason);
    let end = text.floor_char_boundary(PHRASE_BYTES_MAX.min(text.len()));
    (end > 0).then(|| text[..end].into())
}
