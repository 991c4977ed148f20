//! What sessions will want of the kernel, tried before there are any.
//!
//! An option that every connect would fail with is a fault of the start, told once and not by each
//! session. It is tried by the user that sessions run as, who may be allowed less than whoever
//! opened the listening sockets.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};

use model::{BackendAddress, Config, Listener, Pool, Source, Tcp};
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
    for pool in &config.pools {
        probe.sources(pool);
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

    /// A source may still come: addresses move from machine to machine.
    fn sources(&mut self, pool: &Pool) {
        let Some(source) = &pool.source else { return };
        let missing: Vec<_> = match &source.value {
            Source::Interface(name) => match options::interfaces() {
                // Behind --chroot there is nobody to ask.
                there if there.is_empty() || there.iter().any(|there| there == name.as_str()) => {
                    Vec::new()
                }
                there => {
                    vec![format!("there is no interface {name}; there are: {}", there.join(", "))]
                }
            },
            Source::Client => return self.as_client(pool),
            Source::Addresses(all) => all
                .iter()
                .filter(|address| UdpSocket::bind((**address, 0)).is_err())
                .map(|address| format!("{address} is not an address of this machine"))
                .collect(),
        };
        let name = &pool.name.value;
        self.remarks.extend(missing.into_iter().map(|text| format!("source of {name}: {text}")));
    }

    /// Without this right every connect would fail.
    fn as_client(&mut self, pool: &Pool) {
        if let Err(error) = may_be_transparent() {
            let name = &pool.name.value;
            let text = format!("pool {name} cannot leave from its clients' addresses: {error}");
            self.failures.push(text);
        }
    }
}

/// Whether this process may have sockets with addresses that are not this machine's
/// (`IP_TRANSPARENT`, ip(7)).
///
/// # Errors
/// What the system says, and what to do about it.
pub fn may_be_transparent() -> io::Result<()> {
    let socket = options::open(Domain::IPV4, Role::Connected, &Tcp::default());
    let set = socket.and_then(|socket| options::be_transparent(&socket, Domain::IPV4));
    set.map_err(Refused::explained)
}

/// The families of what sessions of `listener` connect to, `true` for IPv6.
fn families(config: &Config, listener: &Listener) -> BTreeSet<bool> {
    let is_used = |pool: &&Pool| listener.pools().any(|name| name.value == pool.name.value);
    let dialled = |pool: &Pool| match pool.via.first() {
        Some(via) => vec![via.value.address.clone()],
        None => pool.backends.iter().map(|backend| backend.address.value.clone()).collect(),
    };
    let family = |address: BackendAddress| match address {
        BackendAddress::Ip(SocketAddr::V4(_)) | BackendAddress::Name { .. } => Some(false),
        BackendAddress::Ip(SocketAddr::V6(_)) => Some(true),
        BackendAddress::Unix(_) | BackendAddress::Original | BackendAddress::Requested => None,
    };
    config.pools.iter().filter(is_used).flat_map(dialled).filter_map(family).collect()
}
