//! What the first bytes of a client show, read when somebody asks and at most once.

use std::cell::OnceCell;

use wire::git;
use wire::http::{Request, read_request};
use wire::postgres::{self, First, Startup, read_first};
use wire::protocol::Carrier;
use wire::tls::{ClientHello, read_client_hello};
use wire::{Parse, Verdict};

/// A part of what a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part<T> {
    /// It is there.
    Known(T),
    /// It may still come.
    Awaited,
    /// It is not there, and will not be.
    Absent,
}

impl<T> Part<T> {
    fn of<F>(parse: Parse<T, F>, is_all: bool) -> Self {
        match parse {
            Parse::Whole { value, .. } => Self::Known(value),
            Parse::Partial if !is_all => Self::Awaited,
            Parse::Partial | Parse::Foreign(_) => Self::Absent,
        }
    }

    /// Whether it is there and `holds`.
    pub(crate) fn is(&self, holds: impl FnOnce(&T) -> bool) -> Verdict {
        match self {
            Self::Known(value) => holds(value).into(),
            Self::Awaited => Verdict::Maybe,
            Self::Absent => Verdict::No,
        }
    }
}

/// How requests for encryption were answered that a PostgreSQL client has begun with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    /// Bytes that these requests take.
    pub(crate) bytes: usize,
    /// Whether the client was told to go on with TLS.
    pub(crate) is_tls: bool,
}

/// The first bytes of a client.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    /// All that has come, requests that were answered included.
    pub(crate) bytes: &'a [u8],
    pub(crate) carrier: Carrier,
    /// Whether nothing more will be looked at.
    pub(crate) is_all: bool,
    answered: Answered,
    hello: OnceCell<Part<ClientHello>>,
    request: OnceCell<Part<Request<'a>>>,
    startup: OnceCell<Part<Startup<'a>>>,
}

impl<'a> Seen<'a> {
    /// The beginning of a stream.
    pub(crate) fn of_stream(bytes: &'a [u8], answered: Answered, is_all: bool) -> Self {
        Self {
            bytes,
            carrier: Carrier::Stream,
            is_all,
            answered,
            hello: OnceCell::new(),
            request: OnceCell::new(),
            startup: OnceCell::new(),
        }
    }

    /// The same of a client whose ClientHello is known otherwise, if it is.
    pub(crate) fn with_hello(mut self, hello: Option<&ClientHello>) -> Self {
        if let Some(hello) = hello {
            self.hello = OnceCell::from(Part::Known(hello.clone()));
        }
        self
    }

    /// The first datagram of a flow.
    pub(crate) fn of_datagram(bytes: &'a [u8]) -> Self {
        let seen = Self::of_stream(bytes, Answered::default(), true);
        Self { carrier: Carrier::Datagram, ..seen }
    }

    /// The ClientHello that a client begins with, or what has come of it.
    pub(crate) fn hello(&self) -> &Part<ClientHello> {
        match self.answered.bytes {
            0 => self.read_hello(),
            _ => &Part::Absent,
        }
    }

    /// The same, or the one of a PostgreSQL client behind its request for TLS.
    pub(crate) fn hello_of_postgres(&self) -> &Part<ClientHello> {
        match self.answered {
            Answered { bytes: 1.., is_tls: false } => &Part::Absent,
            _ if self.unanswered().is_some() => self.awaited(),
            _ => self.read_hello(),
        }
    }

    fn read_hello(&self) -> &Part<ClientHello> {
        self.hello.get_or_init(|| Part::of(read_client_hello(self.rest()), self.is_all))
    }

