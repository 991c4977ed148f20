//! Connections that were served once: to be used further, or to stay idle.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{PATIENCE, connect};
use crate::pattern;

/// Opens `sessions` connections and has one byte go each way on every one.
///
/// # Errors
/// Those of the first connection that fails.
pub(crate) fn open(target: SocketAddr, sessions: u64) -> io::Result<Vec<TcpStream>> {
    (0..sessions).map(|number| served(target, number)).collect()
}

/// Connection `number`, served once, so that whatever its start takes is over; it blocks.
///
/// # Errors
/// Those of the socket, and `InvalidData` where the reply differs.
pub(crate) fn served(target: SocketAddr, number: u64) -> io::Result<TcpStream> {
    let mut stream = connect(target, number)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (sent, mut reply) = (pattern::echo_byte(number, 1, 0), [0]);
    stream.write_all(&[sent])?;
    stream.read_exact(&mut reply)?;
    if reply != [sent] {
        return Err(pattern::wrong("the first reply differs".into()));
    }
    Ok(stream)
}
