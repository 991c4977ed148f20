//! Three networks in a row: clients, what stands between, and who they mean to reach.

use std::process::Command;

use crate::address::Address;
use crate::backend::Backend;
use crate::namespace::Namespace;
use crate::peer::Peer;

/// Clients at 10.81.0.2 and fd81::2, replug at .1 and ::1, and others behind it at 10.82.0.2 and
/// fd82::2. Each is a network of its own; needs root.
#[derive(Debug)]
pub struct Road {
    /// Where clients are, at `e0`.
    pub clients: Namespace,
    /// In the middle, with `c0` towards clients and `o0` towards others.
    pub ours: Namespace,
    /// Where others are, at `e0`.
    pub others: Namespace,
}

impl Road {
    /// Lays it; nothing is diverted yet.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    #[track_caller]
    pub fn lay() -> Self {
        let road =
            Self { clients: Namespace::new(), ours: Namespace::new(), others: Namespace::new() };
        for (side, name, net) in [(&road.clients, "c0", 81), (&road.others, "o0", 82)] {
            road.ours.ip(&format!("link add {name} type veth peer name e0 netns {}", side.name()));
            for (namespace, name, host) in [(&road.ours, name, 1), (side, "e0", 2)] {
                namespace.ip(&format!("address add 10.{net}.0.{host}/24 dev {name}"));
                namespace.ip(&format!("address add fd{net}::{host}/64 dev {name} nodad"));
                namespace.ip(&format!("link set {name} up"));
            }
            side.ip(&format!("route add default via 10.{net}.0.1"));
            side.ip(&format!("-6 route add default via fd{net}::1"));
        }
        road
    }

    /// Has clients diverted by rules of nftables, and what they mark delivered to this machine.
    ///
    /// # Panics
    /// When nft or ip refuse.
    #[track_caller]
    pub fn divert(&self, rules: &str) {
        self.ours.inside(|| {
            let status = Command::new("nft").arg(rules).status().expect("nft is there");
            assert!(status.success(), "nft refuses {rules}");
        });
        if rules.contains("mark") {
            for (family, all) in [("-4", "0.0.0.0/0"), ("-6", "::/0")] {
                self.ours.ip(&format!("{family} rule add fwmark 1 lookup 100"));
                self.ours.ip(&format!("{family} route add local {all} dev lo table 100"));
            }
        }
    }

    /// A backend at an address of the others.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn listens(&self, address: &str) -> Backend {
        self.others.inside(|| Backend::bind_to(&Address::parse(address)))
    }

    /// A client that means to go to `address`.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn connect(&self, address: &str) -> Peer {
        self.clients.inside(|| Peer::connect(&Address::parse(address)))
    }

    /// A client that means to go to `address`, and is reset before a byte comes.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn expect_turned_away(&self, address: &str) {
        self.clients.inside(|| Peer::expect_turned_away(None, &Address::parse(address)));
    }
}
