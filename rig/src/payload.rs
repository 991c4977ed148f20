//! Bytes that can be checked one by one without being kept.
//!
//! A payload is an endless stream of bytes that follows from its seed. The sender takes bytes
//! from one copy, the receiver compares with another: that is stronger than a hash, costs no
//! memory, and a difference is found with its offset. A lost or doubled byte shows, since the
//! stream does not repeat.

/// An endless stream of bytes and a position in it.
#[derive(Clone, Debug)]
pub struct Payload {
    seed: u64,
    position: u64,
}

impl Payload {
    /// The stream that belongs to `seed`, from its start.
    pub fn new(seed: u64) -> Self {
        Self { seed, position: 0 }
    }

    /// Bytes taken so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on by `bytes`.
    pub fn skip(&mut self, bytes: u64) {
        self.position += bytes;
    }

    /// Takes the next bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let word = self.word().to_le_bytes();
            let at = usize::try_from(self.position % 8).expect("less than eight");
            let (now, later) = rest.split_at_mut(rest.len().min(8 - at));
            now.copy_from_slice(&word[at..at + now.len()]);
            self.position += now.len() as u64;
            rest = later;
        }
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }

    /// Whether `bytes` come next; then they are taken.
    ///
    /// # Errors
    /// The offset in the stream, from its start, at which the first other byte stands.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), u64> {
        let start = self.position;
        let expected = self.take(bytes.len());
        if bytes == expected {
            return Ok(());
        }
        let same = bytes.iter().zip(&expected).take_while(|(a, b)| a == b);
        Err(start + same.count() as u64)
    }

    fn word(&self) -> u64 {
        mix(self.seed.wrapping_add((self.position / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

/// Numbers by chance that follow from a seed.
#[derive(Clone, Debug)]
pub struct Chance(Payload);

impl Chance {
    /// The numbers that belong to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Payload::new(seed))
    }

    /// A number from 0 to `below - 1`.
    pub fn below(&mut self, below: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes) % below
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): each bit depends on all bits.
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_same_stream() {
        let whole = Payload::new(7).take(1_000);
        let mut pieces = Payload::new(7);
        let mut joined = Vec::new();
        for length in [1, 2, 3, 8, 9, 64, 913] {
            joined.extend(pieces.take(length));
        }
        assert_eq!(joined, whole);
        assert_ne!(Payload::new(8).take(1_000), whole);
    }

    #[test]
    fn a_difference_is_found_where_it_is() {
        let mut bytes = Payload::new(1).take(100);
        bytes[61] ^= 1;
        let mut stream = Payload::new(1);
        assert_eq!(stream.check(&bytes[..50]), Ok(()));
        assert_eq!(stream.check(&bytes[50..]), Err(61));
    }
}
