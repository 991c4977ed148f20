//! The checksum CRC-32C (Castagnoli; RFC 3720 section 12.1).

const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = table();

/// The checksum of `parts`, one behind the other.
pub(super) fn sum(parts: &[&[u8]]) -> u32 {
    let mut sum: u32 = !0;
    for byte in parts.iter().copied().flatten() {
        sum = TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ sum >> 8;
    }
    !sum
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    let mut value: u32 = 0;
    while at < table.len() {
        let mut rest = value;
        let mut bit = 0;
        while bit < 8 {
            rest = if rest & 1 == 1 { rest >> 1 ^ POLYNOMIAL } else { rest >> 1 };
            bit += 1;
        }
        table[at] = rest;
        at += 1;
        value += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        assert_eq!(sum(&[b"123456789"]), 0xe306_9283);
        assert_eq!(sum(&[b"1234", b"", b"56789"]), 0xe306_9283);
        assert_eq!(sum(&[&[0; 32]]), 0x8a91_36aa);
        assert_eq!(sum(&[&[0xff; 32]]), 0x62a8_ab43);
    }
}
