//! What the load generator sends, and how a receiver knows that nothing was lost, changed or mixed up.
//!
//! Request-reply: each byte depends on the connection and on the number of the request. Bulk: blocks of
//! [`BLOCK`] bytes that start with a header (flow and block number); the first [`CHECKED`] bytes of each
//! block are compared, the rest is counted. The last header has [`END`] set and carries the exact total.
//! Datagrams have a file of their own, and so has what routes look at.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustix::net::RecvFlags;

pub(crate) mod datagram;
pub(crate) mod opening;

/// First byte of a connection that asks the backend to send blocks until it reads another byte.
pub(crate) const ASK_SOURCE: u8 = 254;
/// First byte of a connection that asks the backend to take blocks and answer with a [`verdict`].
pub(crate) const ASK_SINK: u8 = 253;
/// Bytes of request-reply messages stay below this, so they never look like an `ASK_`.
const ECHO_RANGE: u64 = 251;

/// Bytes in a block of a bulk flow.
pub(crate) const BLOCK: usize = 1 << 20;
/// Bytes given to one `write` or `read` in bulk; divides [`BLOCK`].
pub(crate) const CHUNK: usize = 256 << 10;
/// Bytes at the start of each block that the receiver compares.
pub(crate) const CHECKED: usize = 64 << 10;
/// Bytes of a header: the number of the block and [`END`].
const HEADER: usize = 8;
/// Set in the header that ends a flow; the other bits are then the number of blocks.
const END: u64 = 1 << 63;
/// What a sink answers, before the number of blocks it took.
const TAKEN: u64 = 0x7265_706c_7567_6f6b;

/// The byte at `index` of request `sequence` on `connection`.
pub(crate) fn echo_byte(connection: u64, sequence: u64, index: usize) -> u8 {
    let mixed = connection.wrapping_mul(31) + sequence.wrapping_mul(7) + index as u64;
    u8::try_from(mixed % ECHO_RANGE).expect("a remainder of 251 fits a byte")
}

/// Fills `message` with the bytes of request `sequence` on `connection`.
pub(crate) fn fill(message: &mut [u8], connection: u64, sequence: u64) {
    for (index, byte) in message.iter_mut().enumerate() {
        *byte = echo_byte(connection, sequence, index);
    }
}

/// The bytes of a block; sender and receiver make the same ones.
pub(crate) fn chunk() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(CHUNK);
    while bytes.len() < CHUNK {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// Sends blocks until `stop` says so, then the end; returns the bytes sent. `sent` is told about every chunk.
///
/// # Errors
/// Those of the socket.
pub(crate) fn send_blocks(
    stream: &mut impl Write,
    mut stop: impl FnMut() -> io::Result<bool>,
    mut sent: impl FnMut(usize),
) -> io::Result<()> {
    let mut bytes = chunk();
    let mut block = 0u64;
    while !stop()? {
        bytes[..HEADER].copy_from_slice(&block.to_le_bytes());
        for _ in 0..BLOCK / CHUNK {
            stream.write_all(&bytes)?;
            sent(CHUNK);
        }
        block += 1;
    }
    stream.write_all(&(block | END).to_le_bytes())
}

/// Passes over bytes of a TCP stream: the kernel drops them without copying (`MSG_TRUNC`, tcp(7)), so that
/// the receiver leaves more of the machine to what is measured.
///
/// # Errors
/// Those of the socket.
pub(crate) fn discard(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let receive = || rustix::net::recv(&*stream, &mut *buffer, RecvFlags::TRUNC);
    Ok(rustix::io::retry_on_intr(receive)?.1)
}

/// Takes blocks up to and with the end; returns their number. What is compared is read, what is only counted
/// goes through `pass`. `taken` is told about every read.
///
/// # Errors
/// Those of the socket; `InvalidData` where bytes differ, `UnexpectedEof` where the flow ends early.
pub(crate) fn take_blocks<S: Read>(
    stream: &mut S,
    pass: impl Fn(&mut S, &mut [u8]) -> io::Result<usize>,
    mut taken: impl FnMut(&mut S, usize) -> io::Result<()>,
) -> io::Result<u64> {
    let expected = chunk();
    let mut buffer = vec![0; CHUNK];
    let mut blocks = 0u64;
    loop {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header)?;
        let header = u64::from_le_bytes(header);
        if header == blocks | END {
            return Ok(blocks);
        }
        if header != blocks {
            return Err(wrong(format!("block {blocks} starts with header {header:#x}")));
        }
        let mut at = HEADER;
        while at < BLOCK {
            let length = match at < CHECKED {
                true => compare(stream, &expected[at..CHECKED], &mut buffer, blocks)?,
                false => pass(stream, &mut buffer[..CHUNK.min(BLOCK - at)])?,
            };
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            at += length;
            taken(stream, length)?;
        }
        blocks += 1;
    }
}

/// Reads bytes of block `block` that have to be the beginning of `expected`.
fn compare(
    stream: &mut impl Read,
    expected: &[u8],
    buffer: &mut [u8],
    block: u64,
) -> io::Result<usize> {
    let length = stream.read(&mut buffer[..expected.len()])?;
    match buffer[..length] == expected[..length] {
        true => Ok(length),
        false => Err(wrong(format!("bytes of block {block} differ"))),
    }
}

/// The answer of a sink that took `blocks` blocks without a difference.
pub(crate) fn verdict(blocks: u64) -> [u8; 16] {
    let mut answer = [0; 16];
    answer[..8].copy_from_slice(&TAKEN.to_le_bytes());
    answer[8..].copy_from_slice(&blocks.to_le_bytes());
    answer
}

/// An error that says that the payload was damaged on its way.
pub(crate) fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_blocks() -> Vec<u8> {
        let (mut bytes, mut asked) = (Vec::new(), 0);
        let stop = || {
            asked += 1;
            Ok(asked > 2)
        };
        send_blocks(&mut bytes, stop, |_| {}).expect("a Vec takes everything");
        bytes
    }

    #[test]
    fn blocks_arrive_and_are_counted() {
        let bytes = two_blocks();
        assert_eq!(bytes.len(), 2 * BLOCK + HEADER);
        assert_eq!(
            take_blocks(&mut bytes.as_slice(), |stream, buffer| stream.read(buffer), |_, _| Ok(()))
                .unwrap(),
            2
        );
    }

    #[test]
    fn a_changed_and_a_missing_byte_are_noticed() {
        let mut changed = two_blocks();
        changed[BLOCK + CHECKED - 1] ^= 1;
        let error = take_blocks(
            &mut changed.as_slice(),
            |stream, buffer| stream.read(buffer),
            |_, _| Ok(()),
        )
        .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut missing = two_blocks();
        missing.remove(BLOCK - 1);
        assert!(
            take_blocks(
                &mut missing.as_slice(),
                |stream, buffer| stream.read(buffer),
                |_, _| Ok(())
            )
            .is_err()
        );
    }

    #[test]
    fn echo_bytes_tell_connections_and_requests_apart() {
        assert_ne!(echo_byte(1, 1, 0), echo_byte(2, 1, 0));
        assert_ne!(echo_byte(1, 1, 0), echo_byte(1, 2, 0));
        assert!((0..1000).all(|n| echo_byte(n, n * 3, 0) < ASK_SINK));
    }
}
