//! What a route asks of a session, compiled.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};

use model::route::hours::Hours;
use model::route::pattern::{HeaderPattern, Prefix, TextPattern};
use model::{TlsVersion, When};
use wire::Verdict;
use wire::pattern::Pattern;
use wire::protocol::{Protocol, recognise};
use wire::tls::{ClientHello, Version};

use super::names::{self, Names};
use super::seen::{Part, Seen};
use crate::phase::tls::{Agreed, Proven};
use crate::ranges::Ranges;

/// What is asked of a session besides what its client says. Each is found out once, if at all.
pub(crate) struct Around<'a> {
    /// The client's address, if it has one.
    pub(crate) client: Option<IpAddr>,
    /// Who the client is, if it has proven that.
    proven: Option<&'a Proven>,
    here: &'a dyn Fn() -> Option<SocketAddr>,
    now: &'a dyn Fn() -> Moment,
    found: (OnceCell<Option<SocketAddr>>, OnceCell<Moment>),
}

/// A moment of the week, in the zone of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// 0 for Monday.
    pub(crate) weekday: u8,
    /// Of the day.
    pub(crate) minute: u16,
}

impl Moment {
    /// So many seconds after 1970-01-01, which was a Thursday, in local time.
    pub(crate) fn of_seconds(seconds: i64) -> Self {
        const DAY: i64 = 86_400;
        let weekday = (seconds.div_euclid(DAY) + 3).rem_euclid(7);
        let minute = seconds.rem_euclid(DAY) / 60;
        Self {
            weekday: u8::try_from(weekday).unwrap_or_default(),
            minute: u16::try_from(minute).unwrap_or_default(),
        }
    }
}

impl<'a> Around<'a> {
    /// `here` tells the address that the client came to, if there is one; `now` when.
    pub(crate) fn new(
        client: Option<IpAddr>,
        here: &'a dyn Fn() -> Option<SocketAddr>,
        now: &'a dyn Fn() -> Moment,
    ) -> Self {
        Self { client, proven: None, here, now, found: Default::default() }
    }

    /// The same of a client that speaks TLS, by what was agreed on.
    pub(crate) fn proven(self, agreed: Option<&'a Agreed>) -> Self {
        Self { proven: agreed.and_then(|agreed| agreed.proven.as_ref()), ..self }
    }

    fn here(&self) -> Option<SocketAddr> {
        *self.found.0.get_or_init(|| (self.here)())
    }

    fn now(&self) -> Moment {
        *self.found.1.get_or_init(|| (self.now)())
    }
}

/// All that must hold.
#[derive(Debug)]
pub(crate) struct Condition(Box<[Test]>);

/// One thing that must hold, those that cost nothing first.
#[derive(Debug)]
enum Test {
    Client(Ranges<bool>),
    Address(Box<[IpAddr]>),
    Port(Box<[u16]>),
    Hours(Box<[Hours]>),
    Protocol(Box<[Protocol]>),
    Prefix(Box<[Prefix]>),
    Sni(Names, Of),
    Alpn(Box<[Box<[u8]>]>, Of),
    TlsVersion(Box<[Version]>, Of),
    ClientCert(Box<[TextPattern]>),
    San(Box<[TextPattern]>),
    Host(Names),
    Path(Box<[TextPattern]>),
    Method(Box<[Box<[u8]>]>),
    Header(Box<[HeaderPattern]>),
    User(Box<[Box<[u8]>]>),
    Database(Box<[Box<[u8]>]>),
    Repository(Box<[TextPattern]>),
    Regex(Box<[Pattern]>),
    Not(Box<[Condition]>),
    Any(Box<[Condition]>),
    All(Box<[Condition]>),
}

/// Whose ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// One that a stream begins with.
    Tls,
    /// That, or one of PostgreSQL behind a request for TLS, which has to be answered first.
    Postgres,
}

impl Of {
    fn hello<'a>(self, seen: &'a Seen<'_>) -> &'a Part<ClientHello> {
        match self {
            Self::Tls => seen.hello(),
            Self::Postgres => seen.hello_of_postgres(),
        }
    }

    /// What is meant within `when`, if `self` is what is meant around it.
    pub(super) fn within(self, when: &When) -> Self {
        match when.protocol.contains(&model::Protocol::Postgres) {
            true => Self::Postgres,
            false => self,
        }
    }
}

