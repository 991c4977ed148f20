//! Tickets by which clients resume sessions, with keys that change by themselves.
//!
//! A key seals tickets for six hours and opens them for six more. All shards share it, and it goes
//! on over reloads; a process that starts has new ones.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig};

use crate::clients::Boundary;

/// The keys of a listener.
#[derive(Clone, Debug)]
pub(crate) struct Tickets {
    keys: Arc<dyn ProducesTickets>,
    /// Where they hold.
    boundary: Boundary,
}

impl Tickets {
    /// Those of `before` if they hold within `boundary`, or new ones. `None`: the machine gives no
    /// random numbers; then no session is resumed.
    pub(crate) fn within(boundary: Boundary, before: Option<&Self>) -> Option<Self> {
        match before.filter(|before| before.boundary == boundary) {
            Some(before) => Some(before.clone()),
            None => Ticketer::new().ok().map(|keys| Self { keys, boundary }),
        }
    }

    /// Has `config` resume sessions by `tickets`, and by nothing else.
    pub(crate) fn put(tickets: Option<&Self>, config: &mut ServerConfig) {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match tickets {
            Some(tickets) => config.ticketer = Arc::clone(&tickets.keys),
            None => config.send_tls13_tickets = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_within_their_boundary() {
        let opens = |one: &Tickets, other: &Tickets| {
            let ticket = one.keys.encrypt(b"secret").expect("a ticket");
            other.keys.decrypt(&ticket).is_some()
        };
        let within = |boundary, before| Tickets::within(boundary, before).expect("keys");
        let one = within(Boundary::NONE, None);
        let same = within(Boundary::NONE, Some(&one));
        let beyond = within(Boundary::of(b"x"), Some(&one));
        assert!(opens(&one, &one));
        assert!(opens(&one, &same) && opens(&same, &one));
        assert!(!opens(&one, &beyond) && !opens(&beyond, &one));
        assert!(!opens(&one, &within(Boundary::NONE, None)), "another listener");
        assert!(!opens(&beyond, &within(Boundary::NONE, Some(&beyond))), "the way back");
    }
}
