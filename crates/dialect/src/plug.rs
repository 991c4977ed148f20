//! The command line of plug (plugdaemon 2.5.5): `plug [OPTIONS] PORT TARGET...`.
//!
//! `words` tells options from the other words as plug does, `value` and `inet` read values; here they
//! become a [`Config`]. The first fault's message is what plug would have said, where plug says
//! anything; all other faults are told with it. `docs/coming-from-plug.md` lists what differs on
//! purpose.

pub(crate) mod inet;
mod value;
mod words;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use model::log::Tag;
use model::unit::DURATION_MAX;
use model::{
    AllDown, Backend, Balance, Bind, Code, Config, Diagnostic, Idle, Listener, Log, LogFormat,
    LogTarget, Pool, Proxy, ProxyProtocol, Refusal, Severity, Source, Sources, Span, Spanned,
    Sticky, Syslog, SyslogLabel, SyslogServer, Tcp, Timeouts, Verbosity, check,
};

use crate::line::{Line, Word, Words};
use crate::native;
use value::Read;
use words::{Flag, Item, Value};

/// What the listener and the pool of a plug command line are called.
pub const NAME: &str = "plug";

/// The usage that plug shows below its errors, behind `Usage: ` and its name.
pub const USAGE: &str = "[-V] [-P pidfile] [-S sessionfile] [-snklfod[d]...]
\t[-p proxy-addr] [-i srcaddr] [-a accept_rule]...
\t[-h HTTPS-proxy[:port]] [-t timeout] [-r retry]

\tport destaddr[:destport]...
";

/// Targets that one command line may have.
const TARGETS_MAX: usize = 32;

/// One attempt to connect, the proxy's answer included. In plug it lasts as long as the kernel
/// sends SYNs, two minutes; and for ever where a proxy does not answer.
const CONNECT: Duration = Duration::from_secs(30);

/// Silence after which `-k` has a peer probed. With the nine probes of the kernel a dead peer is
/// gone after 100 minutes; by the kernel's own defaults, which plug leaves, after 131.
const KEEPALIVE: Duration = Duration::from_secs(600);

/// The port of a proxy that names none.
const PROXY_PORT: u16 = 80;

/// What a command line says.
#[derive(Debug)]
pub struct Reading {
    /// What the user wants to see happen.
    pub wish: Wish,
    /// What to forward, as far as it could be read.
    pub config: Config,
    /// What becomes of the process.
    pub process: Process,
    /// All faults; the first error is the one that plug would have ended with.
    pub diagnostics: Vec<Diagnostic>,
    /// What the configuration cannot hold, a line each: for whoever writes it to a file.
    pub notes: Vec<String>,
}

/// What a command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To forward.
    Run,
    /// The version; what stands behind it does not matter.
    Version,
    /// The options; then faults do not matter.
    Help,
    /// What it would do, as native TOML.
    Explain,
}

/// What becomes of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Go to the background.
    pub daemon: bool,
    /// Where the process id is written.
    pub pidfile: Option<String>,
}

impl Reading {
    /// Whether it can be done.
    pub fn is_sound(&self) -> bool {
        sound(&self.diagnostics)
    }

    /// The configuration as native TOML, and above it what it cannot hold.
    pub fn explain(&self) -> String {
        let notes: String = self.notes.iter().map(|note| format!("# {note}\n")).collect();
        let config = native::write(&self.config);
        match notes.is_empty() {
            true => config,
            false => format!("{notes}\n{config}"),
        }
    }
}

fn sound(faults: &[Diagnostic]) -> bool {
    faults.iter().all(|fault| fault.severity() < Severity::Error)
}

/// Reads a command line. The line as text is added to `sources`.
pub fn read(words: Words<'_>, sources: &mut Sources) -> Reading {
    let line = Line::new(words.program, words.args, sources);
    let mut reader = Reader::default();
    for item in words::read(line.words()) {
        match item {
            // What stands behind it is not even looked at.
            Item::Flag(Flag::Version, _) if reader.wish == Wish::Run => {
                reader.wish = Wish::Version;
                break;
            }
            Item::Flag(flag, span) => reader.flag(flag, span),
            Item::Value(option, word) => reader.value(option, word),
            Item::Positional(word) if reader.port.is_none() => reader.listen(word),
            Item::Positional(word) => reader.target(word),
            Item::Fault(fault) => reader.faults.push(fault),
        }
    }
    reader.finish(line.program())
}

