//! One connection in TLS, as the cipher of a socket.
//!
//! rustls keeps no buffers here: records are opened where they stand on the wire, and sealed into
//! the buffer that they are sent from. What its interface asks for beside that is met here:
//!
//! - Bytes that it has looked at and not let go of are a message of a handshake that came in
//!   pieces. It has to see those again whenever it is called, also to seal.
//! - After an error it may only be called as long as it has an alert to send.

use std::any::Any;
use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;

use relay::cipher::{Cipher, Opened, SEAL_ROOM, Then};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedConnectionCommon, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, HandshakeKind, ProtocolVersion, ServerConfig};

use crate::Certificate;

/// Bytes of the head of a record, of which the last two are the length of what follows.
const RECORD_HEAD: usize = 5;

/// Why there is no connection, or no more of it: in the words of who has found that out.
#[derive(Debug)]
pub struct Failure(pub(crate) rustls::Error);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failure {}

/// What both sides have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The version of TLS.
    pub version: Version,
    /// The cipher suite, as rustls names it: IANA's name, but `TLS13_` for those of TLS 1.3.
    pub suite: &'static str,
    /// The protocol that is spoken within.
    pub alpn: Option<Box<[u8]>>,
    /// Whether it goes on with what was agreed on once before.
    pub is_resumed: bool,
    /// The certificates of the peer, its own first; none, if it was not asked.
    pub peer: Vec<Certificate>,
}

/// A version of TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What the cipher of a socket has agreed on, if it is one of this crate and has done so.
pub fn negotiated(cipher: &dyn Cipher) -> Option<Negotiated> {
    let cipher: &dyn Any = cipher;
    if let Some(session) = cipher.downcast_ref::<Session<UnbufferedServerConnection>>() {
        return session.negotiated();
    }
    cipher.downcast_ref::<Session<UnbufferedClientConnection>>()?.negotiated()
}

/// Waits for a client that speaks TLS.
///
/// # Errors
/// When `config` cannot be worked with.
pub fn accept(config: Arc<ServerConfig>) -> Result<Box<dyn Cipher>, Failure> {
    Ok(Session::boxed(UnbufferedServerConnection::new(config).map_err(Failure)?))
}

/// Speaks TLS to a server that has to be `name`.
///
/// # Errors
/// When `config` cannot be worked with.
pub fn connect(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Box<dyn Cipher>, Failure> {
    Ok(Session::boxed(UnbufferedClientConnection::new(config, name).map_err(Failure)?))
}

/// A connection of either side.
struct Session<C> {
    connection: C,
    /// The pieces of a message that rustls has looked at and not let go of.
    pieces: Vec<u8>,
    has_peer_ended: bool,
}

/// What servers and clients have in common.
trait Connection: 'static {
    type Data: 'static;

    fn common(&self) -> &UnbufferedConnectionCommon<Self::Data>;

    fn process<'c, 'i>(&'c mut self, wire: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn state(&self) -> &CommonState {
        self.common()
    }
}

impl Connection for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn common(&self) -> &UnbufferedConnectionCommon<Self::Data> {
        self
    }

    fn process<'c, 'i>(&'c mut self, wire: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(wire)
    }
}

impl Connection for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn common(&self) -> &UnbufferedConnectionCommon<Self::Data> {
        self
    }

    fn process<'c, 'i>(&'c mut self, wire: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(wire)
    }
}

impl<C: Connection> Session<C> {
    fn boxed(connection: C) -> Box<dyn Cipher> {
        Box::new(Self { connection, pieces: Vec::new(), has_peer_ended: false })
    }

    fn negotiated(&self) -> Option<Negotiated> {
        let state = self.connection.state();
        let version = match state.protocol_version()? {
            ProtocolVersion::TLSv1_3 => Version::Tls13,
            _ => Version::Tls12,
        };
        let peer = state.peer_certificates().unwrap_or_default();
        Some(Negotiated {
            version,
            suite: state.negotiated_cipher_suite()?.suite().as_str().unwrap_or_default(),
            alpn: state.alpn_protocol().map(Into::into),
            is_resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
            peer: peer.iter().map(|certificate| Certificate(certificate.to_vec())).collect(),
        })
    }

