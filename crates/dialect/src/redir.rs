//! The command line of redir in the three forms that it has had.
//!
//! ```text
//! 1.x  redir [OPTIONS] [HOST] [ADDRESS:]PORT PORT      redir --inetd [OPTIONS] [HOST] PORT
//! 2.x  redir [OPTIONS] --lport=PORT --cport=PORT [--laddr=ADDRESS] [--caddr=HOST]
//! 3.x  redir [OPTIONS] [ADDRESS]:PORT [HOST]:PORT      redir -i [OPTIONS] [HOST]:PORT
//! ```
//!
//! An option that only version 2 has (`--lport`, `--laddr`, `--cport`, `--caddr`, `--debug`, with the
//! letters of the last four) makes it a line of version 2; without one, a target with a colon makes it
//! one of version 3. `words` tells options from other words, `value` reads values; here they become a
//! [`Config`]. `docs/coming-from-redir.md` lists what differs on purpose.

mod value;
mod words;

use std::net::IpAddr;
use std::time::Duration;

use model::log::Tag;
use model::{
    Backend, BackendAddress, Bind, ByteSize, Code, Config, Delay, Diagnostic, Ftp, FtpModes, Idle,
    Listener, Log, LogFormat, LogTarget, Pool, Proxy, ProxyProtocol, Refusal, Severity, Source,
    Sources, Span, Spanned, Syslog, SyslogLabel, SyslogServer, Timeouts, Verbosity, check,
};

use crate::line::{Line, Word, Words};
use crate::native;
use value::{Read, Shaped};
use words::{Given, Id, Told};

/// What the listener and the pool of a redir command line are called.
pub const NAME: &str = "redir";

/// The options, below the forms.
pub const USAGE: &str = "
  [OPTIONS] [ADDRESS]:PORT [HOST]:PORT
  [OPTIONS] -i [HOST]:PORT
  [OPTIONS] --lport=PORT --cport=PORT [--laddr=ADDRESS] [--caddr=HOST]
  [OPTIONS] [HOST] [ADDRESS:]PORT PORT

Options:
  -b, --bind=ADDRESS            where connections to the target leave from
  -f, --ftp[=TYPE]              carry data connections of FTP: pasv (the default), port, both
  -h, --help                    print this, and end
  -I, --ident=NAME, --name=NAME what syslog messages begin with
  -i, --inetd                   the client is standard input
  -l, --loglevel=LEVEL          none, err, warning, notice (the default), info, debug
  -n, --foreground              stay in the foreground
  -p, --transproxy              leave from the client's address
  -s, --syslog                  log to syslog; with -n twice: only there
  -t, --timeout=SECONDS         close connections that are idle for so long
  -v, --version                 print the version, and end
  -x, --connect=HOST:PORT       what the target, an HTTP proxy, is asked for
  -m, --max-bandwidth=BITS      bits per second of each connection, each way
  -o, --wait-in-out=FLAGS       1: only to the client, 2: only to the target, 3: both
  -w, --random-wait=MS          a random pause of this mean before each buffer
  -z, --bufsize=BYTES           the size of a buffer
  -l PORT, -r PORT, -a ADDRESS, -c HOST, -d, -n NAME
                                --lport, --cport, --laddr, --caddr, --debug, --name of version 2
      --explain                 print the configuration that does the same, and end
";

/// One attempt to connect. In redir it lasts as long as the kernel sends SYNs, two minutes.
const CONNECT: Duration = Duration::from_secs(30);

/// How long half a connection may be silent. redir ends both halves at once.
const HALF_CLOSED: Duration = Duration::from_secs(60);

/// The buffers of versions 2 and 3, in bytes.
const BUFFERS: (u32, u32) = (4_096, 8_192);

/// Where nothing is kept.
const NOWHERE: &str = "/dev/null";

/// What a command line is read in.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The TCP port of a service, if it has one.
    pub service: &'a dyn Fn(&str) -> Option<u16>,
    /// The address of a name, if it has one now.
    pub resolve: &'a dyn Fn(&str) -> Option<IpAddr>,
}

/// What a command line says.
#[derive(Debug)]
pub struct Reading {
    /// What the user wants to see happen.
    pub wish: Wish,
    /// In whose words.
    pub version: Version,
    /// What to forward, as far as it could be read.
    pub config: Config,
    /// Whether to go to the background.
    pub daemon: bool,
    /// All faults.
    pub diagnostics: Vec<Diagnostic>,
    /// What redir would have ended with first; `None`: it can be done.
    pub failure: Option<Failure>,
}

