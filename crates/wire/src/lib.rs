//! Byte formats that peers speak before bytes are merely carried.
//!
//! - [`connect`]: HTTP `CONNECT`, the way through an HTTP proxy;
//! - [`ftp`]: what the control connection of FTP says about data connections;
//! - [`http`]: requests of HTTP/1.x, as clients send them;
//! - [`mavis`]: questions to programs that decide which clients may come, and their answers.
//!
//! A reader is given all that has come so far, from the first byte on, and says in a [`Parse`]
//! whether it is whole, begins well, or is something else. It keeps nothing between calls, so
//! whoever holds the bytes decides how many there may be and how long they may take.
//!
//! Absent on purpose: sockets, clocks, allocation that grows with what a peer sends.

pub mod connect;
pub mod ftp;
pub mod http;
pub mod mavis;

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
