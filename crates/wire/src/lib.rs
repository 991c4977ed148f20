//! Byte formats that peers speak before bytes are merely carried.
//!
//! - [`basic`]: signing in at an HTTP proxy;
//! - [`connect`]: HTTP `CONNECT`, the way through an HTTP proxy;
//! - [`ftp`]: what the control connection of FTP says about data connections;
//! - [`git`]: the request of a client of `git://`;
//! - [`http`]: requests of HTTP/1.x, as clients send them;
//! - [`mavis`]: questions to programs that decide which clients may come, and their answers;
//! - [`mqtt`]: the first message of an MQTT client;
//! - [`pattern`]: regular expressions over the beginning of a stream;
//! - [`postgres`]: the first message of a PostgreSQL client;
//! - [`protocol`]: which protocol first bytes belong to;
//! - [`proxy_header`]: whose connection a proxy hands on, by the PROXY protocol;
//! - [`ruby`]: questions to workers that run Ruby files, and their answers;
//! - [`resp`]: commands and replies of Redis;
//! - [`socks`]: asking a proxy by SOCKS 4, 4A and 5, and being asked;
//! - [`ssh`]: what an SSH client says it is;
//! - [`starttls`]: what is said in the clear until TLS begins;
//! - [`tls`]: the ClientHello, with the name and the protocols it asks for.
//!
//! A reader is given all that has come so far, from the first byte on, and says in a [`Parse`]
//! whether it is whole, begins well, or is something else. It keeps nothing between calls, so
//! whoever holds the bytes decides how many there may be and how long they may take.
//!
//! Absent on purpose: sockets, clocks, allocation that grows with what a peer sends.

pub mod basic;
pub mod connect;
pub mod ftp;
pub mod git;
pub mod http;
mod line;
pub mod mavis;
pub mod mqtt;
pub mod pattern;
pub mod postgres;
pub mod protocol;
pub mod proxy_header;
pub mod resp;
pub mod ruby;
pub mod socks;
pub mod ssh;
pub mod starttls;
pub mod tls;

/// What the bytes so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse<T, F> {
    /// All there is to read; the bytes from `length` on are what follows it.
    Whole {
        /// What was read.
        value: T,
        /// How many bytes it takes.
        length: usize,
    },
    /// A good beginning: more has to come.
    Partial,
    /// Something else, whatever may still come.
    Foreign(F),
}

/// What can be said of something that has only begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is so, whatever may still come.
    Yes,
    /// It may be: more has to come.
    Maybe,
    /// It is not, whatever may still come.
    No,
}

impl Verdict {
    /// Whether either is so.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Maybe, _) | (_, Self::Maybe) => Self::Maybe,
            (Self::No, Self::No) => Self::No,
        }
    }

    /// Whether both are so.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Maybe, _) | (_, Self::Maybe) => Self::Maybe,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

impl std::ops::Not for Verdict {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::Maybe => Self::Maybe,
            Self::No => Self::Yes,
        }
    }
}

impl From<bool> for Verdict {
    fn from(is_so: bool) -> Self {
        match is_so {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

/// Whether `bytes` begin with `known`.
fn begins_with(bytes: &[u8], known: &[u8]) -> Verdict {
    let begun = bytes.len().min(known.len());
    match (bytes[..begun] == known[..begun], begun == known.len()) {
        (true, true) => Verdict::Yes,
        (true, false) => Verdict::Maybe,
        (false, _) => Verdict::No,
    }
}
