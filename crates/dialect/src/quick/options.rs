//! The options of the quick command line, as data.
//!
//! Reading, `--help` and completions are all made from [`OPTIONS`]; an option
//! is described here and nowhere else. A letter that means something in `plug`
//! means the same here or nothing at all (`-n` apart: there it keeps `plug` in
//! the foreground, where replug is anyway).

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Which one it is.
    pub id: Id,
    /// Its name, without the dashes.
    pub long: &'static str,
    /// Its letter.
    pub short: Option<char>,
    /// What may follow it.
    pub takes: Takes,
    /// Under which heading it is listed.
    pub group: Group,
    /// What it does, in one line; what holds without it in brackets.
    pub help: &'static str,
}

/// What may follow an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// A value.
    Value {
        /// What the help calls it.
        name: &'static str,
        /// One that is right.
        example: &'static str,
    },
    /// A value, but only behind `=`.
    ValueOrNothing {
        /// What the help calls it.
        name: &'static str,
    },
}

/// The headings of the help, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Which target a session goes to.
    Balancing,
    /// Which clients may come.
    Access,
    /// How long things may take.
    Time,
    /// How much at a time.
    Limits,
    /// Options of sockets.
    Sockets,
    /// How targets are named, and how bytes are moved.
    Data,
    /// What is written down.
    Log,
    /// The process itself.
    Process,
}

impl Group {
    /// The heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Balancing => "Balancing",
            Self::Access => "Access",
            Self::Time => "Time (30s, 5m, 1h30m)",
            Self::Limits => "Limits (rates: 20/s, 100/m, 1000/h)",
            Self::Sockets => "Sockets, to clients and to targets",
            Self::Data => "Names and data",
            Self::Log => "Log",
            Self::Process => "Process",
        }
    }
}

/// Names an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is described by its entry in OPTIONS")]
pub enum Id {
    Balance,
    First,
    Sticky,
    Retry,
    SlowStart,
    Allow,
    Deny,
    ConnectTimeout,
    Idle,
    HalfClosed,
    Lifetime,
    Keepalive,
    Max,
    MaxPerClient,
    Rate,
    RatePerClient,
    Bandwidth,
    Shards,
    Dscp,
    Mark,
    Congestion,
    Numeric,
    Io,
    NoSplice,
    Log,
    LogTo,
    Verbose,
    Quiet,
    Inetd,
    Pidfile,
    Daemon,
    User,
    Chroot,
    Version,
    Help,
}

impl Id {
    /// Whether the option may be given again and again.
    pub fn repeats(self) -> bool {
        matches!(self, Self::Allow | Self::Deny)
    }

    /// The entry of this option.
    pub fn opt(self) -> &'static Opt {
        OPTIONS
            .iter()
            .find(|opt| opt.id == self)
            .expect("every Id has its entry in OPTIONS: a test looks at each")
    }
}

