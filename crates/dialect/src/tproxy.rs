//! The command line of transproxy: `tproxy [OPTIONS] PROXYHOST PROXYPORT`, of 1.6 and of 0.x.
//!
//! `words` tells options from the other words as getopt(3) does, `value` reads values; here they
//! become a [`Config`]. The first fault's message is what tproxy would have said; all other faults
//! are told with it. `docs/coming-from-transproxy.md` lists what differs on purpose.
//!
//! `-t` means two things. In 1.x a client goes on to where it meant to go, whatever host is named; in
//! 0.x it goes to that host, and there is nothing else. Both are had here: where it meant to go, and
//! if it was not diverted, or that cannot be reached, to the host.

mod value;
mod words;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use model::log::Tag;
use model::{
    Backend, BackendAddress, Bind, Code, Config, Diagnostic, Http, HttpRequests, Idle, Listener,
    Log, LogFormat, LogTarget, Pool, Refusal, Role, Severity, Sources, Span, Spanned, Syslog,
    SyslogLabel, SyslogServer, Timeouts, Transparent, Url, check,
};

use crate::line::{Line, Word, Words};
use crate::native;
use crate::term::url;
use value::Read;
use words::{Flag, Item, Value};

/// What the listener and the pool of a tproxy command line are called.
pub const NAME: &str = "tproxy";

/// The usage that tproxy shows below its errors, behind `usage: ` and its name.
pub const USAGE: &str = "[-t | -p] [-f url] [-s port [-d] [-b ipaddr] [-r user] [-a acl]...]
\t[-l file] [-P pidfile] proxyhost proxyport
";

/// One attempt to connect. In tproxy it is meant to be as long.
const CONNECT: Duration = Duration::from_secs(10);

/// Silence after which a connection ends.
const IDLE: Duration = Duration::from_secs(120);

/// What has to be asked of the machine.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The TCP port of a service.
    pub service: &'a dyn Fn(&str) -> Option<u16>,
    /// The address of a host.
    pub host: &'a dyn Fn(&str) -> Option<IpAddr>,
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
    /// All faults; the first error is the one that tproxy would have ended with.
    pub diagnostics: Vec<Diagnostic>,
    /// What the configuration cannot hold, a line each: for whoever writes it to a file.
    pub notes: Vec<String>,
}

/// What a command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To forward.
    Run,
    /// The options; then faults do not matter.
    Help,
    /// What it would do, as native TOML.
    Explain,
}

/// What becomes of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Whether it serves one client of inetd, or many.
    pub inetd: bool,
    /// Go to the background.
    pub daemon: bool,
    /// Where the process id is written, if it was told.
    pub pidfile: Option<String>,
    /// Whom it goes on as: a name, or `#` and a number.
    pub user: Option<String>,
}

impl Reading {
    /// Whether it can be done.
    pub fn is_sound(&self) -> bool {
        sound(&self.diagnostics)
    }

    /// The configuration as native TOML, and above it what it cannot hold.
    pub fn explain(&self) -> String {
        let notes: String = self.notes.iter().map(|note| format!("# {note}\n")).collect();
        format!("{notes}\n{}", native::write(&self.config))
    }
}

fn sound(faults: &[Diagnostic]) -> bool {
    faults.iter().all(|fault| fault.severity() < Severity::Error)
}

/// Reads a command line. The line as text is added to `sources`.
pub fn read(words: Words<'_>, sources: &mut Sources, surroundings: Surroundings<'_>) -> Reading {
    let line = Line::new(words.program, words.args, sources);
    let mut reader = Reader::new(surroundings);
    for item in words::read(line.words()) {
        match item {
            Item::Flag(flag, span) => reader.flag(flag, span),
            Item::Value(option, word, letter) => reader.value(option, word, letter),
            Item::Positional(word) => reader.others.push(word),
            Item::Fault(fault) => reader.faults.push(fault),
        }
    }
    reader.finish(line.program())
}

/// Where clients go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// To the proxy, or if that cannot be reached, to where they meant to go.
    Proxy,
    /// `-p`: to the proxy.
    ProxyOnly,
    /// `-t`: to where they meant to go.
    Transparent,
}

/// What has been read so far.
struct Reader<'l> {
    surroundings: Surroundings<'l>,
    wish: Wish,
    mode: Mode,
    /// What `-s` says; inside, `None`: that could not be read.
    server: Option<Option<Spanned<u16>>>,
    foreground: bool,
    address: IpAddr,
    user: Option<String>,
    pidfile: Option<String>,
    log: Option<Spanned<String>>,
    force_url: Option<Spanned<Url>>,
    listener: Listener,
    /// The words that are no options: host and port.
    others: Vec<Word<'l>>,
    faults: Vec<Diagnostic>,
}

