//! A fixed number of words, in which clients leave what is to be known of them.
//!
//! Shared by all shards, without locks and without growing. A client's word stands
//! somewhere in the one group that its address hashes to, and says by some bits of
//! the same hash whose it is. The key of the hash is drawn at start, so nobody can
//! choose addresses that meet in a group.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::AtomicU64;

/// Clients in one table at the most; 8 bytes each, 512 KiB in all.
pub const CLIENTS_MAX: usize = 65_536;

/// Words that one client may stand in.
const WAYS: usize = 16;

const GROUPS: usize = CLIENTS_MAX / WAYS;

/// A table of words, all of them 0 at first.
#[derive(Debug)]
pub(super) struct Slots {
    groups: Box<[Group]>,
    hasher: RandomState,
}

/// Two lines of the cache.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Group([AtomicU64; WAYS]);

impl Slots {
    pub(super) fn new() -> Self {
        Self { groups: (0..GROUPS).map(|_| Group::default()).collect(), hasher: RandomState::new() }
    }

    /// The `bits` upper bits of the client's hash, and the words that may be its own. Up to 52
    /// bits have nothing to do with which group that is.
    pub(super) fn of(&self, client: IpAddr, bits: u32) -> (u64, &[AtomicU64; WAYS]) {
        let hash = self.hasher.hash_one(counted_as(client));
        let group = usize::try_from(hash % GROUPS as u64).unwrap_or_default();
        (hash >> (u64::BITS - bits), &self.groups[group].0)
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 /64, within which a client takes
/// addresses as it likes.
fn counted_as(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(client: &str, expected: &str) {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(counted_as(address(client)), address(expected));
    }

    #[test]
    fn a_client_is_an_address_or_a_64() {
        check("192.0.2.7", "192.0.2.7");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
    }

    #[test]
    fn clients_spread_over_all_groups() {
        let slots = Slots::new();
        let mut seen = std::collections::HashSet::new();
        for client in 0..u32::try_from(CLIENTS_MAX).expect("fits") {
            let (_, group) = slots.of(IpAddr::from(client.to_be_bytes()), 20);
            seen.insert(group.as_ptr());
        }
        assert_eq!(seen.len(), GROUPS);
    }
}