/// All options, in the order of the help.
#[rustfmt::skip] // a table
pub const OPTIONS: &[Opt] = &[
    opt(Id::Balance, "balance", None, value("NAME", "least-sessions"), Group::Balancing,
        "How a target is picked: see NAME [round-robin]"),
    opt(Id::First, "first", Some('o'), Takes::Nothing, Group::Balancing,
        "The first that can be reached: --balance first"),
    opt(Id::Sticky, "sticky", Some('f'), Takes::ValueOrNothing { name: "TTL" }, Group::Balancing,
        "A client returns to the target it had, for TTL [1h]"),
    opt(Id::Retry, "retry", Some('r'), value("TIME", "30s"), Group::Balancing,
        "Leave a target that is down alone for TIME [10s]"),
    opt(Id::SlowStart, "slow-start", None, value("TIME", "30s"), Group::Balancing,
        "One that was down gets its share back over TIME [0]"),
    opt(Id::Allow, "allow", Some('a'), value("CIDR", "10.0.0.0/8"), Group::Access,
        "Only these clients may come; repeatable"),
    opt(Id::Deny, "deny", None, value("CIDR", "10.0.0.0/8"), Group::Access,
        "These may not; wins over --allow; repeatable"),
    opt(Id::ConnectTimeout, "connect-timeout", None, value("TIME", "30s"), Group::Time,
        "Longest wait for one target to answer [5s]"),
    opt(Id::Idle, "idle", None, value("TIME", "30s"), Group::Time,
        "End it when nothing moves; 0: never [1h; UDP: 60s]"),
    opt(Id::HalfClosed, "half-closed", None, value("TIME", "30s"), Group::Time,
        "The same once one side has ended; 0: never [60s]"),
    opt(Id::Lifetime, "lifetime", None, value("TIME", "24h"), Group::Time,
        "End a session after TIME, whatever moves [never]"),
    opt(Id::Keepalive, "keepalive", None, value("TIME", "30s"), Group::Time,
        "Probe silent peers, give up after 4 times TIME [0]"),
    opt(Id::Max, "max", Some('m'), value("N", "1000"), Group::Limits,
        "Sessions at a time [as descriptors allow]"),
    opt(Id::MaxPerClient, "max-per-client", None, value("N", "50"), Group::Limits,
        "The same of one client; others are refused"),
    opt(Id::Rate, "rate", None, value("RATE", "500/s"), Group::Limits,
        "New sessions in a while; others wait"),
    opt(Id::RatePerClient, "rate-per-client", None, value("RATE", "20/s"), Group::Limits,
        "New sessions of one client; others are refused"),
    opt(Id::Bandwidth, "bandwidth", None, value("RATE", "10MiB/s"), Group::Limits,
        "Most that a session moves each way: 10MiB/s"),
    opt(Id::Shards, "shards", None, value("N", "4"), Group::Limits,
        "Threads that carry sessions [one per core]"),
    opt(Id::Dscp, "dscp", None, value("CLASS", "ef"), Group::Sockets,
        "Class of traffic: ef, af41, cs1, or 0 to 63"),
    opt(Id::Mark, "mark", None, value("MARK", "0x10"), Group::Sockets,
        "Firewall mark of packets, as 16 or 0x10"),
    opt(Id::Congestion, "congestion", None, value("NAME", "bbr"), Group::Sockets,
        "Congestion control, as bbr [as the kernel has it]"),
    opt(Id::Numeric, "numeric", Some('n'), Takes::Nothing, Group::Data,
        "Refuse host names; nothing is looked up"),
    opt(Id::Io, "io", None, value("NAME", "epoll"), Group::Data,
        "By what bytes move: auto, epoll or ring [auto]"),
    opt(Id::NoSplice, "no-splice", None, Takes::Nothing, Group::Data,
        "Copy bulk through memory, without splice(2)"),
    opt(Id::Log, "log", None, value("FORMAT", "json"), Group::Log,
        "Records: text, json, logfmt or haproxy-tcp [text]"),
    opt(Id::LogTo, "log-to", Some('S'), value("WHERE", "/var/log/replug.log"), Group::Log,
        "Where they go: see WHERE [stderr; daemon: syslog]"),
    opt(Id::Verbose, "verbose", Some('v'), Takes::Nothing, Group::Log,
        "Say more: starts of sessions, every decision"),
    opt(Id::Quiet, "quiet", Some('q'), Takes::Nothing, Group::Log,
        "Say what needs attention; no session records"),
    opt(Id::Inetd, "inetd", None, Takes::Nothing, Group::Process,
        "Serve whom inetd hands over on stdin; no LISTEN"),
    opt(Id::Pidfile, "pidfile", Some('P'), value("FILE", "/run/replug.pid"), Group::Process,
        "Write the process id there, remove it at the end"),
    opt(Id::Daemon, "daemon", Some('D'), Takes::Nothing, Group::Process,
        "Go to the background once clients are accepted"),
    opt(Id::User, "user", Some('u'), value("NAME[:GROUP]", "nobody"), Group::Process,
        "Become this user once the ports are open"),
    opt(Id::Chroot, "chroot", None, value("DIR", "/var/empty"), Group::Process,
        "See no files but those of DIR from then on"),
    opt(Id::Version, "version", Some('V'), Takes::Nothing, Group::Process,
        "Print the version"),
    opt(Id::Help, "help", Some('h'), Takes::Nothing, Group::Process,
        "Print this help"),
];

const fn opt(
    id: Id,
    long: &'static str,
    short: Option<char>,
    takes: Takes,
    group: Group,
    help: &'static str,
) -> Opt {
    Opt { id, long, short, takes, group, help }
}

