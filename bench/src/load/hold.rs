//! Connections that were served once: to be used further, or to stay idle.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::tls::{self, Handshake};
use super::{PATIENCE, connect};
use crate::pattern;
use crate::pattern::opening::Opening;
use crate::scenario::Way;

/// A connection that nothing is done with.
#[derive(Debug)]
#[expect(dead_code, reason = "it is there to be open")]
pub(crate) enum Held {
    Plain(TcpStream),
    Tls(Box<tls::Stream>),
}

/// Opens `sessions` connections and has what clients say first go each way on every one.
///
/// # Errors
/// Those of the first connection that fails.
pub(crate) fn open(way: Way, target: SocketAddr, sessions: u64) -> io::Result<Vec<Held>> {
    let numbers = 0..sessions;
    match way.opening() {
        Some(opening) => {
            numbers.map(|number| served(target, number, opening).map(Held::Plain)).collect()
        }
        None => {
            let client = tls::Client::new(Handshake::Full);
            numbers.map(|number| Ok(Held::Tls(client.served(target, number)?.into()))).collect()
        }
    }
}

/// Connection `number`, served once, so that whatever its start takes is over; it blocks.
///
/// # Errors
/// Those of the socket, and `InvalidData` where the reply differs.
pub(crate) fn served(target: SocketAddr, number: u64, opening: Opening) -> io::Result<TcpStream> {
    let mut stream = connect(target, number)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    echo(&mut stream, &opening.message(number, 1))?;
    Ok(stream)
}

/// Has `message` go there and back.
///
/// # Errors
/// Those of the stream, and `InvalidData` where the reply differs.
pub(super) fn echo(stream: &mut (impl Read + Write), message: &[u8]) -> io::Result<()> {
    stream.write_all(message)?;
    let mut reply = vec![0; message.len()];
    stream.read_exact(&mut reply)?;
    match reply == message {
        true => Ok(()),
        false => Err(pattern::wrong("the first reply differs".into())),
    }
}
