//! The flows of an inlet, and which of them is idlest.
//!
//! A flow is found by its client and the address of ours that the client sends to.
//! The idlest one is found by a heap in which
//! each flow stands where it was put last: to carry a datagram costs the heap
//! nothing. Only when room is to be made are those that have carried something
//! since put further back, until the first one has been silent since it was put.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};

use relay::Tick;
use relay::datagram::Local;

/// What the datagrams of one flow have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key([u64; 5]);

impl Key {
    pub(super) fn new(client: SocketAddr, local: Option<Local>) -> Self {
        let halves = |address: IpAddr| {
            let bits = match address {
                IpAddr::V4(address) => u128::from(address.to_bits()),
                IpAddr::V6(address) => address.to_bits(),
            };
            let bytes = bits.to_le_bytes();
            let half = |at: usize| {
                let half: [u8; 8] = bytes[at..at + 8].try_into().expect("eight of sixteen");
                u64::from_le_bytes(half)
            };
            (half(0), half(8))
        };
        let (client_low, client_high) = halves(client.ip());
        let (local_low, local_high) = local.map_or((0, 0), |local| halves(local.address));
        let scope = match client {
            SocketAddr::V6(address) => address.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        let rest = u64::from(client.port()) | u64::from(scope) << 16;
        Self([client_low, client_high, local_low, local_high, rest])
    }
}

/// Flows by their keys.
#[derive(Debug)]
pub(super) struct Table<T> {
    flows: HashMap<Key, (u64, T)>,
    /// When each flow was put here, which it was active at or after, and its number.
    order: BinaryHeap<Reverse<(Tick, u64, Key)>>,
    next: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { flows: HashMap::new(), order: BinaryHeap::new(), next: 0 }
    }
}

/// The heap holds at most this many flows that are over, beside as many as there are.
const GONE_MAX: usize = 64;

impl<T> Table<T> {
    pub(super) fn get(&self, key: &Key) -> Option<&T> {
        self.flows.get(key).map(|(_, flow)| flow)
    }

    /// Puts in a flow that is new.
    pub(super) fn insert(&mut self, key: Key, flow: T, now: Tick) {
        self.flows.insert(key, (self.next, flow));
        self.order.push(Reverse((now, self.next, key)));
        self.next += 1;
    }

    /// Takes out a flow that is over.
    pub(super) fn remove(&mut self, key: &Key) {
        self.flows.remove(key);
        if self.order.len() > 2 * self.flows.len() + GONE_MAX {
            let flows = &self.flows;
            self.order.retain(|Reverse((_, number, key))| is_there(flows, key, *number).is_some());
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// The flow that has been silent for longest, and since when; `active` says that of each.
    pub(super) fn idlest(&mut self, active: impl Fn(&T) -> Tick) -> Option<(Tick, &T)> {
        while let Some(&Reverse((put, number, key))) = self.order.peek() {
            let Some(flow) = is_there(&self.flows, &key, number) else {
                self.order.pop();
                continue;
            };
            let since = active(flow);
            if since <= put {
                return self.get(&key).map(|flow| (since, flow));
            }
            self.order.pop();
            self.order.push(Reverse((since, number, key)));
        }
        None
    }
}

/// The flow with this key, if it is the one with this number still.
fn is_there<'a, T>(flows: &'a HashMap<Key, (u64, T)>, key: &Key, number: u64) -> Option<&'a T> {
    flows.get(key).filter(|(now, _)| *now == number).map(|(_, flow)| flow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn key(port: u16) -> Key {
        Key::new(SocketAddr::from(([192, 0, 2, 1], port)), None)
    }

    fn at(millis: u64) -> Tick {
        Tick::from_millis(millis)
    }

    #[test]
    fn keys_differ_in_each_of_their_parts() {
        let local = |last| {
            let address = IpAddr::from([10, 0, 0, last]);
            Some(Local { address, interface: 0 })
        };
        let client: SocketAddr = "192.0.2.1:53".parse().expect("an address");
        let scoped = |scope| {
            std::net::SocketAddrV6::new("fe80::1".parse().expect("an address"), 53, 0, scope).into()
        };
        let keys = [
            Key::new(client, None),
            Key::new(client, local(1)),
            Key::new(client, local(2)),
            Key::new("192.0.2.1:54".parse().expect("an address"), None),
            Key::new("192.0.2.2:53".parse().expect("an address"), None),
            Key::new("[2001:db8::1]:53".parse().expect("an address"), None),
            Key::new("[2001:db9::1]:53".parse().expect("an address"), None),
            Key::new(scoped(1), None),
            Key::new(scoped(2), None),
        ];
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn room_is_made_by_the_idlest() {
        let mut table = Table::default();
        let activity: Vec<_> = (0..4).map(|_| Cell::new(at(0))).collect();
        for flow in 0..4_u16 {
            activity[usize::from(flow)].set(at(u64::from(flow)));
            table.insert(key(flow), flow, at(u64::from(flow)));
        }
        activity[0].set(at(9));
        activity[2].set(at(7));
        let mut order = Vec::new();
        let active = |flow: &u16| activity[usize::from(*flow)].get();
        while let Some((since, &flow)) = table.idlest(active) {
            assert_eq!(since, active(&flow));
            table.remove(&key(flow));
            order.push(flow);
        }
        assert_eq!(order, [1, 3, 2, 0]);
    }

    #[test]
    fn flows_that_are_over_leave_nothing() {
        let mut table = Table::default();
        for round in 0..1_000_u64 {
            table.insert(key(7), round, at(round));
            table.remove(&key(7));
        }
        assert!(table.order.len() <= GONE_MAX + 1, "{}", table.order.len());
        table.insert(key(7), 1_000, at(1));
        assert_eq!(table.idlest(|_| at(1)), Some((at(1), &1_000)));
        table.remove(&key(7));
        assert_eq!(table.idlest(|_| at(1)), None);
    }
}
