//! A listener that is a proxy itself: who may sign in, and where clients may go.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use model::proxy::server::{Destination, Hosts, Private, ProxyServer, Reach, ServedProtocol};
use model::route::pattern::NamePattern;
use model::{Credentials, Password};

use crate::socket::original::{is_local, is_own};

/// What a listener that is a proxy does for its clients.
#[derive(Debug)]
pub(crate) struct Served {
    protocols: Vec<ServedProtocol>,
    /// Passwords by names; `None`: nobody has to sign in.
    users: Option<HashMap<Arc<str>, Password>>,
    allow_to: Vec<Destination>,
    deny_to: Vec<Destination>,
    private: Private,
}

/// What is known about a destination by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByName {
    Denied,
    Allowed,
    /// It depends on its addresses.
    Undecided,
}

impl Served {
    pub(super) fn new(server: &ProxyServer) -> Box<Self> {
        let users = server.users.iter().flat_map(|users| users.value.all());
        let user = |Credentials { user, password }: &Credentials| {
            Some((user.as_str().into(), password.clone()?))
        };
        let destinations = |all: &[model::Spanned<Destination>]| {
            all.iter().map(|destination| destination.value.clone()).collect()
        };
        Box::new(Self {
            protocols: server.protocols.clone(),
            users: (!server.users.is_empty()).then(|| users.filter_map(user).collect()),
            allow_to: destinations(&server.allow_to),
            deny_to: destinations(&server.deny_to),
            private: server.private,
        })
    }

    /// Whether it speaks this.
    pub(crate) fn speaks(&self, protocol: ServedProtocol) -> bool {
        self.protocols.contains(&protocol)
    }

    /// Whether its clients have to sign in.
    pub(crate) fn has_users(&self) -> bool {
        self.users.is_some()
    }

    /// Whom it knows by this name, if somebody is who they say. How long that takes depends on what
    /// they say only. Nobody, if nobody has to sign in.
    pub(crate) fn known(&self, user: &[u8], password: &[u8]) -> Option<Arc<str>> {
        let users = self.users.as_ref()?;
        let known = std::str::from_utf8(user).ok().and_then(|user| users.get_key_value(user));
        // Who is not known is compared as well, with what nobody has.
        let right = known.map_or("", |(_, password)| password.reveal());
        let is_right = is_same(right.as_bytes(), password);
        known.filter(|_| is_right).map(|(user, _)| Arc::clone(user))
    }

    /// Whether clients may go to this host, as far as that goes by its name.
    pub(crate) fn may_to_name(&self, host: &str, port: u16) -> ByName {
        let has = |destinations: &[Destination]| {
            destinations.iter().any(|one| one.has_port(port) && is_called(&one.hosts, host))
        };
        match () {
            () if has(&self.deny_to) => ByName::Denied,
            () if self.allow_to.is_empty() || has(&self.allow_to) => ByName::Allowed,
            () => ByName::Undecided,
        }
    }

    /// Whether clients may go to this address, which is that of a host about which so much is known
    /// by its name; [`ByName::Undecided`] if it has none. `own`: where we listen.
    pub(crate) fn may_to(&self, address: SocketAddr, name: ByName, own: &[SocketAddr]) -> bool {
        self.may(address, name, own, is_local)
    }

    fn may(
        &self,
        address: SocketAddr,
        name: ByName,
        own: &[SocketAddr],
        is_local: impl Fn(IpAddr) -> bool,
    ) -> bool {
        let ip = address.ip().to_canonical();
        let has = |destinations: &[Destination]| {
            destinations.iter().any(|one| one.has_port(address.port()) && has_ip(&one.hosts, ip))
        };
        if Reach::of(ip) == Reach::Nowhere
            || name == ByName::Denied
            || has(&self.deny_to)
            || is_own(SocketAddr::new(ip, address.port()), own, &is_local)
        {
            return false;
        }
        let is_allowed = name == ByName::Allowed || self.allow_to.is_empty() || has(&self.allow_to);
        let is_private = || Reach::of(ip) == Reach::Private || is_local(ip);
        let is_named = || {
            self.allow_to.iter().any(|one| {
                one.has_port(address.port()) && has_ip(&one.hosts, ip) && is_about_private(one)
            })
        };
        is_allowed && (self.private == Private::Allow || !is_private() || is_named())
    }
}

/// Whether hosts are named by their addresses so that it is clear that these are meant: one of
/// them, or a range of private ones. `0.0.0.0/0` is neither.
fn is_about_private(destination: &Destination) -> bool {
    let Hosts::Range(range) = &destination.hosts else { return false };
    let is_private = |ip| Reach::of(ip) == Reach::Private;
    range.prefix_len() == range.max_prefix_len()
        || is_private(range.network()) && is_private(range.broadcast())
}

fn is_called(hosts: &Hosts, host: &str) -> bool {
    match hosts {
        Hosts::Named(NamePattern::Any) => true,
        Hosts::Named(NamePattern::Exact(name)) => name == host,
        Hosts::Named(NamePattern::Below(name)) => {
            host.strip_suffix(name.as_str()).is_some_and(|below| below.ends_with('.'))
        }
        Hosts::Range(_) => false,
    }
}

