//! What holds for any input, tried with a fixed number of seeded cases.
//!
//! The statements themselves are in `property/`; `fuzz/` tries the same ones
//! with inputs that look for new paths. A failure prints the input and its seed.

#[path = "property/address.rs"]
mod address;
#[path = "property/config.rs"]
mod config;
#[path = "property/duration.rs"]
mod duration;
#[path = "property/format.rs"]
mod format;
#[path = "property/native.rs"]
mod native_text;
#[path = "property/order.rs"]
mod order;
#[path = "property/plug.rs"]
mod plug;
#[path = "property/proxymachine.rs"]
mod proxymachine;
#[path = "property/quick.rs"]
mod quick;
#[path = "property/redir.rs"]
mod redir;
#[path = "property/rinetd.rs"]
mod rinetd;
#[path = "property/shown.rs"]
mod shown;
#[path = "property/tcprelay.rs"]
mod tcprelay;
#[path = "property/tproxy.rs"]
mod tproxy;
#[path = "property/words.rs"]
mod words;

use dialect::native;
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
    "udp://",
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

/// Pieces of proxymachine's command lines; words end with a zero byte.
const PROXYMACHINE: &[&str] = &[
    "-c",
    "-h",
    "-p",
    "-v",
    "-x",
    "\0",
    "\0",
    "\0",
    "--config",
    "--host=",
    "--po",
    "--he",
    "--",
    "--workers",
    "--compat",
    "--explain",
    "=",
    "route.rb",
    "/a/b.lua",
    "80",
    "0",
    "70000",
    "::1",
    "[",
    "]",
    "1.2.4",
    "localhost",
    "10.0.0.1",
    "ä",
];

/// Pieces of tproxy's command lines; words end with a zero byte.
const TPROXY: &[&str] = &[
    "-s",
    "8080",
    "\0",
    "-s8080\0",
    "-d\0",
    "-t\0",
    "-p\0",
    "-f",
    "http://a/",
    "-b",
    "10.0.0.1",
    "-r",
    "nobody\0",
    "#1",
    "-a",
    "10.1/16\0",
    "10.0.0.0\0",
    "192.168.1.7\0",
    "-l",
    "/a/log\0",
    "log\0",
    "-P",
    "syslog://x\0",
    "cache.example\0",
    "3128\0",
    "squid\0",
    "localhost\0",
    "--\0",
    "--explain\0",
    "::1\0",
    "40000\0",
    "é",
    "-",
    "/",
    "'",
    "256",
];

/// Pieces of redir's command lines; words end with a zero byte.
const REDIR: &[&str] = &[
    "\0",
    "\0:8080\0",
    "\0",
    "10.0.0.1:80\0",
    "\0[::1]:81\0",
    "8080\0",
    "\0gate\0",
    "\0--lport=8080\0",
    "\0--cport=http\0",
    "\0--caddr\0gate\0",
    "\0-l\0",
    "\0-nsi\0",
    "\0-n\0",
    "\0-f\0pasv\0",
    "\0--ftp=both\0",
    "\0-x\0a.example:443\0",
    "\0-p\0",
    "\0-b\0",
    "127.1\0",
    "\0-m65536\0",
    "\0-w\0",
    "50\0",
    "\0-o1\0",
    "\0-z\0",
    "\0-t\0",
    "\0-I\0",
    "\0--bi\0",
    "\0--l\0",
    "\0--\0",
    "7",
    "é",
    "99999999999",
];

/// Pieces of plug's command lines; words end with a zero byte.
const PLUG: &[&str] = &[
    "\0",
    "\0",
    "\0",
    "-",
    "--",
    "-V",
    "-nkl",
    "-dd",
    "-s",
    "-fo",
    "-i",
    "-p",
    "-P",
    "-h",
    "-t",
    "-r",
    "-a",
    "-S",
    "-x",
    "--names",
    "--no-retry",
    "--explain",
    "8080",
    "0",
    "65536",
    "010",
    "0x7f",
    ".1",
    ":",
    ":80",
    "10.0.0.1",
    "10.0.0.1:80",
    "127.1",
    "[::1]:80",
    "::1",
    "web.example:80",
    "/8",
    "/0",
    "/33",
    "/abc",
    "5",
    "99999999999999999999",
    "\n",
    "'",
    "é",
    "\u{202e}",
];

