//! What sessions will want of the kernel, tried before there are any.
//!
//! An option that every connect would fail with is a fault of the start, told once and not by each
//! session. It is tried by the user that sessions run as, who may be allowed less than whoever
//! opened the listening sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use model::{BackendAddress, Config, Listener};
use socket2::Domain;

use crate::socket::options::{self, Refused, Role};

/// What was found.
#[derive(Debug, Default)]
pub struct Probe {
    /// What makes it useless to start, each with what to do about it.
    pub failures: Vec<String>,
    /// What is not quite as it was asked for.
    pub remarks: Vec<String>,
}

/// Tries what `config`, which has been checked, wants of sockets to backends.
pub fn probe(config: &Config) -> Probe {
    let mut probe = Probe::default();
    for listener in &config.listeners {
        probe.outgoing(config, listener);
    }
    probe
}

impl Probe {
    fn outgoing(&mut self, config: &Config, listener: &Listener) {
        let families = families(config, listener);
        // What one family is granted the other is as well.
        let domain = match families.first() {
            Some(true) => Domain::IPV6,
            Some(false) | None => Domain::IPV4,
        };
        let name = &listener.name;
        match options::open(domain, Role::Connected, &listener.tcp).map_err(Refused::explained) {
            Ok(socket) => {
                let found = options::shortfalls(&socket, &listener.tcp).into_iter();
                self.remarks.extend(found.map(|text| format!("listener {name}: {text}")));
            }
            // Nobody will connect, or not on a machine without IPv6.
            Err(_) if families.is_empty() => {}
            Err(error) if domain == Domain::IPV6 && error.raw_os_error().is_some() => {}
            Err(error) => {
                self.failures.push(format!("listener {name} cannot reach backends: {error}"));
            }
        }
    }
}

/// The families of the backends of `listener`, `true` for IPv6.
fn families(config: &Config, listener: &Listener) -> BTreeSet<bool> {
    let pool = config.pools.iter().find(|pool| pool.name.value == listener.pool.value);
    let backends = pool.iter().flat_map(|pool| &pool.backends);
    backends
        .filter_map(|backend| match backend.address.value {
            BackendAddress::Ip(SocketAddr::V4(_)) | BackendAddress::Name { .. } => Some(false),
            BackendAddress::Ip(SocketAddr::V6(_)) => Some(true),
            BackendAddress::Unix(_) => None,
        })
        .collect()
}