/// Whose command line it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Words in their order.
    One,
    /// Everything is an option.
    Two,
    /// `ADDRESS:PORT HOST:PORT`.
    #[default]
    Three,
}

/// What a command line asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// To forward.
    #[default]
    Run,
    /// The version.
    Version,
    /// The options.
    Help,
    /// What it would do, as native TOML.
    Explain,
}

/// Why a command line cannot be carried out: redir tells these apart by how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An option or a value that it does not know.
    Usage,
    /// No word says what to forward.
    Missing,
    /// A word that should be an address and a port has no colon.
    NoColon,
    /// A name without an address.
    Unresolved,
}

impl Reading {
    /// The configuration as native TOML, and above it what it cannot hold.
    pub fn explain(&self) -> String {
        let daemon = if self.daemon { " --daemon" } else { "" };
        format!("# replug run{daemon} -c FILE\n\n{}", native::write(&self.config))
    }
}

/// Reads a command line. The line as text is added to `sources`.
pub fn read(words: Words<'_>, sources: &mut Sources, around: Surroundings<'_>) -> Reading {
    let line = Line::new(words.program, words.args, sources);
    let Told { given, positional, faults } = words::read(line.words());
    let mut reader = Reader::new(around, &given, &positional);
    for fault in faults {
        reader.fail(Failure::Usage, fault);
    }
    for given in &given {
        reader.option(*given);
    }
    if reader.version == Version::Two {
        reader.two(line.program());
    } else {
        reader.positional(&positional, line.program());
    }
    reader.finish(words.program)
}

/// What has been read so far.
struct Reader<'a> {
    around: Surroundings<'a>,
    version: Version,
    /// Whether a line of options alone has an option that only version 3 knows.
    is_compatible: bool,
    wish: Wish,
    /// Where to listen, and where clients go, by options.
    by_option: [Option<Word<'a>>; 4],
    bind: Option<Spanned<Bind>>,
    target: Option<Spanned<BackendAddress>>,
    asked: Option<Spanned<BackendAddress>>,
    source: Option<Spanned<Source>>,
    as_client: Option<Span>,
    ftp: Option<Spanned<FtpModes>>,
    timeout: Option<Duration>,
    bandwidth: Option<model::ByteRate>,
    pause: Option<Duration>,
    shaped: Shaped,
    buffer: Option<u32>,
    inetd: bool,
    debug: bool,
    syslogs: usize,
    foregrounds: usize,
    level: Option<Verbosity>,
    ident: Option<Tag>,
    faults: Vec<Diagnostic>,
    failure: Option<Failure>,
}

/// The places of [`Reader::by_option`].
const BY_OPTION: [Id; 4] = [Id::Laddr, Id::Lport, Id::Caddr, Id::Cport];

impl<'a> Reader<'a> {
    fn new(around: Surroundings<'a>, given: &[Given<'a>], positional: &[Word<'a>]) -> Self {
        let has = |id: Id| given.iter().any(|given| given.id == id);
        let version = match given.iter().any(|given| given.id.is_of_version_2()) {
            true => Version::Two,
            false => version(positional, has(Id::Inetd)),
        };
        let is_compatible = [Id::Loglevel, Id::Foreground].into_iter().any(has)
            || has(Id::Lport) && has(Id::PortOrLevel);
        Self {
            around,
            version,
            is_compatible,
            wish: Wish::Run,
            by_option: [None; 4],
            bind: None,
            target: None,
            asked: None,
            source: None,
            as_client: None,
            ftp: None,
            timeout: None,
            bandwidth: None,
            pause: None,
            shaped: Shaped::BOTH,
            buffer: None,
            inetd: false,
            debug: false,
            syslogs: 0,
            foregrounds: 0,
            level: Some(Verbosity::Quiet),
            ident: None,
            faults: Vec::new(),
            failure: None,
        }
    }

    fn fail(&mut self, failure: Failure, fault: Diagnostic) {
        self.failure.get_or_insert(failure);
        self.faults.push(fault);
    }

    fn read<T>(&mut self, failure: Failure, read: Result<T, Diagnostic>) -> Option<T> {
        read.map_err(|fault| self.fail(failure, fault)).ok()
    }

    fn told<T>(&mut self, read: Read<T>) -> Option<T> {
        let (value, told) = self.read(Failure::Usage, read)?;
        self.faults.extend(told);
        Some(value)
    }