/// Pieces of native TOML.
const TOML: &[&str] = &[
    "\n",
    "\n",
    "\n",
    "[listener.web]",
    "[listener.pg]",
    "[pool.pg]",
    "[pool.web]",
    "[[listener]]",
    "[limits]",
    "[log]",
    "[runtime]",
    "bind",
    "to",
    "pool",
    "backends",
    "allow",
    "deny",
    "balance",
    "sticky",
    "source",
    "timeouts",
    "tcp",
    "retry_down",
    "sessions",
    "format",
    "shards",
    " = ",
    " = ",
    "\"",
    "\"\"\"",
    "'",
    ":8080",
    "5000-5003",
    "10.0.0.1:80",
    "\"pg\"",
    "\":8080\"",
    "\"10.0.0.1:80\"",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "30",
    "\"30s\"",
    "-1",
    "1.5",
    "true",
    "2026-11-20",
    "${A}",
    "${",
    "$${",
    "\\u001b",
    "\\",
    "\u{202e}",
    "\r",
    "é",
    "#",
    "first",
    "\0",
];

/// Pieces of configurations of tcprelay; whole sections too, so that some are sound.
const TCPRELAY: &[&str] = &[
    "id = spawnd {",
    "id = spawnd { listen = { port = 8080",
    "id = tcprelay {",
    "id = tcprelay { remote = { address = 10.0.0.1 port = 80",
    "}",
    "} }",
    "}}\n",
    "{",
    " = ",
    "\n",
    " ",
    ",",
    "listen",
    "spawn {",
    "remote = {",
    "address",
    "port",
    "weight = 900",
    "weight = 7",
    "users max = 0x10",
    "instances max = 4g",
    "permit ",
    "deny not ",
    "10.0.0.0/8 ",
    "::ffff:10.0.0.0/104 ",
    "idle timeout = 70000000",
    "tcp keepalive idle = 100000 ",
    "tcp keepalive count = 4g ",
    "sticky cache period = 3",
    "syslog facility",
    "local address = ::1",
    "overload = close",
    "debug = ALL",
    "alias a { a b }",
    "alias b { remote }",
    " a ",
    " b ",
    "include b",
    "setenv x ",
    "\"",
    "'",
    "\"${A}\"",
    "\\",
    "\\0",
    "\\777",
    "http",
    "[",
    "&&",
    "!",
    "#",
    "\r",
    "\u{202e}",
    "é",
    "\0",
    "/x",
    "tls",
    "mavis module = external {",
    "mavis module = external-mt { exec = /bin/check \"a\" b }",
    "exec = /bin/check \"\\0\" c",
    "childs min = 2",
    "childs max = 3",
    "setenv A = \"${A}\"",
    "userid = nobody",
    "realm = lab",
    "background = yes",
];

/// Pieces of configurations of rinetd; whole rules too, so that some are sound.
const RINETD: &[&str] = &[
    "\n",
    "\n",
    "\n",
    "\r\n",
    "\n0 80 10.0.0.1 80\n",
    "\n:: 80 www.example 81 ",
    "\n0 53/udp 10.0.0.1 53/udp ",
    "\nfe80::1%eth0 80 unix:@a ",
    "\nunix:/run/a[]b 10.0.0.1 80 ",
    "\nlocalhost 80 10.0.0.1 80",
    "\nlogfile ",
    "\npidlogfile ",
    "\nlogcommon",
    "\nallow ",
    "\ndeny ",
    "\ninclude ",
    "\nbuffersize 1",
    "\ndns-refresh 1",
    "[timeout=5]",
    "[src=127.0.0.7]",
    "[ src = ::1 , timeout = 0 ]",
    "[keepalive=off,dns-refresh=1,connect-timeout=2]",
    "[",
    "]",
    ",",
    "mode=0660",
    "0",
    "*",
    "?",
    "127.*.2",
    "127.0.0.",
    "::ffff:1.2.3.4",
    "::ffff:",
    "10.0.0.0/8",
    "/33",
    "/udp",
    "/tcp",
    "/x",
    "80",
    "http",
    "70000",
    "a",
    "A.example.",
    "localhost",
    "nowhere",
    "-",
    "syslog",
    "/a://:///b",
    "${A}",
    "#",
    "\"",
    "'",
    " ",
    "\t",
    "%",
    "[::1]",
    "unix:",
    "\u{202e}",
    "\u{a0}",
    "é",
    "\0",
    "\r",
];

