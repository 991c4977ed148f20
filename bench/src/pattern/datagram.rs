//! What a datagram carries: its flow, its number, and bytes that depend on both.

use std::io;
use std::sync::LazyLock;

use super::{chunk, wrong};

/// Bytes of the flow and the number; no datagram is shorter.
pub(crate) const HEADER: usize = 16;
/// Bytes that datagrams are cut from; more than any is long.
const TEXT: usize = 8 << 10;

/// All datagrams are made of the same text.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| chunk()[..TEXT].to_vec());

/// Makes number `sequence` of `flow`, as long as `bytes`.
pub(crate) fn fill(bytes: &mut [u8], flow: u64, sequence: u64) {
    let (header, body) = bytes.split_at_mut(HEADER);
    header[..8].copy_from_slice(&flow.to_le_bytes());
    header[8..].copy_from_slice(&sequence.to_le_bytes());
    body.copy_from_slice(expected(flow, sequence, body.len()));
}

/// The number of a datagram that should be one of `flow`, with `size` bytes.
///
/// # Errors
/// `InvalidData` where it is not.
pub(crate) fn sequence(bytes: &[u8], flow: u64, size: usize) -> io::Result<u64> {
    if bytes.len() != size {
        return Err(wrong(format!("a datagram of {} bytes instead of {size}", bytes.len())));
    }
    let (header, body) = bytes.split_at(HEADER);
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    let (its_flow, sequence) = (number(&header[..8]), number(&header[8..]));
    if its_flow != flow {
        return Err(wrong(format!("flow {flow} got a datagram of flow {its_flow}")));
    }
    match body == expected(flow, sequence, body.len()) {
        true => Ok(sequence),
        false => Err(wrong(format!("bytes of datagram {sequence} differ"))),
    }
}

/// The bytes after the header.
fn expected(flow: u64, sequence: u64, length: usize) -> &'static [u8] {
    let starts = (TEXT - length) as u64;
    let mixed = flow.wrapping_mul(131).wrapping_add(sequence.wrapping_mul(67)) % starts;
    let start = usize::try_from(mixed).expect("an index into the text");
    &BYTES[start..start + length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_number_and_every_byte_are_checked() {
        let mut bytes = [0; 64];
        fill(&mut bytes, 7, 1 << 40);
        assert_eq!(sequence(&bytes, 7, 64).unwrap(), 1 << 40);
        assert!(sequence(&bytes, 8, 64).is_err());
        assert!(sequence(&bytes[..63], 7, 64).is_err());
        for index in 0..64 {
            bytes[index] ^= 1;
            assert!(sequence(&bytes, 7, 64).is_err(), "{index}");
            bytes[index] ^= 1;
        }
    }
}