    fn option(&mut self, given: Given<'a>) {
        match given.id {
            Id::Inetd => self.inetd = true,
            Id::Debug => self.debug = true,
            Id::Syslog => self.syslogs += 1,
            Id::Foreground => self.foregrounds += 1,
            Id::Transproxy => self.as_client = Some(given.span),
            Id::Help => self.wish = Wish::Help,
            Id::Version if self.wish != Wish::Help => self.wish = Wish::Version,
            Id::Explain if self.wish == Wish::Run => self.wish = Wish::Explain,
            Id::Version | Id::Explain => {}
            Id::Ftp => {
                let read = given.value.map_or(Ok(FtpModes::Passive), value::ftp);
                let span = given.value.map_or(given.span, |word| word.span);
                let modes = self.read(Failure::Usage, read);
                self.ftp = modes.map(|modes| Spanned::at(modes, span));
            }
            _ => {
                if let Some(word) = given.value {
                    self.value(given.id, word);
                }
            }
        }
    }

    fn value(&mut self, id: Id, word: Word<'a>) {
        match id {
            Id::Lport | Id::Laddr | Id::Cport | Id::Caddr => self.place(id, word),
            Id::PortOrLevel if self.version == Version::Two && !self.is_level(word) => {
                self.place(Id::Lport, word);
            }
            Id::PortOrLevel | Id::Loglevel => {
                if let Some(level) = self.read(Failure::Usage, value::level(word)) {
                    self.level = level;
                }
            }
            Id::Bind => {
                let source = self.read(Failure::Unresolved, value::source(word, self.around));
                let source = source.map(|ip| Source::Addresses(vec![ip]));
                self.source = source.map(|source| Spanned::at(source, word.span));
            }
            Id::Timeout => self.timeout = self.told(value::seconds(word)).flatten(),
            Id::Name => self.name(word),
            Id::Connect => {
                let asked = self.read(Failure::Usage, value::asked(word));
                self.asked = asked.map(|asked| Spanned::at(asked, word.span));
            }
            Id::Bufsize => self.buffer = self.read(Failure::Usage, value::buffer(word)),
            Id::Bandwidth => self.bandwidth = self.told(value::bandwidth(word)).flatten(),
            Id::RandomWait => self.pause = self.told(value::pause(word)).flatten(),
            Id::WaitInOut => {
                if let Some(shaped) = self.read(Failure::Usage, value::directions(word)) {
                    self.shaped = shaped;
                }
            }
            // These have none.
            _ => {}
        }
    }

    fn place(&mut self, id: Id, word: Word<'a>) {
        if let Some(at) = BY_OPTION.iter().position(|known| *known == id) {
            self.by_option[at] = Some(word);
        }
    }

    /// Whether the value of a `-l` that stands among options of version 2 is a level.
    fn is_level(&self, word: Word<'_>) -> bool {
        value::is_level(word.text) || self.by_option[1].is_some()
    }

    fn name(&mut self, word: Word<'_>) {
        self.ident = Tag::new(word.text);
        if self.ident.is_none() {
            let message = format!("`{}` cannot be the name in syslog", word.text);
            self.faults.push(
                Diagnostic::new(Code::Ignored, word.span, message).label("not used").help(format!(
                    "names are letters, digits and `-_./`, at most {} of them",
                    Tag::BYTES_MAX
                )),
            );
        }
    }

    /// Version 2: everything is an option.
    fn two(&mut self, line: Span) {
        let [laddr, lport, caddr, cport] = self.by_option;
        let missing = match (lport, cport) {
            (_, None) => Some("--cport"),
            (None, _) if !self.inetd => Some("--lport"),
            _ => None,
        };
        if let Some(missing) = missing {
            return self.missing(line, missing);
        }
        if let Some(port) = lport.filter(|_| !self.inetd) {
            self.listen(laddr.unwrap_or_else(|| port.part(0..0)), port);
        }
        if let Some(port) = cport {
            self.go(caddr.unwrap_or_else(|| port.part(0..0)), port);
        }
    }

    fn missing(&mut self, line: Span, what: &str) {
        if matches!(self.wish, Wish::Run | Wish::Explain) {
            let fault = Diagnostic::new(Code::Usage, line, format!("there is no {what}"));
            let help = "write where to listen and where to go to: `redir :8080 10.0.0.11:80`";
            self.fail(Failure::Missing, fault.label("not enough words").help(help));
        }
    }