    fn awaited<T>(&self) -> &'static Part<T> {
        if self.is_all { &Part::Absent } else { &Part::Awaited }
    }

    /// The HTTP request that a client begins with.
    pub(crate) fn request(&self) -> &Part<Request<'a>> {
        self.request.get_or_init(|| Part::of(read_request(self.bytes), self.is_all))
    }

    /// The start of a PostgreSQL session in plain text.
    pub(crate) fn startup(&self) -> &Part<Startup<'a>> {
        if self.answered.is_tls {
            return &Part::Absent;
        }
        if self.unanswered().is_some() {
            return self.awaited();
        }
        self.startup.get_or_init(|| match Part::of(read_first(self.rest()), self.is_all) {
            Part::Known(First::Startup(startup)) => Part::Known(startup),
            Part::Awaited => Part::Awaited,
            Part::Known(_) | Part::Absent => Part::Absent,
        })
    }

    /// The repository that a request of `git://` is about.
    pub(crate) fn repository(&self) -> Part<&'a [u8]> {
        match Part::of(git::read_request(self.bytes), self.is_all) {
            Part::Known(git::Request { repository }) => Part::Known(repository),
            Part::Awaited => Part::Awaited,
            Part::Absent => Part::Absent,
        }
    }

    /// A request for encryption by a PostgreSQL client, which says nothing more until it is
    /// answered. `None`, too, if it has said more: then an answer would not be to all of it.
    pub(crate) fn unanswered(&self) -> Option<First<'static>> {
        if self.answered.is_tls || self.answered.bytes >= ANSWERS_MAX * REQUEST_BYTES {
            return None;
        }
        match read_first(self.rest()) {
            Parse::Whole { value: First::TlsRequest, length } if length == self.rest().len() => {
                Some(First::TlsRequest)
            }
            Parse::Whole { value: First::GssRequest, length } if length == self.rest().len() => {
                Some(First::GssRequest)
            }
            _ => None,
        }
    }

    /// What has come behind the requests that were answered.
    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.answered.bytes..]
    }
}

/// Requests for encryption that are answered: one for GSSAPI, one for TLS.
const ANSWERS_MAX: usize = 2;

/// Length of each.
pub(crate) const REQUEST_BYTES: usize = postgres::TLS_REQUEST.len();

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(bytes: &[u8], answered: Answered) -> Seen<'_> {
        Seen::of_stream(bytes, answered, false)
    }

    const STARTUP: &[u8] = b"\0\0\0\x14\0\x03\0\0user\0alice\0\0";

    #[test]
    fn a_request_for_tls_waits_for_its_answer() {
        let request = postgres::TLS_REQUEST;
        let asked = seen(&request, Answered::default());
        assert_eq!(asked.unanswered(), Some(First::TlsRequest));
        assert_eq!(asked.startup(), &Part::Awaited);
        assert_eq!(asked.hello(), &Part::Absent, "that is no TLS");
        let asked = seen(&request, Answered::default());
        assert_eq!(asked.hello_of_postgres(), &Part::Awaited);

        let more = [&request[..], STARTUP].concat();
        let early = seen(&more, Answered::default());
        assert_eq!(early.unanswered(), None, "it did not wait");
        assert_eq!(early.startup(), &Part::Absent);

        let refused = Answered { bytes: REQUEST_BYTES, is_tls: false };
        let plain = seen(&more, refused);
        let user = plain.startup().is(|startup| startup.user() == Some(b"alice"));
        assert_eq!(user, Verdict::Yes);
        assert_eq!(plain.hello_of_postgres(), &Part::Absent);

        let accepted = Answered { bytes: REQUEST_BYTES, is_tls: true };
        let hello = [&request[..], &[0x16, 3, 1]].concat();
        let tls = seen(&hello, accepted);
        assert_eq!(tls.hello_of_postgres(), &Part::Awaited);
        assert_eq!(tls.startup(), &Part::Absent);
        let broken = [&request[..], b"x"].concat();
        assert_eq!(seen(&broken, accepted).hello_of_postgres(), &Part::Absent);
    }

    #[test]
    fn answers_have_an_end() {
        let requests = [postgres::TLS_REQUEST; 3].concat();
        let twice = Answered { bytes: 2 * REQUEST_BYTES, is_tls: false };
        assert_eq!(seen(&requests, twice).unanswered(), None);
        let once = Answered { bytes: REQUEST_BYTES, is_tls: false };
        assert_eq!(seen(&requests[..16], once).unanswered(), Some(First::TlsRequest));
    }

    #[test]
    fn nothing_is_awaited_when_that_was_all() {
        let all = Seen::of_stream(&postgres::TLS_REQUEST, Answered::default(), true);
        assert_eq!(all.startup(), &Part::Absent);
        assert_eq!(all.hello_of_postgres(), &Part::Absent);
        assert_eq!(Seen::of_stream(b"GET / ", Answered::default(), true).request(), &Part::Absent);
        assert_eq!(seen(b"GET / ", Answered::default()).request(), &Part::Awaited);
    }
}
