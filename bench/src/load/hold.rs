//! Idle sessions: connections that were served once and then stay.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{PATIENCE, connect};
use crate::pattern;

/// Opens `sessions` connections and has one byte go each way on every one.
///
/// # Errors
/// Those of the first connection that fails.
pub(crate) fn open(target: SocketAddr, sessions: u64) -> io::Result<Vec<TcpStream>> {
    (0..sessions)
        .map(|number| {
            let mut stream = connect(target, number)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let (sent, mut reply) = (pattern::echo_byte(number, 1, 0), [0]);
            stream.write_all(&[sent])?;
            stream.read_exact(&mut reply)?;
            if reply != [sent] {
                return Err(pattern::wrong("the reply differs".into()));
            }
            Ok(stream)
        })
        .collect()
}
