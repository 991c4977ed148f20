//! Which refused clients were told of lately.
//!
//! A refused client has no flow, and goes on to send: a record for each of its
//! datagrams would be a flood that anybody can start. So there is one for each
//! client and reason in a while, and none for clients beyond the first thousand.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use relay::Tick;

use crate::phase::account::Reason;

/// How long a client that goes on is not told of again.
pub(super) const REST: Duration = Duration::from_secs(10);

/// Clients that are remembered, for each inlet.
const CLIENTS_MAX: usize = 1024;

/// How long nobody is added when there are so many.
const FULL_REST: Duration = Duration::from_secs(1);

/// Whom an inlet has refused lately, and when it told.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    told: HashMap<(IpAddr, Reason), Tick>,
    full_until: Tick,
}

impl Refusals {
    /// Whether this refusal is to be told.
    pub(super) fn is_news(&mut self, client: IpAddr, reason: Reason, now: Tick) -> bool {
        let is_fresh = |told: &Tick| now.since(*told) < REST;
        if now < self.full_until || self.told.get(&(client, reason)).is_some_and(is_fresh) {
            return false;
        }
        if self.told.len() >= CLIENTS_MAX {
            self.told.retain(|_, told| is_fresh(told));
        }
        if self.told.len() >= CLIENTS_MAX {
            self.full_until = now.after(FULL_REST);
            return false;
        }
        self.told.insert((client, reason), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick::from_millis(1_000_000);

    fn client(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn a_client_is_told_of_once_in_a_while_for_each_reason() {
        let mut refusals = Refusals::default();
        assert!(refusals.is_news(client(1), Reason::Denied, NOW));
        assert!(!refusals.is_news(client(1), Reason::Denied, NOW));
        assert!(refusals.is_news(client(1), Reason::Limited, NOW));
        assert!(refusals.is_news(client(2), Reason::Denied, NOW));
        assert!(refusals.is_news(client(1), Reason::Denied, NOW.after(REST)));
    }

    #[test]
    fn a_flood_of_clients_is_bounded() {
        let mut refusals = Refusals::default();
        let mut told = |now| {
            (0..100_000).filter(|&at| refusals.is_news(client(at), Reason::Denied, now)).count()
        };
        assert_eq!(told(NOW), CLIENTS_MAX);
        assert_eq!(told(NOW), 0);
        assert_eq!(told(NOW.after(REST)), CLIENTS_MAX);
    }
}