/// What has been read so far.
#[derive(Debug)]
struct Reader {
    wish: Wish,
    /// What the first word that is no option says; inside, `None`: that could not be read.
    port: Option<Option<u16>>,
    listener: Listener,
    address: Option<IpAddr>,
    pool: Pool,
    /// Targets, those that could not be read too.
    targets: usize,
    ttl: Duration,
    sticky: bool,
    names: bool,
    foreground: bool,
    debug: usize,
    syslog: bool,
    session: Option<Spanned<String>>,
    pidfile: Option<String>,
    faults: Vec<Diagnostic>,
}

impl Default for Reader {
    fn default() -> Self {
        let listener = Listener {
            // A session lasts until its peers end it.
            timeouts: Timeouts {
                connect: CONNECT,
                idle: Idle::Never,
                half_closed: None,
                lifetime: None,
                ..Timeouts::default()
            },
            refuse: Refusal::Close,
            ..Listener::new(NAME, Spanned::default_of(NAME.to_owned()))
        };
        let pool = Pool {
            // Without -r a server that is down is left alone until all are.
            retry_down: DURATION_MAX,
            all_down: AllDown::Forgive,
            ..Pool::new(Spanned::default_of(NAME.to_owned()), Vec::new())
        };
        Self {
            wish: Wish::Run,
            port: None,
            listener,
            address: Some(Ipv4Addr::UNSPECIFIED.into()),
            pool,
            targets: 0,
            ttl: Sticky::TTL,
            sticky: false,
            names: false,
            foreground: false,
            debug: 0,
            syslog: false,
            session: None,
            pidfile: None,
            faults: Vec::new(),
        }
    }
}

impl Reader {
    fn flag(&mut self, flag: Flag, span: Span) {
        match flag {
            Flag::Keepalive => {
                self.listener.tcp = Tcp { keepalive: Some(KEEPALIVE), ..Tcp::default() };
            }
            Flag::Foreground => self.foreground = true,
            Flag::Syslog => self.syslog = true,
            Flag::Debug => self.debug += 1,
            Flag::Sticky => self.sticky = true,
            Flag::First => self.pool.balance = Balance::First,
            Flag::Nothing => self.faults.push(
                Diagnostic::new(Code::Ignored, span, "`-s` does nothing")
                    .label("in plug's usage, but not in plug")
                    .help("leave it out"),
            ),
            Flag::NoRetry => self.pool.tries = Some(NonZeroU32::MIN),
            Flag::Names => self.names = true,
            Flag::Version => self.wish = Wish::Version,
            Flag::Explain if self.wish == Wish::Run => self.wish = Wish::Explain,
            Flag::Explain => {}
            Flag::Help => self.wish = Wish::Help,
        }
    }

    fn value(&mut self, option: Value, word: Word<'_>) {
        match option {
            Value::Interface => {
                if let Some(address) = self.told(value::local(word)) {
                    self.address = address;
                }
            }
            Value::Source => {
                let source = self.told(value::ip(word)).map(|ip| Source::Addresses(vec![ip]));
                self.pool.source = source.map(|source| Spanned::at(source, word.span));
            }
            Value::Proxy => {
                let proxy = value::proxy(word, PROXY_PORT, self.names);
                if let Some(Some(address)) = self.told(proxy) {
                    let protocol = ProxyProtocol::Http { bare: true };
                    self.pool.via = vec![Spanned::at(Proxy::new(address, protocol), word.span)];
                }
                // Told once is enough: targets behind it may be names all the same.
                self.names = true;
            }
            Value::Timeout => {
                if let Some(ttl) = self.told(value::seconds(word)) {
                    self.ttl = ttl.max(Duration::from_secs(1));
                }
            }
            Value::Retry => {
                if let Some(time) = self.told(value::seconds(word)) {
                    self.pool.retry_down = if time.is_zero() { DURATION_MAX } else { time };
                }
            }
            Value::Access => {
                let range = self.told(value::access(word));
                self.listener
                    .access
                    .allow
                    .extend(range.map(|range| Spanned::at(range.into(), word.span)));
            }
            Value::Pidfile => self.pidfile = self.path(word),
            Value::Session => {
                let path = match word.text {
                    "-" => Some("-".to_owned()),
                    _ => self.path(word),
                };
                self.session = path.map(|path| Spanned::at(path, word.span));
            }
        }
    }

    fn path(&mut self, word: Word<'_>) -> Option<String> {
        self.told(path(word).map(|path| (path, None)))
    }

    fn listen(&mut self, word: Word<'_>) {
        let port = value::port(word);
        self.port = Some(match port {
            Ok(port) => {
                let bind = Bind::Tcp { address: None, port };
                self.listener.bind = vec![Spanned::at(bind, word.span)];
                Some(port)
            }
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        });
    }