impl Condition {
    /// Compiles `when`, of which what a route is found by is left out before.
    pub(super) fn new(when: &When, of: Of) -> Self {
        let of = of.within(when);
        let mut tests = Vec::new();
        if !when.client.is_empty() {
            let ranges = when.client.iter().map(|range| (range.value, 0));
            tests.push(Test::Client(Ranges::new(ranges, |within| !within.is_empty())));
        }
        put(&mut tests, &when.address, |address| *address, Test::Address);
        put(&mut tests, &when.port, |port| *port, Test::Port);
        put(&mut tests, &when.time, |hours| *hours, Test::Hours);
        put(&mut tests, &when.protocol, |known| protocol(*known), Test::Protocol);
        put(&mut tests, &when.client_cert, TextPattern::clone, Test::ClientCert);
        put(&mut tests, &when.san, TextPattern::clone, Test::San);
        put(&mut tests, &when.prefix, Prefix::clone, Test::Prefix);
        if !when.sni.is_empty() {
            tests.push(Test::Sni(Names::new(&when.sni), of));
        }
        put(&mut tests, &when.alpn, |text| bytes(text), |alpn| Test::Alpn(alpn, of));
        put(
            &mut tests,
            &when.tls_version,
            |known| version(*known),
            |versions| Test::TlsVersion(versions, of),
        );
        if !when.host.is_empty() {
            tests.push(Test::Host(Names::new(&when.host)));
        }
        put(&mut tests, &when.path, TextPattern::clone, Test::Path);
        put(&mut tests, &when.method, |text| bytes(text), Test::Method);
        put(&mut tests, &when.header, HeaderPattern::clone, Test::Header);
        put(&mut tests, &when.user, |text| bytes(text), Test::User);
        put(&mut tests, &when.database, |text| bytes(text), Test::Database);
        put(&mut tests, &when.git_repository, TextPattern::clone, Test::Repository);
        let pattern = |text: &String| Pattern::new(text).expect("the dialects have compiled it");
        put(&mut tests, &when.regex, pattern, Test::Regex);
        let inner = |when: &When| Self::new(when, of);
        put(&mut tests, &when.not, inner, Test::Not);
        put(&mut tests, &when.any, inner, Test::Any);
        put(&mut tests, &when.all, inner, Test::All);
        Self(tests.into())
    }

    /// Whether it holds for every session.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the ClientHello of a PostgreSQL client is asked for.
    pub(super) fn asks_for_tls_of_postgres(&self) -> bool {
        self.0.iter().any(|test| match test {
            Test::Sni(_, of) | Test::Alpn(_, of) | Test::TlsVersion(_, of) => *of == Of::Postgres,
            Test::Not(inner) | Test::Any(inner) | Test::All(inner) => {
                inner.iter().any(Self::asks_for_tls_of_postgres)
            }
            _ => false,
        })
    }

    /// Whether it asks where the client came to.
    pub(super) fn asks_for_address(&self) -> bool {
        self.0.iter().any(|test| match test {
            Test::Address(_) | Test::Port(_) => true,
            Test::Not(inner) | Test::Any(inner) | Test::All(inner) => {
                inner.iter().any(Self::asks_for_address)
            }
            _ => false,
        })
    }

    /// Whether it holds.
    pub(super) fn test(&self, around: &Around<'_>, seen: &Seen<'_>) -> Verdict {
        let mut verdict = Verdict::Yes;
        for test in &self.0 {
            verdict = verdict.and(test.test(around, seen));
            if verdict == Verdict::No {
                break;
            }
        }
        verdict
    }
}

fn put<T, U>(
    tests: &mut Vec<Test>,
    items: &[T],
    compile: impl Fn(&T) -> U,
    test: impl FnOnce(Box<[U]>) -> Test,
) {
    if !items.is_empty() {
        tests.push(test(items.iter().map(compile).collect()));
    }
}