fn has_ip(hosts: &Hosts, ip: IpAddr) -> bool {
    match hosts {
        Hosts::Named(name) => *name == NamePattern::Any,
        Hosts::Range(range) => range.contains(&ip),
    }
}

/// Whether two passwords are the same; looks at all of `given`, however early they differ.
fn is_same(right: &[u8], given: &[u8]) -> bool {
    let differs = given.iter().enumerate().fold(0, |differs, (at, byte)| {
        differs | (byte ^ right.get(at).copied().unwrap_or_default())
    });
    std::hint::black_box(differs) == 0 && right.len() == given.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Spanned;
    use model::proxy::server::Users;

    fn served(allow_to: &[&str], deny_to: &[&str], private: Private) -> Box<Served> {
        let all = |texts: &[&str]| {
            let parse = |text: &&str| Destination::parse(text).expect("a destination");
            texts.iter().map(|text| Spanned::default_of(parse(text))).collect()
        };
        let (allow_to, deny_to) = (all(allow_to), all(deny_to));
        Served::new(&ProxyServer { allow_to, deny_to, private, ..ProxyServer::default() })
    }

    #[track_caller]
    fn check(served: &Served, host: &str, addresses: &[&str], expected: &[bool]) {
        let own = ["192.0.2.1:1080", "[::]:99"].map(|text| text.parse().expect("an address"));
        let is_local = |ip: IpAddr| ip.is_loopback() || ip.to_string() == "192.0.2.1";
        let may: Vec<_> = addresses
            .iter()
            .map(|address| {
                let address: SocketAddr = address.parse().expect("an address");
                let name = match host {
                    "" => ByName::Undecided,
                    host => served.may_to_name(host, address.port()),
                };
                served.may(address, name, &own, is_local)
            })
            .collect();
        assert_eq!(may, expected, "{host} {addresses:?}");
    }

    #[test]
    fn what_is_private_is_refused_unless_it_is_named() {
        let all = [
            "198.51.100.1:80",
            "10.0.0.1:80",
            "127.0.0.1:80",
            "[::ffff:127.0.0.1]:80",
            "192.0.2.1:80",
            "169.254.169.254:80",
            "0.0.0.0:80",
            "[ff02::1]:80",
        ];
        let usual = served(&[], &[], Private::Refuse);
        check(&usual, "", &all, &[true, false, false, false, false, false, false, false]);
        check(&usual, "a.example", &all, &[true, false, false, false, false, false, false, false]);
        let allowed = served(&[], &[], Private::Allow);
        check(&allowed, "", &all, &[true, true, true, true, true, true, false, false]);
        let everything = served(&["0.0.0.0/0", "::/0", "*"], &[], Private::Refuse);
        check(&everything, "", &all, &[true, false, false, false, false, false, false, false]);
        let named = served(&["10.0.0.0/8", "127.0.0.1", "192.0.2.1:80"], &[], Private::Refuse);
        check(&named, "", &all, &[false, true, true, true, true, false, false, false]);
        // A name that leads there is as good as the address.
        check(&named, "a.example", &all, &[false, true, true, true, true, false, false, false]);
        // Where we listen nobody is sent.
        for served in [&allowed, &named] {
            check(served, "", &["192.0.2.1:1080", "127.0.0.1:99"], &[false, false]);
        }
    }

    #[test]
    fn names_and_ports() {
        let served = served(
            &["*.a.example:443", "b.example", "198.51.100.0/24:80-90"],
            &["x.a.example", "203.0.113.0/24", "*:25"],
            Private::Refuse,
        );
        let at = ["203.0.112.1:443"];
        for (host, expected) in [
            ("w.a.example", true),
            ("v.w.a.example", true),
            ("a.example", false),
            ("xa.example", false),
            ("x.a.example", false),
            ("b.example", true),
            ("", false),
        ] {
            check(&served, host, &at, &[expected]);
        }
        check(&served, "w.a.example", &["203.0.112.1:80", "203.0.113.1:443"], &[false, false]);
        check(&served, "b.example", &["203.0.112.1:80", "203.0.112.1:25"], &[true, false]);
        check(&served, "", &["198.51.100.1:80", "198.51.100.1:91"], &[true, false]);
        check(&served, "c.example", &["198.51.100.1:80"], &[true]);
    }

    #[test]
    fn users() {
        let nobody = served(&[], &[], Private::Refuse);
        assert!(!nobody.has_users() && nobody.known(b"x", b"y").is_none());
        let one = Credentials { user: "a".into(), password: Some(Password::new("secret")) };
        let users = vec![Spanned::default_of(Users::One(one))];
        let served = Served::new(&ProxyServer { users, ..ProxyServer::default() });
        assert!(served.has_users());
        assert_eq!(served.known(b"a", b"secret").as_deref(), Some("a"));
        for (user, password) in [
            ("a", "secre"),
            ("a", "secret\0"),
            ("a", ""),
            ("b", "secret"),
            ("b", ""),
            ("", ""),
            ("a", "Secret"),
        ] {
            let known = served.known(user.as_bytes(), password.as_bytes());
            assert_eq!(known, None, "{user} {password}");
        }
        assert_eq!(served.known(b"\xff", b"secret"), None);
    }
}
