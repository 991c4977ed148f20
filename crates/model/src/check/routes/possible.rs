//! What a session can be at the same time: the host in a ClientHello is not that of an SSH client.

use crate::config::Listener;
use crate::diagnostic::{Code, Diagnostic};
use crate::route::{Protocol, Route, When};

/// Ways in which a client may begin, one bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ways(u32);

impl Ways {
    const ALL: Self = Self(u32::MAX);
    /// PostgreSQL after the client was allowed to go on with TLS.
    const POSTGRES_TLS: Self = Self(1 << 29);
    /// Something that no [`Protocol`] stands for.
    const OTHER: Self = Self(1 << 30);

    fn of(protocol: Protocol) -> Self {
        let place = Protocol::NAMES.iter().position(|(_, known)| *known == protocol);
        let way = Self(1 << place.expect("each protocol has a name"));
        match protocol {
            Protocol::Postgres => way.or(Self::POSTGRES_TLS),
            _ => way,
        }
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn any_of(protocols: &[Protocol]) -> Self {
        protocols.iter().map(|protocol| Self::of(*protocol)).fold(Self(0), Self::or)
    }

    /// Ways in which what `when` asks can be seen. What must not be is no help here.
    fn of_condition(when: &When) -> Self {
        let postgres = Self::of(Protocol::Postgres);
        let asked = [
            (!when.protocol.is_empty(), Self::any_of(&when.protocol)),
            (when.asks_for_tls(), Self::of(Protocol::Tls).or(Self::POSTGRES_TLS)),
            (when.asks_for_http(), Self::of(Protocol::Http)),
            (when.asks_for_postgres(), Self(postgres.0 & !Self::POSTGRES_TLS.0)),
            (!when.git_repository.is_empty(), Self::of(Protocol::Git)),
        ];
        let own =
            asked.iter().filter(|(asks, _)| *asks).fold(Self::ALL, |all, (_, ways)| all.and(*ways));
        let all = when.all.iter().map(Self::of_condition).fold(own, Self::and);
        match when.any.as_slice() {
            [] => all,
            any => any.iter().map(Self::of_condition).fold(Self(0), Self::or).and(all),
        }
    }

    /// Ways in which clients of `listener` may begin.
    fn of_listener(listener: &Listener) -> Self {
        let datagrams = || Self::any_of(&Protocol::OF_DATAGRAMS).or(Self::OTHER);
        let streams = || Self(Self::ALL.0 & !Self::of(Protocol::WireGuard).0);
        let ways = listener.bind.iter().map(|bind| match bind.value.is_udp() {
            true => datagrams(),
            false => streams(),
        });
        ways.fold(Self(0), Self::or)
    }
}

/// Why no session of `listener` can be what `route` asks for.
pub(super) fn fault(listener: &Listener, route: &Route) -> Option<Diagnostic> {
    let when = &route.when.value;
    let ways = Ways::of_condition(when);
    let new = |message: &str| {
        let fault = Diagnostic::new(Code::RouteImpossible, route.when.span, message);
        fault.label("never matches")
    };
    if ways.is_empty() {
        let help = match (asks(when, When::asks_for_tls), asks(when, When::asks_for_http)) {
            (true, true) => {
                "what a client asks of an HTTPS server is encrypted: route it by `sni`, or make \
                 two routes"
            }
            (true, false) => "`sni`, `alpn` and `tls_version` go with `protocol = \"tls\"`",
            (false, true) => {
                "`host`, `path`, `method` and `header` go with `protocol = \"http\"`, in plain text"
            }
            (false, false) => "make two routes of it, or write `any = [{ ... }, { ... }]`",
        };
        return Some(new("these conditions exclude each other").help(help));
    }
    // A listener without a bind has another fault.
    if listener.bind.is_empty() || !ways.and(Ways::of_listener(listener)).is_empty() {
        return None;
    }
    Some(match listener.bind.iter().any(|bind| bind.value.is_udp()) {
        true => new("no datagram shows what this route asks for").help(
            "for UDP there are `protocol` (`dns`, `openvpn`, `wireguard`), `prefix` and `regex`",
        ),
        false => new("no client of TCP speaks WireGuard").help("bind to `udp://:51820`"),
    })
}

fn asks(when: &When, what: fn(&When) -> bool) -> bool {
    what(when) || when.any.iter().chain(&when.all).any(|inner| asks(inner, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Bind;
    use crate::route::pattern::NamePattern;
    use crate::source::Spanned;

    #[track_caller]
    fn check(bind: &str, when: When, expected: Option<&str>) {
        let pool = || Spanned::default_of("main".to_owned());
        let bind = Bind::parse(bind).expect("a legal bind");
        let listener =
            Listener { bind: vec![Spanned::default_of(bind)], ..Listener::new("main", pool()) };
        let route = Route { name: None, when: Spanned::default_of(when), pool: pool() };
        assert_eq!(fault(&listener, &route).map(|fault| fault.message).as_deref(), expected);
    }

    const EXCLUDE: Option<&str> = Some("these conditions exclude each other");
    const NO_DATAGRAM: Option<&str> = Some("no datagram shows what this route asks for");

    fn sni() -> When {
        When { sni: vec![NamePattern::Any], ..When::default() }
    }

    fn host() -> When {
        When { host: vec![NamePattern::Any], ..When::default() }
    }

    fn user() -> When {
        When { user: vec!["alice".to_owned()], ..When::default() }
    }

    fn speaks(protocol: Protocol) -> When {
        When { protocol: vec![protocol], ..When::default() }
    }

    #[test]
    fn conditions_that_exclude_each_other() {
        check(":1", When { sni: sni().sni, ..speaks(Protocol::Ssh) }, EXCLUDE);
        check(":1", When { sni: sni().sni, ..speaks(Protocol::Tls) }, None);
        check(":1", When { sni: sni().sni, ..speaks(Protocol::Postgres) }, None);
        check(":1", When { sni: sni().sni, ..host() }, EXCLUDE);
        check(":1", When { sni: sni().sni, ..user() }, EXCLUDE);
        check(":1", When { all: vec![sni()], ..host() }, EXCLUDE);
        check(":1", When { all: vec![sni(), host()], ..When::default() }, EXCLUDE);
        check(":1", When { any: vec![sni(), host()], ..When::default() }, None);
        check(":1", When { any: vec![sni(), host()], ..speaks(Protocol::Ssh) }, EXCLUDE);
        check(":1", When { not: vec![sni()], ..host() }, None);
        check(":1", When { git_repository: Vec::new(), ..speaks(Protocol::Git) }, None);
    }

    #[test]
    fn streams_and_datagrams_show_different_things() {
        check("udp://:1", sni(), NO_DATAGRAM);
        check("udp://:1", host(), NO_DATAGRAM);
        check("udp://:1", speaks(Protocol::Ssh), NO_DATAGRAM);
        check("udp://:1", speaks(Protocol::Dns), None);
        check("udp://:1", speaks(Protocol::WireGuard), None);
        check("udp://:1", When { regex: vec!["a".to_owned()], ..When::default() }, None);
        check(":1", speaks(Protocol::WireGuard), Some("no client of TCP speaks WireGuard"));
        check(":1", speaks(Protocol::OpenVpn), None);
    }
}
