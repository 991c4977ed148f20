//! The quick command line: `replug [OPTIONS] LISTEN[/SOURCE] TARGET...`.
//!
//! Three steps, each a module: [`crate::line`] writes the words down as the line of
//! text in which faults are shown; `lex` tells options from the other words by the
//! table in [`options`]; here and in `value`, `cidr`, `listen` and `target` each
//! word is given its meaning. Every step goes on behind a fault, so that one
//! run shows all of them.
//!
//! The listener and its pool are both called [`NAME`].

mod lex;
mod listen;
pub mod options;

use std::collections::HashMap;
use std::ffi::OsString;
use std::num::NonZeroU32;

use model::{
    Balance, Bandwidth, Bind, Code, Config, Diagnostic, Idle, Io, Listener, Log, LogTarget, Pool,
    Sources, Span, Spanned, Sticky, Syslog, SyslogServer, Verbosity, check,
};

use crate::line::{Line, Word};
use crate::term::target::{self, DefaultPort};
use crate::term::{Dialect, bytes, clients, log, option, value};
use lex::Given;
use options::Id;

/// What the listener and the pool of a quick command line are called.
pub const NAME: &str = "main";

/// A command line.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// The program's name, for the line in which faults are shown.
    pub program: &'a str,
    /// The words behind it.
    pub args: &'a [OsString],
    /// The program's commands. None of them can be a LISTEN; a slip in one is told as such.
    pub commands: &'a [&'a str],
}

/// What a command line says.
#[derive(Debug)]
pub struct Reading {
    /// What the user wants to see happen.
    pub wish: Wish,
    /// What to forward, as far as it could be read.
    pub config: Config,
    /// What becomes of the process.
    pub process: Process,
    /// All faults, in the order in which they stand on the line.
    pub diagnostics: Vec<Diagnostic>,
}

/// What a command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To forward.
    Run,
    /// The help; then faults do not matter.
    Help,
    /// The version; then faults do not matter.
    Version,
}

/// What becomes of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Go to the background.
    pub daemon: bool,
    /// Where the process id is written.
    pub pidfile: Option<String>,
    /// `NAME[:GROUP]` to become.
    pub user: Option<String>,
    /// The directory that becomes the root of the file system.
    pub chroot: Option<String>,
}

/// Whether `text` can be the value of an option of the process (`--pidfile`, `--user`,
/// `--chroot`), for commands that have these as well.
///
/// # Errors
/// What is wrong with it, in a few words.
pub fn process_value(id: Id, text: &str) -> Result<String, String> {
    let line = Line::new("", &[text.into()], &mut Sources::default());
    let word = line.words().next().expect("the line was made of one word");
    let read = match id {
        Id::User => value::account(word),
        Id::Chroot => value::directory(word),
        _ => value::path(word),
    };
    read.map_err(|fault| fault.label)
}

/// Reads a command line. The line as text is added to `sources`.
pub fn read(words: Words<'_>, sources: &mut Sources) -> Reading {
    let line = Line::new(words.program, words.args, sources);
    let lexed = lex::lex(line.words());
    let mut reader = Reader::new(lexed.faults);
    let wish = lexed.given.iter().find_map(|given| match given.id {
        Id::Help => Some(Wish::Help),
        Id::Version => Some(Wish::Version),
        _ => None,
    });
    reader.not_text(line.words());
    reader.repeated(&lexed.given);
    for given in &lexed.given {
        match given.value {
            Some(value) if value.is_text => reader.valued(given.id, value),
            Some(_) => {}
            None => reader.flag(given),
        }
    }
    reader.daemon_log(&lexed.given);
    match lexed.given.iter().find(|given| given.id == Id::Inetd) {
        Some(inetd) => reader.serve_inetd(inetd.name, &lexed.positionals),
        None => reader.forward(&lexed.positionals, &line, words.commands),
    }
    reader.finish(wish.unwrap_or(Wish::Run))
}