    /// Puts the alert that an error has left behind `reply`.
    fn take_alert(&mut self, wire: &mut [u8], reply: &mut Vec<u8>) {
        while self.connection.state().wants_write() {
            match self.connection.process(wire).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, reply),
                _ => return,
            }
        }
    }

    /// Keeps a copy of `wire` if there are pieces of a message in it: only then a whole record is
    /// left at its front. (Those behind it may have been moved together.)
    fn keep_pieces(&mut self, wire: &[u8]) {
        self.pieces.clear();
        match begins_with_whole_record(wire) {
            true => self.pieces.extend_from_slice(wire),
            false => self.pieces = Vec::new(),
        }
    }

    /// Does `work` in a state in which there may be traffic, after all that has to be sent before
    /// it is put behind `at` in `wire`. `None`: no more may be sent.
    fn write(
        &mut self,
        wire: &mut [u8],
        work: impl FnOnce(&mut WriteTraffic<'_, C::Data>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<Option<usize>> {
        let mut at = 0;
        loop {
            match self.connection.process(&mut self.pieces).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let written = work(&mut traffic, &mut wire[at..]).map_err(exhausted)?;
                    return Ok(Some(at + written));
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    at += data.encode(&mut wire[at..]).map_err(|_| too_much())?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.has_peer_ended = true,
                Ok(_) => return Ok(None),
                Err(error) => return Err(invalid(error)),
            }
        }
    }
}

impl<C: Connection> fmt::Debug for Session<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("is_ready", &self.is_ready()).finish_non_exhaustive()
    }
}

impl<C: Connection> Cipher for Session<C> {
    fn is_ready(&self) -> bool {
        !self.connection.state().is_handshaking()
    }

    fn open(
        &mut self,
        wire: &mut [u8],
        deliver: &mut dyn FnMut(&[u8]),
        reply: &mut Vec<u8>,
    ) -> io::Result<Opened> {
        let mut used = 0;
        loop {
            if mem::take(&mut self.has_peer_ended) {
                return Ok(Opened { used, then: Then::End });
            }
            let UnbufferedStatus { mut discard, state } =
                self.connection.process(&mut wire[used..]);
            let mut then = None;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        discard += record.discard;
                        deliver(record.payload);
                    }
                    then = Some(Then::Again);
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, reply),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    then = Some(Then::Wire);
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    then = Some(Then::End);
                }
                // Early data, which is never granted.
                Ok(_) => return Err(invalid(rustls::Error::General("early data".into()))),
                Err(error) => {
                    self.take_alert(&mut wire[used + discard..], reply);
                    return Err(invalid(error));
                }
            }
            used += discard;
            if let Some(then) = then {
                self.keep_pieces(if then == Then::Wire { &wire[used..] } else { &[] });
                return Ok(Opened { used, then });
            }
        }
    }

    fn seal(&mut self, bytes: &[u8], wire: &mut [u8]) -> io::Result<usize> {
        match self.write(wire, |traffic, wire| traffic.encrypt(bytes, wire))? {
            Some(written) => Ok(written),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn end(&mut self, wire: &mut Vec<u8>) -> io::Result<()> {
        let mut end = [0; SEAL_ROOM];
        let written = self.write(&mut end, |traffic, wire| traffic.queue_close_notify(wire))?;
        wire.extend_from_slice(&end[..written.unwrap_or_default()]);
        Ok(())
    }
}

fn begins_with_whole_record(wire: &[u8]) -> bool {
    let Some(&[_, _, _, high, low]) = wire.first_chunk::<RECORD_HEAD>() else { return false };
    wire.len() >= RECORD_HEAD + usize::from(u16::from_be_bytes([high, low]))
}

fn encode<Data>(mut data: EncodeTlsData<'_, Data>, reply: &mut Vec<u8>) {
    let from = reply.len();
    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) =
        data.encode(&mut [])
    {
        reply.resize(from + required_size, 0);
        let written = data.encode(&mut reply[from..]).unwrap_or_default();
        reply.truncate(from + written);
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Failure(error))
}

fn exhausted(error: EncryptError) -> io::Error {
    match error {
        EncryptError::EncryptExhausted => invalid(rustls::Error::EncryptError),
        EncryptError::InsufficientSize(_) => too_much(),
    }
}

/// More waits to be sent first than a peer can ask for.
fn too_much() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests;
