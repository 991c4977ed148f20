//! Chance and hashing, each the same on every machine.
//!
//! Nothing here is a secret: a client that knows how it is spread learns which
//! backend it gets, and no more.

use std::net::IpAddr;

/// A small generator of random numbers (SplitMix64: Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Copy, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The same seed gives the same numbers; seeds that follow each other give unrelated ones.
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The next number: any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// The next number below `bound`; 0 if `bound` is 0. Even to one part in 2^32 or better.
    pub fn below(&mut self, bound: u32) -> u32 {
        let scaled = (self.bits() >> 32) * u64::from(bound);
        u32::try_from(scaled >> 32).unwrap_or_default()
    }
}

/// The hash by which a client finds its backend: of its address, or for IPv6 of its /64, within
/// which a client takes addresses as it likes.
pub fn client_key(client: IpAddr) -> u64 {
    mix(CLIENT_SEED
        ^ match client.to_canonical() {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => mix(network64(address.to_bits())),
        })
}

/// The upper half of an IPv6 address.
fn network64(bits: u128) -> u64 {
    u64::try_from(bits >> 64).unwrap_or_default()
}

/// A hash of text (FNV-1a, then mixed).
pub fn text_key(text: &str) -> u64 {
    bytes_key(text.as_bytes())
}

/// A hash of bytes, as [`text_key`] is one of text.
pub fn bytes_key(bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    mix(bytes.iter().fold(BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME)))
}

/// A hash of two hashes.
pub fn pair_key(a: u64, b: u64) -> u64 {
    mix(a.wrapping_add(GOLDEN) ^ mix(b))
}

/// Spreads what differs in a few bits over all of them; each input has an output of its own.
fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// 2^64 divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Fixed, so that several instances send a client to the same backend. Changing it moves them all.
const CLIENT_SEED: u64 = 0x7265_706c_7567_0001;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_a_bound_are_even() {
        let mut chance = Chance::new(1);
        let mut seen = [0_u32; 10];
        for _ in 0..100_000 {
            seen[chance.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (9_500..=10_500).contains(count)), "{seen:?}");
        assert_eq!(chance.below(1), 0);
        assert_eq!(chance.below(0), 0);
    }

    #[test]
    fn an_ipv6_client_is_its_network_and_a_mapped_one_its_ipv4_address() {
        let key = |text: &str| client_key(text.parse().expect("an address"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }

    #[test]
    fn keys_do_not_change_between_versions() {
        // Instances of different versions behind one address must agree.
        assert_eq!(client_key(IpAddr::from([192, 0, 2, 1])), 0x4fb4_c225_2e2f_2d47);
        assert_eq!(text_key("10.0.0.1:80"), 0xdbbc_907f_2153_1a73);
    }
}