impl<'l> Reader<'l> {
    fn new(surroundings: Surroundings<'l>) -> Self {
        let listener = Listener {
            timeouts: Timeouts {
                connect: CONNECT,
                idle: Idle::After(IDLE),
                half_closed: None,
                lifetime: None,
                ..Timeouts::default()
            },
            refuse: Refusal::Close,
            transparent: Some(Spanned::default_of(Transparent::Redirect)),
            ..Listener::new(NAME, Spanned::default_of(NAME.to_owned()))
        };
        Self {
            surroundings,
            wish: Wish::Run,
            mode: Mode::Proxy,
            server: None,
            foreground: false,
            address: Ipv4Addr::UNSPECIFIED.into(),
            user: None,
            pidfile: None,
            log: None,
            force_url: None,
            listener,
            others: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn flag(&mut self, flag: Flag, span: Span) {
        match flag {
            Flag::Transparent => self.mode = Mode::Transparent,
            Flag::ProxyOnly => self.mode = Mode::ProxyOnly,
            Flag::Foreground => {
                self.of_server(span);
                self.foreground = true;
            }
            Flag::Explain if self.wish == Wish::Run => self.wish = Wish::Explain,
            Flag::Explain => {}
            Flag::Help => self.wish = Wish::Help,
        }
    }

    fn value(&mut self, option: Value, word: Word<'l>, letter: Span) {
        match option {
            Value::Server => {
                let port = value::port(word, "server port", self.surroundings);
                let port = self.told(port.map(|port| (port, None)));
                self.server = Some(port.map(|port| Spanned::at(port, word.span)));
            }
            Value::Address => {
                self.of_server(letter);
                if let Some(address) = self.told(value::local(word, self.surroundings)) {
                    self.address = address;
                }
            }
            Value::User => {
                self.of_server(letter);
                self.user = self.told(user(word).map(|user| (user, None)));
            }
            Value::Access => {
                self.of_server(letter);
                let range = self.told(value::access(word));
                self.listener
                    .access
                    .allow
                    .extend(range.map(|range| Spanned::at(range.into(), word.span)));
            }
            Value::Url => {
                let url = self.told(url::read(word).map(|url| (url, None)));
                self.force_url = url.map(|url| Spanned::at(url, word.span));
            }
            Value::Log => self.log = self.path(word).map(|path| Spanned::at(path, word.span)),
            Value::Pidfile => self.pidfile = self.path(word),
        }
    }

    /// Told of an option that means something only behind `-s`.
    fn of_server(&mut self, letter: Span) {
        if self.server.is_none() {
            let message = "This option is valid when running as a server";
            self.faults.push(
                Diagnostic::new(Code::Usage, letter, message)
                    .label("there is no `-s` before it")
                    .help("write `-s PORT` before it; without, tproxy serves one client of inetd"),
            );
        }
    }

    fn path(&mut self, word: Word<'_>) -> Option<String> {
        let path = self.told(crate::term::value::path(word).map(|path| (path, None)))?;
        // No word that stands for something else where it is written down.
        let plain = ["/", "./", "../"].iter().any(|start| path.starts_with(start));
        Some(if plain { path } else { format!("./{path}") })
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

    fn finish(mut self, program: Span) -> Reading {
        let runs = self.wish != Wish::Help;
        let proxy = if runs { self.proxy(program) } else { None };
        let process = Process {
            inetd: self.server.is_none(),
            daemon: self.server.is_some() && !self.foreground,
            pidfile: self.pidfile.take(),
            user: self.user.take(),
        };
        let notes = notes(&process);
        let logs = self.logs(&process);
        self.listener.bind = match &self.server {
            None => vec![Spanned::default_of(Bind::Inetd)],
            Some(None) => Vec::new(),
            Some(Some(Spanned { value: port, span })) => {
                let bind = Bind::Tcp { address: Some(self.address), port: *port };
                vec![Spanned { value: bind, span: *span }]
            }
        };
        self.listener.http = Some(Spanned::default_of(self.http()));
        let mut config = Config { logs, ..Config::default() };
        let pool = Pool {
            // Each connection tries the proxy anew.
            retry_down: Duration::ZERO,
            ..Pool::new(Spanned::default_of(NAME.to_owned()), self.backends(proxy))
        };
        config.listeners.push(self.listener);
        config.pools.push(pool);
        if runs && sound(&self.faults) {
            self.faults.extend(check::check(&config));
        }
        Reading { wish: self.wish, config, process, diagnostics: self.faults, notes }
    }

    /// The proxy that the other words name.
    fn proxy(&mut self, program: Span) -> Option<Spanned<BackendAddress>> {
        // A word that is no text stands for one that was meant.
        let is_text = self.faults.iter().all(|fault| fault.code != Code::NotText);
        let missing = |called: &str, span: Span, label: &str| {
            let message = format!("No {called} was specified (or it was invalid).");
            Diagnostic::new(Code::Usage, span, message)
                .label(label.to_owned())
                .help("write the host and the port of the proxy: `cache.example 3128`")
        };
        let (host, port) = match *self.others {
            [] if self.mode == Mode::Transparent => return None,
            [] | [_] if !is_text => return None,
            [] => {
                self.faults.push(missing("proxyhost", program, "where is the proxy?"));
                return None;
            }
            [host] => {
                self.faults.push(missing("proxyport", host.span, "at which port?"));
                return None;
            }
            [host, port, ..] => (host, port),
        };
        let read = value::port(port, "proxyport", self.surroundings);
        let read = self.told(read.map(|port| (port, None)));
        // The host is looked at even if its port is wrong: any will do.
        let address = value::proxy(host, read.unwrap_or(1)).map(|address| (address, None));
        let address = self.told(address);
        if let Some(extra) = self.others.get(2) {
            self.faults.push(
                Diagnostic::new(Code::Usage, extra.span, "Extra arguments were specified.")
                    .label("one word too many")
                    .help("leave it out: a host and a port are all that stands here"),
            );
        }
        let address = address.filter(|_| read.is_some())?;
        Some(Spanned::at(address, host.span))
    }

    fn backends(&self, proxy: Option<Spanned<BackendAddress>>) -> Vec<Backend> {
        let original = || Backend::new(Spanned::default_of(BackendAddress::Original));
        let backup = |backend: Backend| Backend { role: Role::Backup, ..backend };
        let proxy = proxy.map(Backend::new);
        match (self.mode, proxy) {
            (Mode::Proxy, Some(proxy)) => vec![proxy, backup(original())],
            (Mode::ProxyOnly, Some(proxy)) => vec![proxy],
            (Mode::Transparent, Some(proxy)) => vec![original(), backup(proxy)],
            (Mode::Transparent, None) => vec![original()],
            (_, None) => Vec::new(),
        }
    }

    fn http(&mut self) -> Http {
        if self.mode != Mode::Transparent {
            return Http { requests: HttpRequests::Translate, force_url: self.force_url.take() };
        }
        if let Some(span) = self.force_url.take().and_then(|url| url.span) {
            self.faults.push(
                Diagnostic::new(Code::Ignored, span, "with `-t` no request is forced")
                    .label("does nothing")
                    .help("leave `-f` or `-t` out"),
            );
        }
        Http { requests: HttpRequests::Watch, force_url: None }
    }

    /// What is logged, and where: requests where `-l` says, and what goes wrong to syslog; in the
    /// foreground to the terminal as well.
    fn logs(&self, process: &Process) -> Vec<Log> {
        let access = self.log.as_ref().map(|path| {
            // A daemon of tproxy is in the root directory by the time it opens its log.
            let relative = path.value.strip_prefix("./").unwrap_or(&path.value);
            let file = match process.daemon && !path.value.starts_with('/') {
                true => format!("/{relative}"),
                false => path.value.clone(),
            };
            let to = Spanned { value: LogTarget::File(file), span: path.span };
            Log { format: LogFormat::Tproxy, to, ..Log::default() }
        });
        let faults = |to| Log { format: LogFormat::TproxySyslog, ..Log::to(to) };
        let at_terminal = self.foreground && !process.inetd;
        let terminal = at_terminal.then(|| faults(LogTarget::Stderr));
        access.into_iter().chain([faults(syslog())]).chain(terminal).collect()
    }
}

/// The words of `replug run` that a file cannot hold.
fn notes(process: &Process) -> Vec<String> {
    let Process { daemon, pidfile, user, inetd: _ } = process;
    let mut command = "replug run".to_owned();
    if *daemon {
        command += " --daemon";
    }
    for (option, value) in [("--pidfile", pidfile), ("--user", user)] {
        let Some(value) = value else { continue };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+@%".contains(c);
        command += &match value.chars().all(plain) {
            true => format!(" {option} {value}"),
            false => format!(" {option} {value:?}"),
        };
    }
    vec![format!("{command} -c FILE")]
}

/// A user's name, or `#` and a number; whether it exists is seen when the process changes over.
fn user(word: Word<'_>) -> Result<String, Diagnostic> {
    match word.text.find(':') {
        None => crate::term::value::account(word),
        Some(at) => Err(Diagnostic::new(Code::User, word.from(at).span, "this cannot be a user")
            .label("not part of a name")
            .help("write a name, or `#` and a number; the group is the user's own")),
    }
}

/// The syslog of this machine, where tproxy is known as such.
fn syslog() -> LogTarget {
    let tag = Tag::new(NAME).expect("letters are a tag");
    let label = SyslogLabel { tag, ..SyslogLabel::default() };
    LogTarget::Syslog(Syslog { label, ..Syslog::new(SyslogServer::Local) })
}