proptest! {
    #[test]
    fn rinetd_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        rinetd::holds(&data);
    }

    #[test]
    fn rinetd_of_pieces(
        data in proptest::collection::vec(proptest::sample::select(RINETD), 0..40),
    ) {
        rinetd::holds(data.concat().as_bytes());
    }

    /// A few lines at most, so that many are sound.
    #[test]
    fn rinetd_of_few_pieces(
        data in proptest::collection::vec(proptest::sample::select(RINETD), 0..5),
    ) {
        rinetd::holds(format!("0 80 10.0.0.1 80\n{}", data.concat()).as_bytes());
    }

    #[test]
    fn tcprelay_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        tcprelay::holds(&data);
    }

    #[test]
    fn tcprelay_of_pieces(
        data in proptest::collection::vec(proptest::sample::select(TCPRELAY), 0..40),
    ) {
        tcprelay::holds(data.concat().as_bytes());
    }

    /// Sound but for what chance puts into the sections.
    #[test]
    fn tcprelay_of_pieces_in_sections(
        listen in proptest::collection::vec(proptest::sample::select(TCPRELAY), 0..4),
        relay in proptest::collection::vec(proptest::sample::select(TCPRELAY), 0..4),
    ) {
        let (listen, relay) = (listen.concat(), relay.concat());
        tcprelay::holds(format!(
            "id = spawnd {{ listen = {{ port = 8080 }}\n{listen} }}\n\
             id = tcprelay {{ remote = {{ address = 10.0.0.1 port = 80 }}\n{relay} }}"
        ).as_bytes());
    }

    #[test]
    fn native_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        native_text::holds(&data);
    }

    #[test]
    fn native_of_pieces(data in proptest::collection::vec(proptest::sample::select(TOML), 0..40)) {
        native_text::holds(data.concat().as_bytes());
    }

    #[test]
    fn format_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        format::holds(&data);
    }

    #[test]
    fn format_of_pieces(data in proptest::collection::vec(proptest::sample::select(TOML), 0..40)) {
        format::holds(data.concat().as_bytes());
    }

    #[test]
    fn format_of_files(text in order::any()) {
        format::holds(text.as_bytes());
    }

    #[test]
    fn format_of_what_is_written(config in config::any()) {
        order::is_kept(&native::write(&config));
        order::is_kept(&native::write_effective(&config));
    }

    #[test]
    fn what_is_written_reads_back(config in config::any()) {
        config::reads_back(&config);
    }

    #[test]
    fn quick_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        quick::holds(&data);
    }

    #[test]
    fn quick_of_pieces(data in pieces(LINE)) {
        quick::holds(&data);
    }

    #[test]
    fn proxymachine_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        proxymachine::holds(&data);
    }

    #[test]
    fn proxymachine_of_pieces(
        data in proptest::collection::vec(proptest::sample::select(PROXYMACHINE), 0..24),
    ) {
        proxymachine::holds(data.concat().as_bytes());
    }

    #[test]
    fn tproxy_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        tproxy::holds(&data);
    }

    #[test]
    fn tproxy_of_pieces(data in proptest::collection::vec(proptest::sample::select(TPROXY), 0..24)) {
        tproxy::holds(data.concat().as_bytes());
    }

    #[test]
    fn plug_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        plug::holds(&data);
    }

    #[test]
    fn plug_of_pieces(data in proptest::collection::vec(proptest::sample::select(PLUG), 0..24)) {
        plug::holds(data.concat().as_bytes());
    }

    #[test]
    fn redir_of_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        redir::holds(&data);
    }

    #[test]
    fn redir_of_pieces(data in proptest::collection::vec(proptest::sample::select(REDIR), 0..16)) {
        redir::holds(data.concat().as_bytes());
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
