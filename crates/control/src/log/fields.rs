//! The fields of a session's record, in their order: the one list that `json`, `logfmt` and
//! `journald` are made of.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use engine::account::{Attempt, Datagrams, Event, Record, TcpFigures};
use engine::requests::Request;

use super::{at, escape, millis};

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// Not known, or there is none.
    Unknown,
    /// A moment.
    Time(SystemTime),
    /// One of a few words of ours: holds nothing that any format would escape.
    Word(&'static str),
    /// Text that others may have had a hand in.
    Text(&'a str),
    /// A count.
    Number(u64),
    /// A duration in milliseconds, with at most three decimals.
    Millis(Duration),
    /// An address and a port.
    Address(SocketAddr),
    /// The attempts that failed, in order.
    Attempts(&'a [Attempt]),
    /// A figure for each side of the session.
    Sides {
        /// Of the client's connection.
        client: Option<u32>,
        /// Of the backend's.
        backend: Option<u32>,
    },
}

/// Takes a field with its name.
pub(super) type Field<'a> = &'a mut dyn FnMut(&'static str, Value<'_>);

/// Hands over each field of a request with its name.
pub(super) fn request(request: &Request, field: Field<'_>) {
    field("ts", Value::Time(request.at));
    field("id", Value::Number(request.id));
    field("event", Value::Word("request"));
    field("listener", Value::Text(&request.listener));
    field("client", Value::Text(&request.client.to_string()));
    field("number", Value::Number(request.number));
    field("method", Value::Text(&request.method));
    field("url", Value::Text(&request.url));
    field("passage", Value::Word(request.passage.as_str()));
}

/// Hands over each field with its name. All records have the same fields, but for
/// `backend_address`, which only those have whose backend is a name, `sender` and `unique_id` of
/// sessions that proxies know, `tls_version` and `client_cert` of those in TLS, `user` of those whose
/// client has signed in, and the datagrams of flows.
pub(super) fn each(record: &Record, field: Field<'_>) {
    let time = |time: Option<Duration>| time.map_or(Value::Unknown, Value::Millis);
    let (reason, side) = match record.event {
        Event::Start | Event::Open => (Value::Unknown, Value::Unknown),
        Event::End { reason, by } => (Value::Word(reason.as_str()), Value::Word(by.as_str())),
    };
    let sides = |figure: fn(TcpFigures) -> u32| Value::Sides {
        client: record.client_tcp.map(figure),
        backend: record.backend_tcp.map(figure),
    };
    let backend = record.backend.as_ref();
    field("ts", Value::Time(at(record)));
    field("id", Value::Number(record.id));
    field("event", Value::Word(record.event.as_str()));
    field("listener", Value::Text(&record.listener));
    field("client", Value::Text(&record.client.to_string()));
    if let Some(sender) = record.sender {
        field("sender", Value::Text(&sender.to_string()));
    }
    if let Some(unique_id) = &record.unique_id {
        field("unique_id", Value::Text(&escape::readable(unique_id)));
    }
    field("backend", text(backend.map(|reached| &*reached.backend)));
    if let Some(address) = backend.and_then(|reached| reached.address) {
        field("backend_address", Value::Address(address));
    }
    field("pool", text(record.pool.as_deref()));
    field("route", text(record.route.as_deref()));
    field("sni", text(record.spoken.sni.as_deref()));
    field("alpn", text(record.spoken.alpn.as_deref()));
    if let Some(version) = record.spoken.tls_version {
        field("tls_version", Value::Word(version.as_str()));
    }
    if let Some(name) = &record.spoken.client_cert {
        field("client_cert", Value::Text(name));
    }
    if let Some(user) = &record.spoken.user {
        field("user", Value::Text(user));
    }
    field("bytes_to_backend", Value::Number(record.bytes_to_backend));
    field("bytes_to_client", Value::Number(record.bytes_to_client));
    if let Some(Datagrams { to_backend, to_client, lost }) = record.datagrams {
        field("datagrams_to_backend", Value::Number(to_backend));
        field("datagrams_to_client", Value::Number(to_client));
        field("datagrams_lost", Value::Number(lost));
    }
    field("duration_ms", Value::Millis(record.duration));
    field("queue_ms", time(record.queued.and_then(|queued| queued.waited)));
    field("connect_ms", time(record.connect));
    field("first_byte_ms", time(record.first_byte));
    field("attempts", Value::Attempts(&record.attempts));
    field("reason", reason);
    field("code", Value::Word(record.code()));
    field("side", side);
    field("tcp_rtt_us", sides(|figures| figures.rtt_us));
    field("retrans", sides(|figures| figures.retrans));
    field("relay", record.relay.map_or(Value::Unknown, |relay| Value::Word(relay.as_str())));
}

fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Unknown, Value::Text)
}

/// The attempts as one text: `BACKEND [(ADDRESS)] FAILURE MSms; ...`.
pub(super) fn attempts(attempts: &[Attempt]) -> String {
    let one = |attempt: &Attempt| {
        let address = attempt.address.map(|address| format!(" ({address})"));
        format!(
            "{}{} {} {}ms",
            attempt.backend,
            address.unwrap_or_default(),
            attempt.failure.as_str(),
            millis(attempt.took)
        )
    };
    attempts.iter().map(one).collect::<Vec<_>>().join("; ")
}
