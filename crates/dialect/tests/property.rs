//! What holds for any input, tried with a fixed number of seeded cases.
//!
//! The statements themselves are in `property/`; `fuzz/` tries the same ones
//! with inputs that look for new paths. A failure prints the input and its seed.

#[path = "property/address.rs"]
mod address;
#[path = "property/duration.rs"]
mod duration;
#[path = "property/quick.rs"]
mod quick;

use proptest::prelude::*;

/// Text made of the pieces that the readers look for.
fn pieces(of: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(proptest::sample::select(of), 0..12)
        .prop_map(|pieces| pieces.concat().into_bytes())
}

/// Pieces of addresses and durations.
const ADDRESS: &[&str] = &[
    "[",
    "]",
    ":",
    "::",
    "1",
    "80",
    "65536",
    ".",
    "10.0.0.1",
    "2001:db8::1",
    "a",
    "é",
    "-",
    "/",
    "unix:",
    "@",
    "*",
    "http://",
    "%",
    "0",
    "s",
    "ms",
    "h",
    "d",
    "99999999999999999999",
    " ",
    ",",
];

/// Pieces of command lines; words end with a zero byte.
const LINE: &[&str] = &[
    "\0",
    "\0",
    "\0",
    "--",
    "-",
    "--idle",
    "--sticky",
    "--balance",
    "least-sessions",
    "--log-to",
    "--allow",
    "--log",
    "-nvq",
    "=",
    "8080",
    ":",
    "10.0.0.1:80",
    "[::1]:80",
    "::1:80",
    "/",
    "eth0",
    "unix:",
    "web.example",
    " weight=",
    " max=",
    " backup",
    "2",
    "30",
    "s",
    "json",
    ",",
    "'",
    "\n",
    "—",
    "\u{202e}",
    "é",
    "syslog",
    "10.0.0.5/8",
    "http://",
    "demp",
    "--user",
    "--keepalive",
    "--max",
    "0",
];

proptest! {
    #[test]
    fn quick_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        quick::holds(&data);
    }

    #[test]
    fn quick_of_pieces(data in pieces(LINE)) {
        quick::holds(&data);
    }

    #[test]
    fn address_of_pieces(data in pieces(ADDRESS)) {
        address::holds(&data);
    }

    #[test]
    fn duration_of_pieces(data in pieces(ADDRESS)) {
        duration::holds(&data);
    }
}
