//! Records and notices that the tests of every format show.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::account::{
    Attempt, By, ClientAddress, ConnectFailure, Counts, Datagrams, Event, Queued, Reached, Reason,
    Record, Spoken, TcpFigures,
};
use engine::journal::Notice;
use engine::requests::{Passage, Request};
use relay::Carrier;

use wire::tls::Version;

use super::escape;

/// 2026-07-30T11:50:25.678Z, at which every session here ends, or is looked at.
pub(super) fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_785_412_225_678)
}

/// A session as it should be.
pub(super) fn plain() -> Record {
    let duration = Duration::from_micros(1_204_500);
    Record {
        event: Event::End { reason: Reason::Done, by: By::Client },
        id: 17,
        accepted: moment() - duration,
        listener: "web".into(),
        bind: ":8080".into(),
        target: "10.0.0.11:80".into(),
        client: client("10.0.0.9:51234"),
        sender: None,
        unique_id: None,
        pool: Some("web".into()),
        route: None,
        spoken: Spoken::default(),
        denial: None,
        backend: Some(Reached { backend: "10.0.0.11:80".into(), address: None }),
        bytes_to_backend: 78,
        bytes_to_client: 1_234_567,
        duration,
        connect: Some(Duration::from_micros(412)),
        first_byte: Some(Duration::from_millis(3)),
        queued: None,
        attempts: Vec::new(),
        client_tcp: Some(TcpFigures { rtt_us: 210, retrans: 0 }),
        backend_tcp: Some(TcpFigures { rtt_us: 95, retrans: 2 }),
        relay: Some(Carrier::Ring),
        datagrams: None,
        counts: Some(Counts { process: 4, listener: 3, pool: 2, backend: 1 }),
    }
}

/// The same session, had it not ended by then.
pub(super) fn open() -> Record {
    Record { event: Event::Open, ..plain() }
}

/// A flow.
pub(super) fn flow() -> Record {
    Record {
        id: 20,
        event: Event::End { reason: Reason::Done, by: By::Replug },
        bytes_to_client: 480,
        connect: None,
        client_tcp: None,
        backend_tcp: None,
        relay: None,
        datagrams: Some(Datagrams { to_backend: 2, to_client: 3, lost: 1 }),
        ..plain()
    }
}

/// The same session, had its route shown in a ClientHello.
pub(super) fn sniffed() -> Record {
    let (sni, alpn) = (Some("www.example.com".into()), Some("h2,http/1.1".into()));
    let spoken = Spoken { sni, alpn, tls_version: Some(Version::Tls12), ..Spoken::default() };
    Record { route: Some("2".into()), spoken, ..plain() }
}

/// The same session, had its client signed in.
pub(super) fn signed_in() -> Record {
    Record { spoken: Spoken { user: Some("alice".into()), ..Spoken::default() }, ..plain() }
}

/// The same session, had a proxy brought it.
pub(super) fn brought() -> Record {
    let unique_id = Some(b"c0-5"[..].into());
    Record { sender: Some(client("10.0.0.2:443")), unique_id, ..plain() }
}

/// The same session, had it waited for its place behind seven others.
pub(super) fn waited() -> Record {
    let waited = Some(Duration::from_millis(900));
    Record {
        queued: Some(Queued { ahead: 7, waited }),
        connect: Some(Duration::from_secs(1)),
        ..plain()
    }
}

/// A session that two attempts failed for.
pub(super) fn moved() -> Record {
    let name: Arc<str> = "db.example:5432".into();
    let duration = Duration::from_secs(5);
    let address = |text: &str| Some(text.parse().expect("an address"));
    Record {
        event: Event::End { reason: Reason::BackendReset, by: By::Backend },
        id: 18,
        accepted: moment() - duration,
        client: client("[2001:db8::9]:51234"),
        backend: Some(Reached { backend: Arc::clone(&name), address: address("10.0.0.5:5432") }),
        bytes_to_backend: 0,
        bytes_to_client: 0,
        duration,
        connect: Some(duration),
        first_byte: None,
        attempts: vec![
            Attempt {
                backend: "10.0.0.11:80".into(),
                is_original: false,
                address: None,
                took: Duration::from_micros(80),
                failure: ConnectFailure::Refused,
                phrase: None,
            },
            Attempt {
                backend: name,
                is_original: false,
                address: address("10.0.0.4:5432"),
                took: Duration::from_millis(4_999),
                failure: ConnectFailure::Timeout,
                phrase: None,
            },
        ],
        client_tcp: None,
        backend_tcp: Some(TcpFigures { rtt_us: 95, retrans: 0 }),
        relay: Some(Carrier::Both),
        ..plain()
    }
}

/// A session that ended before it was routed.
pub(super) fn denied() -> Record {
    Record {
        event: Event::End { reason: Reason::Denied, by: By::Replug },
        id: 19,
        accepted: moment(),
        client: ClientAddress::Unix,
        pool: None,
        backend: None,
        bytes_to_backend: 0,
        bytes_to_client: 0,
        duration: Duration::ZERO,
        connect: None,
        first_byte: None,
        client_tcp: None,
        backend_tcp: None,
        relay: None,
        ..plain()
    }
}

/// A session with hostile text wherever there is text.
pub(super) fn hostile() -> Record {
    let hostile: Arc<str> = escape::tests::HOSTILE.into();
    Record {
        listener: Arc::clone(&hostile),
        pool: Some(Arc::clone(&hostile)),
        spoken: Spoken {
            sni: Some(Arc::clone(&hostile)),
            alpn: Some(Arc::clone(&hostile)),
            tls_version: None,
            client_cert: Some(Arc::clone(&hostile)),
            user: Some(Arc::clone(&hostile)),
        },
        unique_id: Some([escape::tests::HOSTILE.as_bytes(), b"\xff\0"].concat().into()),
        backend: Some(Reached { backend: Arc::clone(&hostile), address: None }),
        attempts: vec![Attempt {
            backend: hostile,
            is_original: false,
            address: None,
            took: Duration::ZERO,
            failure: ConnectFailure::Refused,
            phrase: None,
        }],
        ..plain()
    }
}

/// A request.
pub(super) fn request() -> Request {
    Request {
        at: moment(),
        id: 17,
        listener: "web".into(),
        client: client("10.0.0.9:51234"),
        number: 2,
        method: "GET".into(),
        url: "http://www.example.com/a".into(),
        passage: Passage::Named,
    }
}

/// A request with hostile text wherever there is text.
pub(super) fn hostile_request() -> Request {
    let hostile = escape::tests::HOSTILE;
    Request { listener: hostile.into(), method: hostile.into(), url: hostile.into(), ..request() }
}

/// A notice with hostile text.
pub(super) fn hostile_notice() -> Notice {
    Notice::BackendDown {
        pool: escape::tests::HOSTILE.into(),
        backend: escape::tests::HOSTILE.into(),
        failure: ConnectFailure::Refused,
        retry: Duration::from_secs(10),
    }
}

/// A notice of level warning.
pub(super) fn warning() -> Notice {
    Notice::BackendDown {
        pool: "web".into(),
        backend: "10.0.0.11:80".into(),
        failure: ConnectFailure::Refused,
        retry: Duration::from_secs(10),
    }
}

fn client(text: &str) -> ClientAddress {
    ClientAddress::Ip(text.parse().expect("an address"))
}
