//! Which backend a client had last.
//!
//! The table is shared by all shards and takes no lock: a fixed number of slots,
//! each two words. A client's slots are the `WAYS` that its address hashes to;
//! when none is free or forgotten, the one that was used longest ago makes room.
//! So the table never grows, and a flood of clients costs other clients at most
//! their stickiness.
//!
//! Two shards may write one slot at the same time, and a reader may then see the
//! one's client with the other's backend: a session goes to a backend that was
//! not its last. That is harmless, it is one of the pool all the same.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{Sticky, StickyKey};
use relay::Tick;

/// Slots that one client may stand in.
const WAYS: usize = 8;

/// What a pool calls a backend for as long as it has it, whatever its place in the list: the
/// memory of clients outlives the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendNumber(pub u32);

/// Bits for the backend: a million of them. The other 44 count milliseconds for 557 years.
const BACKEND_BITS: u32 = 20;

/// A pool's memory of its clients.
#[derive(Debug)]
pub struct StickyTable {
    /// 16 bytes for each client; a whole number of groups.
    slots: Box<[Slot]>,
    sticky: Sticky,
    begin: Tick,
    hasher: RandomState,
}

/// One remembered client. All zeroes: nobody.
#[derive(Debug, Default)]
struct Slot {
    /// The hash of the client's address, never 0.
    client: AtomicU64,
    /// Milliseconds since the table began, above [`BACKEND_BITS`] bits of the backend.
    memory: AtomicU64,
}

impl StickyTable {
    /// A table that forgets a client when its time after its last session's begin is over.
    pub fn new(sticky: Sticky, now: Tick) -> Self {
        let slots =
            (0..sticky.entries.get().next_multiple_of(WAYS)).map(|_| Slot::default()).collect();
        Self { slots, sticky, begin: now, hasher: RandomState::new() }
    }

    /// Whether it remembers as `sticky` says.
    pub fn is_for(&self, sticky: Sticky) -> bool {
        self.sticky == sticky
    }

    /// The backend that `client` had, if it is remembered.
    pub fn recall(&self, client: IpAddr, now: Tick) -> Option<BackendNumber> {
        let client = self.hash(client);
        let slot = self.ways(client).find(|slot| slot.client.load(Ordering::Relaxed) == client)?;
        let (begin, backend) = unpack(slot.memory.load(Ordering::Relaxed));
        let age = Duration::from_millis(self.millis(now).saturating_sub(begin));
        (age <= self.sticky.ttl).then_some(backend)
    }

    /// Remembers that `client` has `backend` now. Backends beyond the millionth are not remembered.
    pub fn remember(&self, client: IpAddr, backend: BackendNumber, now: Tick) {
        if backend.0 >> BACKEND_BITS != 0 {
            return;
        }
        let client = self.hash(client);
        let own = self.ways(client).find(|slot| slot.client.load(Ordering::Relaxed) == client);
        let oldest = || self.ways(client).min_by_key(|slot| slot.memory.load(Ordering::Relaxed));
        if let Some(slot) = own.or_else(oldest) {
            slot.memory.store(pack(self.millis(now), backend), Ordering::Relaxed);
            slot.client.store(client, Ordering::Relaxed);
        }
    }

    fn hash(&self, client: IpAddr) -> u64 {
        let client = match self.sticky.by {
            StickyKey::Client => client,
            StickyKey::Network => network(client),
        };
        self.hasher.hash_one(client).max(1)
    }

    fn ways(&self, client: u64) -> impl Iterator<Item = &Slot> {
        let groups = (self.slots.len() / WAYS) as u64;
        let group = usize::try_from(client % groups).unwrap_or_default();
        self.slots[group * WAYS..(group + 1) * WAYS].iter()
    }

    /// Milliseconds since the table began.
    fn millis(&self, now: Tick) -> u64 {
        now.millis().saturating_sub(self.begin.millis())
    }
}

/// The first address of the network that counts as one client: a /24 of IPv4, a /64 of IPv6.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & (u32::MAX << 8)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

fn pack(millis: u64, backend: BackendNumber) -> u64 {
    (millis << BACKEND_BITS) | u64::from(backend.0)
}

fn unpack(memory: u64) -> (u64, BackendNumber) {
    let backend = memory & ((1 << BACKEND_BITS) - 1);
    (memory >> BACKEND_BITS, BackendNumber(u32::try_from(backend).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;

    const HOUR: Duration = Duration::from_secs(3600);
    const STICKY: Sticky = Sticky { ttl: HOUR, by: StickyKey::Client, entries: Sticky::ENTRIES };
    const BEGIN: Tick = Tick::from_millis(5_000_000);

    fn client(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn a_client_is_remembered_until_its_time_is_over() {
        let table = StickyTable::new(STICKY, BEGIN);
        assert_eq!(table.recall(client(1), BEGIN), None);
        table.remember(client(1), BackendNumber(3), BEGIN);
        assert_eq!(table.recall(client(1), BEGIN.after(HOUR)), Some(BackendNumber(3)));
        let later = BEGIN.after(HOUR + Duration::from_millis(1));
        assert_eq!(table.recall(client(1), later), None);
        table.remember(client(1), BackendNumber(4), later);
        assert_eq!(table.recall(client(1), later), Some(BackendNumber(4)));
    }

    #[test]
    fn a_network_can_count_as_one_client() {
        let table = StickyTable::new(Sticky { by: StickyKey::Network, ..STICKY }, BEGIN);
        let known = |text: &str| {
            let client = text.parse().expect("an address");
            table.recall(client, BEGIN).is_some()
        };
        for first in ["192.0.2.1", "2001:db8:1:2::1"] {
            table.remember(first.parse().expect("an address"), BackendNumber(0), BEGIN);
        }
        assert!(known("192.0.2.254") && known("2001:db8:1:2:ffff::"));
        assert!(!known("192.0.3.1") && !known("2001:db8:1:3::1"));
    }

    #[test]
    fn a_new_session_renews_the_memory() {
        let table = StickyTable::new(STICKY, BEGIN);
        table.remember(client(1), BackendNumber(0), BEGIN);
        table.remember(client(1), BackendNumber(0), BEGIN.after(HOUR));
        assert_eq!(table.recall(client(1), BEGIN.after(2 * HOUR)), Some(BackendNumber(0)));
    }

    #[test]
    fn a_flood_of_clients_makes_the_oldest_forgotten_and_no_more() {
        // Not a whole number of groups.
        let entries = NonZeroUsize::new(1_001).expect("it is not zero");
        let table = StickyTable::new(Sticky { entries, ..STICKY }, BEGIN);
        let crowd = 10_000;
        for number in 0..crowd {
            let now = BEGIN.after(Duration::from_millis(u64::from(number) * 10));
            table.remember(client(number), BackendNumber(number % 7), now);
        }
        let now = BEGIN.after(Duration::from_millis(u64::from(crowd) * 10));
        let newest = crowd - 64..crowd;
        let kept = newest
            .filter(|number| table.recall(client(*number), now) == Some(BackendNumber(number % 7)));
        assert_eq!(kept.count(), 64);
        let remembered = (0..crowd).filter(|number| table.recall(client(*number), now).is_some());
        assert!((500..=1_008).contains(&remembered.count()));
    }
}