    fn target(&mut self, word: Word<'_>) {
        self.targets += 1;
        if self.targets > TARGETS_MAX {
            if self.targets == TARGETS_MAX + 1 {
                self.faults.push(
                    Diagnostic::new(Code::Usage, word.span, "too many targets")
                        .label(format!("plug has {TARGETS_MAX}"))
                        .help("`replug LISTEN TARGET...` takes any number"),
                );
            }
            return;
        }
        // Port 0 of the listener is none to connect to: as if it had been written here.
        let default = self.port.flatten();
        if let Some(Some(address)) = self.told(value::target(word, default, self.names)) {
            self.pool.backends.push(Backend::new(Spanned::at(address, word.span)));
        }
    }

    fn told<T>(&mut self, read: Read<T>) -> Option<T> {
        match read {
            Ok((value, told)) => {
                self.faults.extend(told);
                Some(value)
            }
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    fn finish(mut self, at: Span) -> Reading {
        let runs = matches!(self.wish, Wish::Run | Wish::Explain);
        if runs && self.targets == 0 && self.is_sound() {
            self.faults.push(not_enough(self.port.is_some(), at));
        }
        let daemon = !self.foreground && self.debug == 0 && !self.session_to_stdout();
        let notes = self.notes(daemon);
        let logs = self.logs(daemon);
        if self.sticky {
            self.pool.sticky = Some(Sticky { ttl: self.ttl, ..Sticky::default() });
        }
        for bind in &mut self.listener.bind {
            if let Bind::Tcp { address, .. } = &mut bind.value {
                *address = self.address;
            }
        }
        let mut config = Config { logs, ..Config::default() };
        config.listeners.push(self.listener);
        config.pools.push(self.pool);
        if runs && sound(&self.faults) {
            // Two of the same get two turns, in plug too.
            let faults = check::check(&config).into_iter();
            self.faults.extend(faults.filter(|fault| fault.code != Code::TargetTwice));
        }
        let process = Process { daemon, pidfile: self.pidfile };
        Reading { wish: self.wish, config, process, diagnostics: self.faults, notes }
    }

    fn is_sound(&self) -> bool {
        sound(&self.faults)
    }

    fn session_to_stdout(&self) -> bool {
        self.session.as_ref().is_some_and(|path| path.value == "-")
    }

    /// What is logged, and where: sessions where `-S` says, connections to syslog, and in the
    /// foreground what goes wrong to the terminal as well.
    fn logs(&self, daemon: bool) -> Vec<Log> {
        let session = self.session.as_ref().map(|path| {
            let to = match &*path.value {
                "-" => LogTarget::Stdout,
                file => LogTarget::File(file.to_owned()),
            };
            let to = Spanned { value: to, span: path.span };
            Log { format: LogFormat::PlugSession, to, ..Log::default() }
        });
        let connections = |verbosity, to| {
            let format = LogFormat::PlugSyslog;
            Log { format, verbosity, ..Log::to(to) }
        };
        let told = if self.syslog { Verbosity::Normal } else { Verbosity::Quiet };
        let shown = if self.debug > 1 { Verbosity::Verbose } else { Verbosity::Quiet };
        let terminal = (!daemon).then(|| connections(shown, LogTarget::Stderr));
        session.into_iter().chain([connections(told, syslog())]).chain(terminal).collect()
    }

    /// The words of `replug run` that a file cannot hold.
    fn notes(&self, daemon: bool) -> Vec<String> {
        let mut command = "replug run".to_owned();
        if daemon {
            command += " --daemon";
        }
        if let Some(path) = &self.pidfile {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+@%".contains(c);
            command += &match path.chars().all(plain) {
                true => format!(" --pidfile {path}"),
                false => format!(" --pidfile {path:?}"),
            };
        }
        vec![format!("{command} -c FILE")]
    }
}

/// The syslog of this machine, where plug is known as such.
fn syslog() -> LogTarget {
    let tag = Tag::new(NAME).expect("letters are a tag");
    let label = SyslogLabel { tag, ..SyslogLabel::default() };
    LogTarget::Syslog(Syslog { label, ..Syslog::new(SyslogServer::Local) })
}

/// Where something is written to; plug would fail with the system's word for these.
fn path(word: Word<'_>) -> Result<String, Diagnostic> {
    crate::term::value::path(word)
}

/// No target, or nothing at all.
fn not_enough(has_port: bool, program: Span) -> Diagnostic {
    let fault = Diagnostic::new(Code::Usage, program, "not enough arguments");
    match has_port {
        true => fault
            .label("where shall its clients go?")
            .help("name a target behind the port: `plug 8080 10.0.0.11:80`"),
        false => fault
            .label("what shall be forwarded, and where to?")
            .help("write a port and a target: `plug 8080 10.0.0.11:80`"),
    }
}