fn bytes(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

impl Test {
    fn test(&self, around: &Around<'_>, seen: &Seen<'_>) -> Verdict {
        let inner = |condition: &Condition| condition.test(around, seen);
        match self {
            Self::Client(ranges) => around.client.is_some_and(|client| *ranges.get(client)).into(),
            Self::Address(all) => around.here().is_some_and(|here| all.contains(&here.ip())).into(),
            Self::Port(all) => around.here().is_some_and(|here| all.contains(&here.port())).into(),
            Self::Hours(all) => {
                let Moment { weekday, minute } = around.now();
                all.iter().any(|hours| hours.contain(weekday, minute)).into()
            }
            Self::ClientCert(all) => {
                let name = |proven: &Proven| any_match(all, &proven.common_name);
                around.proven.is_some_and(name).into()
            }
            Self::San(all) => {
                let is_one = |proven: &Proven| proven.names.iter().any(|name| any_match(all, name));
                around.proven.is_some_and(is_one).into()
            }
            Self::Not(all) => !any_of(all, inner),
            Self::Any(all) => any_of(all, inner),
            Self::All(all) => all.iter().map(inner).fold(Verdict::Yes, Verdict::and),
            Self::Protocol(_) | Self::Prefix(_) | Self::Regex(_) | Self::Repository(_) => {
                self.test_bytes(seen)
            }
            Self::Sni(_, of) | Self::Alpn(_, of) | Self::TlsVersion(_, of) => {
                self.test_hello(of.hello(seen))
            }
            Self::Host(_) | Self::Path(_) | Self::Method(_) | Self::Header(_) => {
                self.test_request(seen)
            }
            Self::User(all) => {
                seen.startup().is(|startup| startup.user().is_some_and(|user| is_in(all, user)))
            }
            Self::Database(all) => seen
                .startup()
                .is(|startup| startup.database().is_some_and(|database| is_in(all, database))),
        }
    }

    fn test_bytes(&self, seen: &Seen<'_>) -> Verdict {
        let known = |verdict| match verdict {
            Verdict::Maybe if seen.is_all => Verdict::No,
            verdict => verdict,
        };
        match self {
            Self::Protocol(all) => {
                known(any_of(all, |known| recognise(*known, seen.bytes, seen.carrier)))
            }
            Self::Prefix(all) => known(any_of(all, |prefix| {
                let begun = prefix.bytes().len().min(seen.bytes.len());
                match prefix.bytes()[..begun] == seen.bytes[..begun] {
                    true if begun == prefix.bytes().len() => Verdict::Yes,
                    true => Verdict::Maybe,
                    false => Verdict::No,
                }
            })),
            Self::Regex(all) => any_of(all, |pattern| pattern.test(seen.bytes, seen.is_all)),
            Self::Repository(all) => {
                seen.repository().is(|path| all.iter().any(|pattern| pattern.matches(path)))
            }
            _ => Verdict::No,
        }
    }

    fn test_hello(&self, hello: &Part<ClientHello>) -> Verdict {
        hello.is(|hello| match self {
            Self::Sni(names, _) => {
                hello.server_name.as_deref().is_some_and(|name| names.contain(name))
            }
            Self::Alpn(all, _) => hello.alpn.iter().any(|alpn| is_in(all, alpn)),
            Self::TlsVersion(all, _) => all.contains(&hello.newest),
            _ => false,
        })
    }

    fn test_request(&self, seen: &Seen<'_>) -> Verdict {
        seen.request().is(|request| match self {
            Self::Host(all) => {
                let host = request.host.and_then(names::host);
                host.is_some_and(|host| all.contain(&host))
            }
            Self::Path(all) => {
                let path = path(request.target);
                all.iter().any(|pattern| pattern.matches(path))
            }
            Self::Method(all) => is_in(all, request.method),
            Self::Header(all) => request.fields().any(|(name, value)| {
                all.iter().any(|field| {
                    field.name.as_bytes().eq_ignore_ascii_case(name)
                        && field.value.as_ref().is_none_or(|pattern| pattern.matches(value))
                })
            }),
            _ => false,
        })
    }
}

fn any_of<T>(items: &[T], test: impl FnMut(&T) -> Verdict) -> Verdict {
    items.iter().map(test).fold(Verdict::No, Verdict::or)
}

fn any_match(all: &[TextPattern], text: &str) -> bool {
    all.iter().any(|pattern| pattern.matches(text.as_bytes()))
}

fn is_in(all: &[Box<[u8]>], item: &[u8]) -> bool {
    all.iter().any(|known| **known == *item)
}

/// The path in the target of a request: without the query, and without scheme and host.
fn path(target: &[u8]) -> &[u8] {
    let target = match target.windows(3).position(|bytes| bytes == b"://") {
        Some(scheme) if target[..scheme].iter().all(u8::is_ascii_alphanumeric) => {
            let rest = &target[scheme + 3..];
            let path = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
            match path.map(|path| &rest[path..]) {
                Some(path) if path.starts_with(b"/") => path,
                _ => b"/",
            }
        }
        _ => target,
    };
    let end = target.iter().position(|byte| *byte == b'?');
    &target[..end.unwrap_or(target.len())]
}

fn version(version: TlsVersion) -> Version {
    match version {
        TlsVersion::Tls10 => Version::Tls10,
        TlsVersion::Tls11 => Version::Tls11,
        TlsVersion::Tls12 => Version::Tls12,
        TlsVersion::Tls13 => Version::Tls13,
    }
}

fn protocol(protocol: model::Protocol) -> Protocol {
    match protocol {
        model::Protocol::Tls => Protocol::Tls,
        model::Protocol::Http => Protocol::Http,
        model::Protocol::Ssh => Protocol::Ssh,
        model::Protocol::Socks4 => Protocol::Socks4,
        model::Protocol::Socks5 => Protocol::Socks5,
        model::Protocol::Postgres => Protocol::Postgres,
        model::Protocol::Rdp => Protocol::Rdp,
        model::Protocol::Xmpp => Protocol::Xmpp,
        model::Protocol::SmtpClient => Protocol::SmtpClient,
        model::Protocol::Redis => Protocol::Redis,
        model::Protocol::Mqtt => Protocol::Mqtt,
        model::Protocol::Git => Protocol::Git,
        model::Protocol::OpenVpn => Protocol::OpenVpn,
        model::Protocol::Dns => Protocol::Dns,
        model::Protocol::Proxy => Protocol::Proxy,
        model::Protocol::WireGuard => Protocol::WireGuard,
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::Answered;
    use super::*;
    use model::route::pattern::NamePattern;

    fn names(names: &[&str]) -> Vec<NamePattern> {
        names.iter().map(|name| NamePattern::parse(name).expect("a legal name")).collect()
    }

    #[track_caller]
    fn check(when: When, bytes: &[u8], begun: Verdict, all: Verdict) {
        let condition = Condition::new(&when, Of::Tls);
        let around = Around::new(None, &|| None, &|| Moment { weekday: 0, minute: 0 });
        let seen = Seen::of_stream(bytes, Answered::default(), false);
        assert_eq!(condition.test(&around, &seen), begun, "{when:?}");
        let seen = Seen::of_stream(bytes, Answered::default(), true);
        assert_eq!(condition.test(&around, &seen), all, "{when:?}, and nothing more");
    }

    const GET: &[u8] =
        b"GET /a/b?c=/d HTTP/1.1\r\nHost: WWW.example.com:80\r\nUpgrade: websocket\r\n\r\n";

    #[test]
    fn requests() {
        use Verdict::{Maybe, No, Yes};
        let host = |host: &[&str]| When { host: names(host), ..When::default() };
        check(host(&["*.example.com"]), GET, Yes, Yes);
        check(host(&["example.com"]), GET, No, No);
        check(host(&["*"]), &GET[..40], Maybe, No);
        check(host(&["*"]), b"GET / HTTP/1.1\r\n\r\n", No, No);
        let path = |path: &str| {
            let path = vec![TextPattern::parse(path).expect("a legal path")];
            When { path, ..When::default() }
        };
        check(path("/a/*"), GET, Yes, Yes);
        check(path("/a/b"), GET, Yes, Yes);
        check(path("/d"), GET, No, No);
        check(path("/x"), b"GET http://h/x?y HTTP/1.1\r\n\r\n", Yes, Yes);
        check(path("/"), b"GET http://h?/x HTTP/1.1\r\n\r\n", Yes, Yes);
        let field = |text: &str| {
            let header = vec![HeaderPattern::parse(text).expect("a legal field")];
            When { header, ..When::default() }
        };
        check(field("upgrade"), GET, Yes, Yes);
        check(field("Upgrade: web*"), GET, Yes, Yes);
        check(field("Upgrade: WebSocket"), GET, No, No);
        check(When { method: vec!["GET".into()], ..host(&["www.example.com"]) }, GET, Yes, Yes);
        check(When { method: vec!["get".into()], ..When::default() }, GET, No, No);
    }

    #[test]
    fn what_clients_have_proven() {
        let text = |texts: &[&str]| {
            texts.iter().map(|text| TextPattern::parse(text).expect("legal")).collect::<Vec<_>>()
        };
        let names = ["a.example", "spiffe://prod/pay"].map(str::to_owned).to_vec();
        let known = Proven { common_name: "Pay 7".to_owned(), names };
        let nameless = Proven::default();
        let holds = |when: &When, proven: Option<&Proven>| {
            let around = Around::new(None, &|| None, &|| Moment { weekday: 0, minute: 0 });
            let seen = Seen::of_stream(&[], Answered::default(), false);
            Condition::new(when, Of::Tls).test(&Around { proven, ..around }, &seen)
        };
        let cert = |texts: &[&str]| When { client_cert: text(texts), ..When::default() };
        let san = |texts: &[&str]| When { san: text(texts), ..When::default() };
        for (when, expected) in [
            (cert(&["Pay 7"]), [true, false, false]),
            (cert(&["pay 7", "Pay"]), [false, false, false]),
            (cert(&["x", "Pay*"]), [true, false, false]),
            (cert(&["*"]), [true, true, false]),
            (san(&["spiffe://prod/*"]), [true, false, false]),
            (san(&["a.example"]), [true, false, false]),
            (san(&["example"]), [false, false, false]),
            (When { not: vec![cert(&["*"])], ..When::default() }, [false, false, true]),
        ] {
            let found = [Some(&known), Some(&nameless), None].map(|proven| holds(&when, proven));
            assert_eq!(found, expected.map(Verdict::from), "{when:?}");
        }
    }

    #[test]
    fn conditions_within_conditions() {
        use Verdict::{Maybe, No, Yes};
        let speaks = |protocol| When { protocol: vec![protocol], ..When::default() };
        let (ssh, http) = (speaks(model::Protocol::Ssh), speaks(model::Protocol::Http));
        let not = |inner: &[&When]| When {
            not: inner.iter().map(|when| (*when).clone()).collect(),
            ..When::default()
        };
        check(not(&[&ssh]), GET, Yes, Yes);
        check(not(&[&ssh, &http]), GET, No, No);
        check(not(&[&ssh]), b"SS", Maybe, Yes);
        check(not(&[&not(&[&ssh])]), b"SS", Maybe, No);
        let any = When { any: vec![ssh.clone(), http.clone()], ..When::default() };
        check(any.clone(), GET, Yes, Yes);
        check(any, b"\0", No, No);
        check(When { all: vec![ssh, http], ..When::default() }, b"SSH-2.0-x\r\n", No, No);
    }

    #[test]
    fn bytes_and_expressions() {
        use Verdict::{Maybe, No, Yes};
        let prefix = |text: &str| When {
            prefix: vec![Prefix::parse(text).expect("a legal prefix")],
            ..When::default()
        };
        check(prefix("GET"), GET, Yes, Yes);
        check(prefix("GET"), b"GE", Maybe, No);
        check(prefix("hex:00"), GET, No, No);
        let regex = |text: &str| When { regex: vec![text.to_owned()], ..When::default() };
        check(regex(r"GET /\w/"), GET, Yes, Yes);
        check(regex("GET$"), b"GET", Maybe, Yes);
        check(When { ..regex("G.*x") }, b"GET", Maybe, No);
    }

    #[test]
    fn the_user_of_a_session_is_behind_a_refused_request_for_tls() {
        let user = When { user: vec!["alice".into()], ..When::default() };
        let startup = b"\0\0\0\x14\0\x03\0\0user\0alice\0\0";
        check(user.clone(), startup, Verdict::Yes, Verdict::Yes);
        check(user.clone(), &wire::postgres::TLS_REQUEST, Verdict::Maybe, Verdict::No);
        check(When { user: vec!["bob".into()], ..user }, startup, Verdict::No, Verdict::No);
    }

    #[test]
    fn moments() {
        // 1970-01-01 00:00 was a Thursday; 2026-11-21 13:37 a Saturday.
        assert_eq!(Moment::of_seconds(0), Moment { weekday: 3, minute: 0 });
        assert_eq!(Moment::of_seconds(1_795_268_220), Moment { weekday: 5, minute: 817 });
        assert_eq!(Moment::of_seconds(-60), Moment { weekday: 2, minute: 1_439 });
    }
}