    /// Versions 1 and 3: words without a dash.
    fn positional(&mut self, words: &[Word<'a>], line: Span) {
        let (listen, target) = match (words, self.inetd) {
            ([], _) => return self.missing(line, "target"),
            ([host, port, ..], true) if self.version == Version::One => (None, (*host, *port)),
            ([port, ..], true) if self.version == Version::One => (None, (port.part(0..0), *port)),
            ([target, ..], true) => (None, self.apart(*target)),
            ([host, listen, port, ..], false) if self.version == Version::One => {
                (Some(self.maybe_apart(*listen)), (*host, *port))
            }
            ([listen, port], false) if self.version == Version::One => {
                (Some(self.maybe_apart(*listen)), (port.part(0..0), *port))
            }
            ([listen], false) => {
                let _ = self.apart(*listen);
                return match self.failure {
                    Some(Failure::NoColon) => {}
                    _ => self.missing(line, "target"),
                };
            }
            ([listen, target, ..], false) => (Some(self.apart(*listen)), self.apart(*target)),
        };
        if self.failure == Some(Failure::NoColon) {
            return;
        }
        if let Some((host, port)) = listen {
            self.listen(host, port);
        }
        self.go(target.0, target.1);
    }

    /// `[HOST]:PORT`.
    fn apart(&mut self, word: Word<'a>) -> (Word<'a>, Word<'a>) {
        value::split(word).unwrap_or_else(|| {
            let message = format!("`{}` has no colon before its port", word.text);
            let fault = Diagnostic::new(Code::PortMissing, word.span, message);
            let help = format!("write `:{0}` for a port, `{0}:80` for a host", word.text);
            self.fail(Failure::NoColon, fault.label("address or port?").help(help));
            (word, word.part(0..0))
        })
    }

    /// `[HOST:]PORT`.
    fn maybe_apart(&self, word: Word<'a>) -> (Word<'a>, Word<'a>) {
        value::split(word).unwrap_or_else(|| (word.part(0..0), word))
    }

    fn listen(&mut self, host: Word<'a>, port: Word<'a>) {
        let address = self.read(Failure::Unresolved, value::local(host, self.around));
        let read = value::port(port, self.around);
        let number = self.read(Failure::Usage, read);
        if let (Some(address), Some(number)) = (address, number) {
            self.bind = Some(Spanned::at(Bind::Tcp { address, port: number }, port.span));
        }
    }

    fn go(&mut self, host: Word<'a>, port: Word<'a>) {
        let read = value::port(port, self.around);
        let Some(number) = self.read(Failure::Usage, read) else { return };
        let span = if host.text.is_empty() { port.span } else { host.span };
        let Some(target) = self.read(Failure::Usage, value::target(host, number)) else { return };
        // Once at the start, as it was; later versions are told that it may come back.
        if let (Version::Two, BackendAddress::Name { host: name, .. }) = (self.version, &target)
            && (self.around.resolve)(&name.to_string()).is_none()
        {
            let message = format!("{name}: host unknown.");
            let fault = Diagnostic::new(Code::HostName, span, message).label("no address");
            self.fail(Failure::Unresolved, fault.help("write its address, or mend its name"));
        }
        self.target = Some(Spanned::at(target, span));
    }

    fn finish(mut self, program: &str) -> Reading {
        if self.inetd {
            self.bind = Some(Spanned::default_of(Bind::Inetd));
        }
        let daemon = self.version == Version::Three && self.foregrounds == 0 && !self.inetd;
        let logs = self.logs(program, daemon);
        let mut config = Config { logs, ..Config::default() };
        config.pools.push(self.pool());
        config.listeners.push(self.listener());
        if matches!(self.wish, Wish::Run | Wish::Explain) && self.failure.is_none() {
            for fault in check::check(&config) {
                match fault.severity() < Severity::Error {
                    true => self.faults.push(fault),
                    false => self.fail(Failure::Usage, fault),
                }
            }
        }
        let Self { wish, version, faults, failure, .. } = self;
        Reading { wish, version, config, daemon, diagnostics: faults, failure }
    }

    fn pool(&mut self) -> Pool {
        let mut pool = Pool::new(Spanned::default_of(NAME.to_owned()), Vec::new());
        pool.backends.extend(match (self.asked.take(), self.target.take()) {
            (Some(asked), Some(proxy)) => {
                let protocol = ProxyProtocol::Http { bare: false };
                let via = Proxy::new(proxy.value, protocol);
                pool.via = vec![Spanned { value: via, span: proxy.span }];
                Some(Backend::new(asked))
            }
            (None, target) => target.map(Backend::new),
            (Some(_), None) => None,
        });
        pool.source = match self.as_client {
            Some(span) => Some(Spanned::at(Source::Client, span)),
            None => self.source.take(),
        };
        // No server can connect to an address that is the proxy's, or the client's.
        let is_one_way = !pool.via.is_empty() || self.as_client.is_some();
        if let Some(ftp) = &mut self.ftp
            && is_one_way
            && ftp.value == FtpModes::Both
        {
            ftp.value = FtpModes::Passive;
            let message = "active data connections cannot be carried here";
            let fault = Diagnostic::new(Code::Ignored, ftp.span, message).label("read as pasv");
            self.faults
                .push(fault.help("the server would have to connect to the target, or client"));
        }
        pool
    }

    fn listener(&self) -> Listener {
        let mut listener = Listener::new(NAME, Spanned::default_of(NAME.to_owned()));
        listener.bind.extend(self.bind.clone());
        listener.refuse = Refusal::Close;
        listener.timeouts = Timeouts {
            connect: CONNECT,
            idle: Idle::after(self.timeout),
            half_closed: Some(self.timeout.map_or(HALF_CLOSED, |time| time.min(HALF_CLOSED))),
            lifetime: None,
            ..Timeouts::default()
        };
        listener.limits.session_bandwidth = self.shaped.bandwidth(self.bandwidth);
        let (to_backend, to_client) = self.shaped.each(self.pause);
        if to_backend.or(to_client).is_some() {
            let usual = if self.version == Version::Three { BUFFERS.1 } else { BUFFERS.0 };
            let usual_chunk = Delay::default().chunk;
            let chunk = ByteSize::new(self.buffer.unwrap_or(usual));
            listener.delay = Delay { to_backend, to_client, chunk: chunk.unwrap_or(usual_chunk) };
        }
        let modes = self.ftp.as_ref();
        listener.ftp = modes.map(|modes| Spanned {
            value: Ftp { modes: modes.value, ports: None },
            span: modes.span,
        });
        listener
    }

    /// Version 3 logs to syslog, and in the foreground to the terminal unless `-s` outweighs `-n`.
    /// Version 2 logs to syslog if it is told to, and to the terminal what goes wrong or is debugged.
    fn logs(&self, program: &str, daemon: bool) -> Vec<Log> {
        let tag = self.ident.clone().or_else(|| Tag::new(program)).unwrap_or_default();
        let label = SyslogLabel { tag, ..SyslogLabel::default() };
        let syslog = LogTarget::Syslog(Syslog { label, ..Syslog::new(SyslogServer::Local) });
        let log = |format, verbosity, to| Log { format, verbosity, ..Log::to(to) };
        if self.version == Version::Three || self.is_compatible {
            let format = LogFormat::RedirSyslog;
            let Some(level) = self.level else {
                let nowhere = LogTarget::File(NOWHERE.to_owned());
                return vec![log(format, Verbosity::Quiet, nowhere)];
            };
            let foregrounds = self.foregrounds.max(usize::from(self.version != Version::Three));
            let shown = !daemon && foregrounds > 0 && self.syslogs < foregrounds + 1;
            let terminal = shown.then(|| log(format, level, LogTarget::Stderr));
            return [log(format, level, syslog)].into_iter().chain(terminal).collect();
        }
        let format = LogFormat::Redir2Syslog;
        let told = (self.syslogs > 0).then(|| log(format, Verbosity::Normal, syslog.clone()));
        let shown = match (self.debug, self.inetd) {
            (true, _) => Some(log(format, Verbosity::Verbose, LogTarget::Stderr)),
            (false, false) => Some(log(format, Verbosity::Quiet, LogTarget::Stderr)),
            (false, true) if told.is_some() => None,
            // Standard error may be the client.
            (false, true) => Some(log(format, Verbosity::Quiet, syslog)),
        };
        told.into_iter().chain(shown).collect()
    }
}

/// Whose line it is that has no option of version 2.
fn version(positional: &[Word<'_>], inetd: bool) -> Version {
    let plain = |word: &Word<'_>| !word.text.contains(':');
    let is_one = match (positional, inetd) {
        ([port], true) | ([_, port], false) => plain(port),
        ([host, port], true) | ([host, _, port], false) => plain(host) && plain(port),
        _ => false,
    };
    if is_one { Version::One } else { Version::Three }
}