const fn value(name: &'static str, example: &'static str) -> Takes {
    Takes::Value { name, example }
}

/// What to write here for an option that other programs have, and whether it takes a value there.
pub(super) struct Foreign {
    /// The name with its dashes.
    pub(super) name: &'static str,
    /// Whether a value follows it.
    pub(super) takes_value: bool,
    /// What to write instead.
    pub(super) help: &'static str,
}

/// Options people know from `plug`, `redir`, `rinetd`, `socat` and HAProxy, and what they are here.
#[rustfmt::skip] // a table
pub(super) const FOREIGN: &[Foreign] = &[
    foreign("-i", true, "the address to listen on stands in LISTEN: `127.0.0.1:8080`"),
    foreign("-p", true, "the address to leave from stands behind LISTEN: `8080/10.0.3.1`"),
    foreign("-b", true, "the address to leave from stands behind LISTEN: `8080/10.0.3.1`"),
    foreign("-t", true, "write `--sticky=TTL` for plug's meaning, `--idle TIME` for redir's"),
    foreign("-k", false, "write `--keepalive TIME`"),
    foreign("-l", false, "write `--log-to syslog`"),
    foreign("-s", false, "write `--log-to syslog`"),
    foreign("-d", false, "write `-v` to be told more, `--daemon` to go to the background"),
    foreign("-c", true, "there is no configuration file here: write LISTEN and TARGET"),
    foreign("--bind", true, "write LISTEN/SOURCE first: `127.0.0.1:8080/10.0.3.1`"),
    foreign("--listen", true, "LISTEN is the first word: `replug 8080 10.0.0.11:80`"),
    foreign("--port", true, "LISTEN is the first word: `replug 8080 10.0.0.11:80`"),
    foreign("--lport", true, "LISTEN is the first word: `replug 8080 10.0.0.11:80`"),
    foreign("--laddr", true, "the address to listen on stands in LISTEN: `127.0.0.1:8080`"),
    foreign("--cport", true, "the port stands in TARGET: `10.0.0.11:80`"),
    foreign("--caddr", true, "the address stands in TARGET: `10.0.0.11:80`"),
    foreign("--target", true, "targets are the words behind LISTEN: `replug 8080 10.0.0.11:80`"),
    foreign("--to", true, "targets are the words behind LISTEN: `replug 8080 10.0.0.11:80`"),
    foreign("--source", true, "SOURCE stands behind LISTEN: `8080/10.0.3.1`"),
    foreign("--algorithm", true, "write `--balance NAME`"),
    foreign("--tos", true, "write `--dscp CLASS`, without the lowest two bits of the byte"),
    foreign("--weight", true, "a weight stands behind its target: `'10.0.0.11:80 weight=2'`"),
    foreign("--backup", true, "`backup` stands behind its target: `'10.0.0.12:80 backup'`"),
    foreign("--timeout", true, "say which: `--connect-timeout TIME`, `--idle TIME`"),
    foreign("--maxconn", true, "write `--max N`"),
    foreign("--max_bandwidth", true, "write `--bandwidth RATE`, as in `--bandwidth 10MiB/s`"),
    foreign("--max-bandwidth", true, "write `--bandwidth RATE`, as in `--bandwidth 10MiB/s`"),
    foreign("--threads", true, "write `--shards N`"),
    foreign("--workers", true, "write `--shards N`"),
    foreign("--syslog", false, "write `--log-to syslog`"),
    foreign("--debug", false, "write `--verbose`"),
    foreign("--foreground", false, "leave it out: replug stays in the foreground unless told"),
    foreign("--config", true, "there is no configuration file here: write LISTEN and TARGET"),
];

const fn foreign(name: &'static str, takes_value: bool, help: &'static str) -> Foreign {
    Foreign { name, takes_value, help }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_letters_are_unique_and_every_id_has_its_entry() {
        let mut seen = HashSet::new();
        for opt in OPTIONS {
            assert_eq!(opt.id.opt().long, opt.long);
            assert!(seen.insert(format!("--{}", opt.long)), "{}", opt.long);
            if let Some(short) = opt.short {
                assert!(seen.insert(format!("-{short}")), "{short}");
            }
        }
        for foreign in FOREIGN {
            assert!(seen.insert(foreign.name.to_owned()), "{}", foreign.name);
        }
    }
}