/// What has been read so far.
struct Reader {
    config: Config,
    listener: Listener,
    pool: Pool,
    log: Log,
    numeric: bool,
    process: Process,
    faults: Vec<Diagnostic>,
}

impl Reader {
    fn new(faults: Vec<Diagnostic>) -> Self {
        Self {
            config: Config::default(),
            listener: Listener::new(NAME, Spanned::default_of(NAME.to_owned())),
            pool: Pool::new(Spanned::default_of(NAME.to_owned()), Vec::new()),
            log: Log::default(),
            numeric: false,
            process: Process::default(),
            faults,
        }
    }

    fn not_text<'a>(&mut self, words: impl Iterator<Item = Word<'a>>) {
        for word in words.filter(|word| !word.is_text) {
            let fault = Diagnostic::new(Code::NotText, word.span, "this word is not UTF-8")
                .label("holds bytes that are no text")
                .help("write it in UTF-8; file names too");
            self.faults.push(fault);
        }
    }

    /// Options that were given again, and those that exclude each other.
    fn repeated(&mut self, given: &[Given<'_>]) {
        let mut seen: HashMap<Id, Span> = HashMap::new();
        for given in given {
            let first = seen.insert(given.id, given.name);
            if let (Some(first), Some(_), false) = (first, given.value, given.id.repeats()) {
                let long = given.id.opt().long;
                let message = format!("`--{long}` is given more than once");
                let fault = Diagnostic::new(Code::Repeated, given.name, message)
                    .label("this one counts")
                    .related(first, "this one does not");
                self.faults.push(fault);
            }
        }
        if let (Some(balance), Some(first)) = (seen.get(&Id::Balance), seen.get(&Id::First)) {
            let message = "`--balance` and `--first` exclude each other";
            let fault = Diagnostic::new(Code::Conflict, *first, message)
                .label("the first, always")
                .related(*balance, "another policy")
                .help("leave one of them out; `--first` is `--balance first`");
            self.faults.push(fault);
        }
        if let (Some(daemon), Some(inetd)) = (seen.get(&Id::Daemon), seen.get(&Id::Inetd)) {
            let message = "`--daemon` and `--inetd` exclude each other";
            let fault = Diagnostic::new(Code::Conflict, *daemon, message)
                .label("starts another process")
                .related(*inetd, "serves in the one that inetd has started")
                .help("leave `--daemon` out");
            self.faults.push(fault);
        }
        if let (Some(verbose), Some(quiet)) = (seen.get(&Id::Verbose), seen.get(&Id::Quiet)) {
            let message = "`--verbose` and `--quiet` exclude each other";
            let fault = Diagnostic::new(Code::Conflict, *quiet, message)
                .label("says less")
                .related(*verbose, "says more");
            self.faults.push(fault);
        }
    }

    fn flag(&mut self, given: &Given<'_>) {
        match given.id {
            Id::First => self.pool.balance = Balance::First,
            Id::Sticky => {
                self.pool.sticky = Some(Sticky::default());
            }
            Id::Numeric => self.numeric = true,
            Id::NoSplice => self.config.runtime.splice = false,
            Id::Verbose => self.log.verbosity = Verbosity::Verbose,
            Id::Quiet => self.log.verbosity = Verbosity::Quiet,
            Id::Daemon => self.process.daemon = true,
            _ => {}
        }
    }

    fn valued(&mut self, id: Id, word: Word<'_>) {
        let (times, tcp) = (&mut self.listener.timeouts, &mut self.listener.tcp);
        let read = match id {
            Id::Sticky => value::duration_not_zero(word, "leave --sticky out to spread clients")
                .map(|ttl| self.pool.sticky = Some(Sticky { ttl, ..Sticky::default() })),
            Id::Balance => value::balance(word).map(|balance| self.pool.balance = balance),
            Id::Retry => value::duration(word).map(|time| self.pool.retry_down = time),
            Id::SlowStart => value::duration_or_never(word).map(|time| self.pool.slow_start = time),
            Id::ConnectTimeout => value::duration_not_zero(
                word,
                "an attempt without an end would hold its client for ever",
            )
            .map(|time| times.connect = time),
            Id::Idle => value::duration_or_never(word).map(|time| times.idle = Idle::after(time)),
            Id::HalfClosed => value::duration_or_never(word).map(|time| times.half_closed = time),
            Id::Lifetime => value::duration_or_never(word).map(|time| times.lifetime = time),
            Id::Keepalive => value::keepalive(word).map(|time| *tcp = tcp.probing(time)),
            Id::Dscp => option::dscp(word).map(|dscp| tcp.dscp = Some(dscp)),
            Id::Mark => option::mark(word).map(|mark| tcp.mark = mark),
            Id::Congestion => option::congestion(word).map(|name| tcp.congestion = Some(name)),
            Id::Max => value::count(word, value::SESSIONS_MAX)
                .map(|count| self.config.limits.sessions = Some(count)),
            Id::MaxPerClient => value::count(word, value::PER_CLIENT_MAX)
                .map(|count| self.config.limits.per_client = NonZeroU32::try_from(count).ok()),
            Id::Rate => value::rate(word).map(|rate| self.config.limits.rate = Some(rate)),
            Id::RatePerClient => {
                value::rate(word).map(|rate| self.config.limits.rate_per_client = Some(rate))
            }
            Id::Bandwidth => bytes::rate(word).map(|rate| {
                self.config.limits.session_bandwidth =
                    Bandwidth { to_backend: Some(rate), to_client: Some(rate) };
            }),
            Id::Shards => value::count(word, value::SHARDS_MAX)
                .map(|count| self.config.runtime.shards = Some(count)),
            Id::Io => {
                value::choice(word, "mechanism", &Io::NAMES).map(|io| self.config.runtime.io = io)
            }
            Id::Log => log::format(word, Dialect::Quick).map(|format| self.log.format = format),
            Id::LogTo => {
                log::target(word, Dialect::Quick).map(|to| self.log.to = Spanned::at(to, word.span))
            }
            Id::Pidfile => value::path(word).map(|path| self.process.pidfile = Some(path)),
            Id::User => value::account(word).map(|user| self.process.user = Some(user)),
            Id::Chroot => value::directory(word).map(|dir| self.process.chroot = Some(dir)),
            Id::Allow | Id::Deny => {
                clients::read(word, Dialect::Quick).map(|(clients, warning)| {
                    let clients = Spanned::at(clients, word.span);
                    match id {
                        Id::Allow => self.listener.access.allow.push(clients),
                        _ => self.listener.access.deny.push(clients),
                    }
                    self.faults.extend(warning);
                })
            }
            _ => Ok(()),
        };
        self.faults.extend(read.err());
    }

    /// In the background nobody reads standard output.
    fn daemon_log(&mut self, given: &[Given<'_>]) {
        let at = |id| given.iter().rev().find(|given| given.id == id).map(|given| given.name);
        match (at(Id::Daemon), at(Id::LogTo)) {
            (Some(_), None) => {
                self.log.to.value = LogTarget::Syslog(Syslog::new(SyslogServer::Local));
            }
            (Some(daemon), Some(log_to)) if self.log.to.value == LogTarget::Stdout => {
                let message = "a daemon has no standard output to log to";
                let fault = Diagnostic::new(Code::Conflict, log_to, message)
                    .label("nobody reads this")
                    .related(daemon, "in the background")
                    .help("write `--log-to syslog` or a file");
                self.faults.push(fault);
            }
            _ => {}
        }
    }

    /// LISTEN[/SOURCE] and the targets.
    fn forward(&mut self, positionals: &[Word<'_>], line: &Line, commands: &[&str]) {
        let Some((&listen, targets)) = positionals.split_first() else {
            // Behind another fault, the missing words may be those that it took along.
            if self.faults.is_empty() {
                self.faults.push(listen::nothing(line.program()));
            }
            return;
        };
        let place = match listen::read(listen, targets, commands) {
            Ok(place) => place,
            Err(fault) => {
                self.faults.push(fault);
                return;
            }
        };
        self.faults.extend(place.faults);
        self.pool.source = place.source;
        self.lead(place.bind, targets);
    }

    /// The targets alone: inetd listens.
    fn serve_inetd(&mut self, option: Span, positionals: &[Word<'_>]) {
        match positionals.split_first() {
            None => self.faults.push(
                Diagnostic::new(Code::Usage, option, "TARGET is missing")
                    .label("where shall its client go?")
                    .help("name a target behind it: `replug --inetd 10.0.0.11:80`"),
            ),
            Some((&listen, targets)) if listen::is_listen(listen) && !targets.is_empty() => {
                let message = "LISTEN has no place beside `--inetd`";
                self.faults.push(
                    Diagnostic::new(Code::Conflict, listen.span, message)
                        .label("where to listen")
                        .related(option, "but inetd listens")
                        .help("leave one of them out; targets have ports of their own"),
                );
            }
            Some(_) => self.lead(Some(Spanned::at(Bind::Inetd, option)), positionals),
        }
    }

    /// Where sessions come in, and the targets they go to.
    fn lead(&mut self, bind: Option<Spanned<Bind>>, targets: &[Word<'_>]) {
        let port = match &bind {
            Some(bind) => DefaultPort::Of(&bind.value),
            None => DefaultPort::Unread,
        };
        let targets = target::read(targets, port, self.numeric);
        self.faults.extend(targets.faults);
        self.pool.backends = targets.backends;
        self.listener.bind.extend(bind);
    }

    fn finish(mut self, wish: Wish) -> Reading {
        self.config.listeners.push(self.listener);
        self.config.pools.push(self.pool);
        self.config.logs = vec![self.log];
        // That no target could be read has been said already, and better.
        let whole = check::check(&self.config);
        self.faults.extend(whole.into_iter().filter(|fault| fault.code != Code::PoolEmpty));
        self.faults.sort_by_key(|fault| fault.span.map_or(usize::MAX, |span| span.start));
        Reading { wish, config: self.config, process: self.process, diagnostics: self.faults }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{HostPort, unit};

    fn reading(line: &str) -> Reading {
        let args: Vec<_> = shell(line).into_iter().map(OsString::from).collect();
        let words = Words { program: "replug", args: &args, commands: &["demo"] };
        read(words, &mut Sources::default())
    }

    /// Words between spaces, with `'...'` for those that hold some.
    fn shell(line: &str) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for (at, part) in line.split('\'').enumerate() {
            match at % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        words
    }

    /// Shows the listener, its source and its targets.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let reading = reading(line);
        assert_eq!(reading.diagnostics, [], "{line}");
        let [listener] = &*reading.config.listeners else {
            panic!("a quick line makes one listener");
        };
        let [pool] = &*reading.config.pools else {
            panic!("a quick line makes one pool");
        };
        assert_eq!((&*listener.name, &*pool.name.value), (NAME, NAME));
        let mut shown = listener.bind[0].value.to_string();
        if let Some(source) = &pool.source {
            shown += &format!(" from {}", source.value);
        }
        for backend in &pool.backends {
            shown += &format!(" to {}", backend.address.value);
            if backend.weight != model::Weight::ONE {
                shown += &format!("*{}", backend.weight.get());
            }
            if let Some(max) = backend.max {
                shown += &format!("<={max}");
            }
            if backend.role == model::Role::Backup {
                shown += "?";
            }
        }
        assert_eq!(shown, expected, "{line}");
    }

    #[test]
    fn listen_source_and_targets() {
        check("8080 10.0.0.11:80", ":8080 to 10.0.0.11:80");
        check("*:8080 web.example", ":8080 to web.example:8080");
        check(
            "192.168.0.14:119/10.0.3.1  10.0.0.11 10.0.0.12:80",
            "192.168.0.14:119 from 10.0.3.1 to 10.0.0.11:119 to 10.0.0.12:80",
        );
        check("8080/10.0.3.1,10.0.3.2,::1 a:80", ":8080 from 10.0.3.1,10.0.3.2,::1 to a:80");
        check("8080/eth1 a:80", ":8080 from eth1 to a:80");
        check(
            "[::1]:80/2001:db8::2 [2001:db8::1]",
            "[::1]:80 from 2001:db8::2 to [2001:db8::1]:80",
        );
        check("unix:/run/a/b.sock unix:@c", "unix:/run/a/b.sock to unix:@c");
        check("udp://:53 10.0.0.1 a:5353", "udp://:53 to 10.0.0.1:53 to a:5353");
        check("udp://[::1]:53/eth1 a", "udp://[::1]:53 from eth1 to a:53");
        check(
            "80 'a:1 weight=3' 'b:2 backup' 'c:3 backup weight=2'",
            ":80 to a:1*3 to b:2? to c:3*2?",
        );
        check("80 'a:1 max=100' 'b:2 weight=2 max=5'", ":80 to a:1<=100 to b:2*2<=5");
        check("-q 80 -n 10.0.0.1 --", ":80 to 10.0.0.1:80");
        check("systemd:web/eth1 a:80", "systemd:web from eth1 to a:80");
        check("--inetd 'a:80 backup' 10.0.0.1:80", "inetd to a:80? to 10.0.0.1:80");
        check("inetd/10.0.3.1 a:80", "inetd from 10.0.3.1 to a:80");
    }

    fn log_shown(config: &Config) -> String {
        let [log] = &*config.logs else {
            panic!("a quick line makes one log");
        };
        format!("log={:?} to {:?}, {:?}", log.format, log.to.value, log.verbosity)
    }

    /// Shows all that options can change, as `name=value`, against the defaults.
    fn settings(line: &str) -> Vec<String> {
        let Reading { config, process, diagnostics, .. } = reading(&format!("{line} 80 a:80"));
        assert_eq!(diagnostics, [], "{line}");
        let (listener, pool) = (&config.listeners[0], &config.pools[0]);
        let time =
            |time: Option<std::time::Duration>| time.map_or_else(|| "never".to_owned(), unit::show);
        let clients = |clients: &[Spanned<model::Clients>]| {
            let shown: Vec<_> = clients.iter().map(|one| one.value.to_string()).collect();
            shown.join(",")
        };
        vec![
            format!("balance={:?}", pool.balance),
            format!("sticky={}", time(pool.sticky.map(|sticky| sticky.ttl))),
            format!("retry={}", unit::show(pool.retry_down)),
            format!("slow_start={}", time(pool.slow_start)),
            format!("allow={}", clients(&listener.access.allow)),
            format!("deny={}", clients(&listener.access.deny)),
            format!("connect={}", unit::show(listener.timeouts.connect)),
            format!(
                "idle={}",
                match listener.timeouts.idle {
                    Idle::Usual => "usual".to_owned(),
                    Idle::After(after) => unit::show(after),
                    Idle::Never => "never".to_owned(),
                }
            ),
            format!("half_closed={}", time(listener.timeouts.half_closed)),
            format!("lifetime={}", time(listener.timeouts.lifetime)),
            format!("keepalive={}", time(listener.tcp.keepalive)),
            format!("dscp={:?}", listener.tcp.dscp.map(|dscp| dscp.to_string())),
            format!("mark={:?}", listener.tcp.mark),
            format!("congestion={:?}", listener.tcp.congestion),
            format!("max={:?}", config.limits.sessions),
            format!("max_per_client={:?}", config.limits.per_client),
            format!("rate={:?}", config.limits.rate.map(|rate| rate.to_string())),
            format!(
                "rate_per_client={:?}",
                config.limits.rate_per_client.map(|rate| rate.to_string())
            ),
            format!(
                "bandwidth={:?}",
                config.limits.session_bandwidth.to_backend.map(|rate| rate.get())
            ),
            format!("shards={:?}", config.runtime.shards),
            format!("io={:?}", config.runtime.io),
            format!("splice={}", config.runtime.splice),
            log_shown(&config),
            format!("process={process:?}"),
        ]
    }

    /// Checks that `line` changes exactly one setting, and to what.
    #[track_caller]
    fn check_option(line: &str, expected: &str) {
        let plain = settings("");
        let changed: Vec<_> =
            settings(line).into_iter().filter(|setting| !plain.contains(setting)).collect();
        assert_eq!(changed, [expected], "{line}");
    }

    #[test]
    fn each_option_changes_its_setting_and_no_other() {
        check_option("--first", "balance=First");
        check_option("--balance first", "balance=First");
        check_option("--balance least-sessions", "balance=LeastSessions");
        check_option("--balance=latency-two-choices", "balance=LatencyTwoChoices");
        check_option("-f", "sticky=1h");
        check_option("--sticky=10m", "sticky=10m");
        check_option("-r 0", "retry=0");
        check_option("--slow-start 30s", "slow_start=30s");
        check_option("-a 10.0.0.0/8 -a ::1", "allow=10.0.0.0/8,::1/128");
        check_option("--deny 10.0.0.7", "deny=10.0.0.7/32");
        check_option("--connect-timeout 250ms", "connect=250ms");
        check_option("--idle 0", "idle=never");
        check_option("--half-closed 5m", "half_closed=5m");
        check_option("--lifetime 24h", "lifetime=1d");
        check_option("--keepalive 30s", "keepalive=30s");
        check_option("--dscp ef", "dscp=Some(\"ef\")");
        check_option("--mark 0x10", "mark=Some(16)");
        check_option("--congestion bbr", "congestion=Some(Congestion(bbr))");
        check_option("-m 500", "max=Some(500)");
        check_option("--max-per-client 50", "max_per_client=Some(50)");
        check_option("--rate 500/s", "rate=Some(\"500/s\")");
        check_option("--rate-per-client=100/m", "rate_per_client=Some(\"100/m\")");
        check_option("--bandwidth 8Mbit/s", "bandwidth=Some(1000000)");
        check_option("--shards 2", "shards=Some(2)");
        check_option("--io ring", "io=Ring");
        check_option("--no-splice", "splice=false");
        check_option("--log json", "log=Json to Stderr, Normal");
        check_option("-S-", "log=Text to Stdout, Normal");
        check_option("-vS a.log", "log=Text to File(\"a.log\"), Verbose");
        check_option(
            "-P a.pid",
            "process=Process { daemon: false, pidfile: Some(\"a.pid\"), user: None, chroot: None }",
        );
        check_option(
            "-u nobody:adm",
            "process=Process { daemon: false, pidfile: None, user: Some(\"nobody:adm\"), \
             chroot: None }",
        );
        check_option(
            "--chroot /srv/empty/",
            "process=Process { daemon: false, pidfile: None, user: None, \
             chroot: Some(\"/srv/empty/\") }",
        );
    }

    #[test]
    fn a_daemon_logs_to_syslog_unless_told() {
        let to = |reading: &Reading| reading.config.logs[0].to.value.clone();
        let syslog = |line: &str| match to(&reading(line)) {
            LogTarget::Syslog(syslog) => syslog,
            other => panic!("{line} logs to {other:?}"),
        };
        assert_eq!(syslog("-D 80 a:80"), Syslog::new(SyslogServer::Local));
        let loghost = HostPort::parse("loghost", 601).expect("a legal name");
        let tcp = syslog("-D -S syslog+tcp://loghost 80 a:80");
        assert_eq!(tcp, Syslog::new(SyslogServer::Tcp(loghost)));
        let told = reading("-D -S a.log 80 a:80");
        assert_eq!(to(&told), LogTarget::File("a.log".to_owned()));
        assert!(told.process.daemon);
    }

    #[test]
    fn help_and_version_are_wishes_whatever_else_is_said() {
        assert_eq!(reading("80 --idel -h").wish, Wish::Help);
        assert_eq!(reading("--version").wish, Wish::Version);
        assert_eq!(reading("80 a -- -h").wish, Wish::Run);
    }
}
