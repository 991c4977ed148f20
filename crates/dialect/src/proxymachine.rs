//! The command line of ProxyMachine 1.2.4: `proxymachine -c FILE [-h HOST] [-p PORT]`.
//!
//! `words` tells options from the other words as OptionParser does; here they become a [`Config`]
//! with one listener, whose script decides about every client. What is in the file is for the
//! workers that run it. `docs/coming-from-proxymachine.md` lists what differs on purpose.

mod words;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use model::{
    Bind, ByteSize, Code, Compat, Config, Diagnostic, Idle, Language, Listener, Log, LogFormat,
    LogTarget, Refusal, Script, Severity, Sources, Span, Spanned, Timeouts, check,
};

use crate::line::{Line, Word, Words};
use crate::native;
use crate::suggest;
use words::{Flag, Item, Value};

/// What the listener of a proxymachine command line is called.
pub const NAME: &str = "proxymachine";

/// The version that is meant, in `--compat` too.
pub const VERSION: &str = "1.2.4";

/// The usage that `--help` shows, behind `Usage: ` and its name.
pub const USAGE: &str = " -c <config file> [-h <host>] [-p <port>]
    -c, --config CONFIG              Configuration file: Ruby, or Lua if its name ends in .lua
    -h, --host HOST                  Hostname to bind. Default 0.0.0.0
    -p, --port PORT                  Port to listen on. Default 5432
    -v, --version                    Print the version, and end
        --help                       Print this, and end

Options of replug:
        --workers N                  Ruby processes that decide. Default 1
        --compat 1.2.4               Have blocks mean exactly what they did, or set PM_STRICT=1
        --explain                    Print the configuration that does the same, and end
";

/// Where it listens, unless told.
const PORT: u16 = 5432;

/// One attempt to connect, unless the script says how long: EventMachine's.
const CONNECT: Duration = Duration::from_secs(20);

/// How long a client may be undecided.
const SNIFF: Duration = Duration::from_secs(60);

/// What has to be asked of the machine.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The first address of a host.
    pub host: &'a dyn Fn(&str) -> Option<IpAddr>,
    /// Whether `PM_STRICT` is set.
    pub is_strict: bool,
}

/// What a command line says.
#[derive(Debug)]
pub struct Reading {
    /// What the user wants to see happen.
    pub wish: Wish,
    /// What to forward, as far as it could be read.
    pub config: Config,
    /// All faults.
    pub diagnostics: Vec<Diagnostic>,
}

/// What a command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To forward.
    Run,
    /// The options; then faults do not matter.
    Help,
    /// Which version it is; faults do not matter either.
    Version,
    /// What it would do, as native TOML.
    Explain,
}

impl Reading {
    /// Whether it can be done.
    pub fn is_sound(&self) -> bool {
        sound(&self.diagnostics)
    }

    /// The configuration as native TOML.
    pub fn explain(&self) -> String {
        native::write(&self.config)
    }
}

fn sound(faults: &[Diagnostic]) -> bool {
    faults.iter().all(|fault| fault.severity() < Severity::Error)
}

/// Reads a command line. The line as text is added to `sources`.
pub fn read(words: Words<'_>, sources: &mut Sources, surroundings: Surroundings<'_>) -> Reading {
    let line = Line::new(words.program, words.args, sources);
    let mut reader = Reader {
        surroundings,
        wish: Wish::Run,
        file: None,
        has_file: false,
        address: Spanned::default_of(Ipv4Addr::UNSPECIFIED.into()),
        port: PORT,
        workers: None,
        is_strict: surroundings.is_strict,
        faults: Vec::new(),
    };
    for item in words::read(line.words()) {
        match item {
            Item::Flag(flag) => reader.flag(flag),
            Item::Value(option, word) => reader.value(option, word),
            Item::Other(word) => reader.faults.push(passed_over(word)),
            Item::Fault(fault) => reader.faults.push(fault),
        }
    }
    reader.finish(line.program())
}

/// What has been read so far.
struct Reader<'l> {
    surroundings: Surroundings<'l>,
    wish: Wish,
    file: Option<Spanned<String>>,
    /// Whether a file was named, even if it is none.
    has_file: bool,
    address: Spanned<IpAddr>,
    port: u16,
    workers: Option<Spanned<NonZeroU32>>,
    is_strict: bool,
    faults: Vec<Diagnostic>,
}

impl Reader<'_> {
    /// The first wish that ends everything counts, as OptionParser comes upon it.
    fn flag(&mut self, flag: Flag) {
        let wish = match flag {
            Flag::Help => Wish::Help,
            Flag::Version => Wish::Version,
            Flag::Explain => Wish::Explain,
        };
        if matches!(self.wish, Wish::Run | Wish::Explain) {
            self.wish = wish;
        }
    }

    fn value(&mut self, option: Value, word: Word<'_>) {
        match option {
            Value::Config => {
                self.has_file = true;
                let path = self.told(crate::term::value::path(word));
                self.file = path.map(|path| Spanned::at(plain(path), word.span));
            }
            Value::Host => {
                if let Some(address) = self.address(word) {
                    self.address = Spanned::at(address, word.span);
                }
            }
            Value::Port => {
                if let Some(port) = self.told(port(word)) {
                    self.port = port;
                }
            }
            Value::Workers => {
                let max = usize::try_from(Script::WORKERS_MAX).unwrap_or(usize::MAX);
                let count = self.told(crate::term::value::count(word, max));
                let count = count.and_then(|count| u32::try_from(count.get()).ok());
                self.workers =
                    count.and_then(NonZeroU32::new).map(|count| Spanned::at(count, word.span));
            }
            Value::Compat if word.text == VERSION => self.is_strict = true,
            Value::Compat => self.faults.push(
                Diagnostic::new(Code::Choice, word.span, "there is no such version to be like")
                    .label(format!("not `{VERSION}`"))
                    .help(format!("write `--compat {VERSION}`, or leave it out")),
            ),
        }
    }

    fn told<T>(&mut self, read: Result<T, Diagnostic>) -> Option<T> {
        read.map_err(|fault| self.faults.push(fault)).ok()
    }

    /// An address, or the first one of a name.
    fn address(&mut self, word: Word<'_>) -> Option<IpAddr> {
        let bare = word.text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(word.text).parse() {
            return Some(address);
        }
        let Some(address) = (self.surroundings.host)(word.text) else {
            self.faults.push(
                Diagnostic::new(Code::Address, word.span, "this is no address to listen on")
                    .label("neither an address nor a name that has one")
                    .help("write an address of this machine: `0.0.0.0` or `::` for all"),
            );
            return None;
        };
        let message = format!("`{}` is looked up once", word.text);
        self.faults.push(
            Diagnostic::new(Code::ReadAs, word.span, message)
                .label(format!("read as {address}"))
                .help(format!("write `{address}`")),
        );
        Some(address)
    }

    fn finish(mut self, program: Span) -> Reading {
        let runs = matches!(self.wish, Wish::Run | Wish::Explain);
        // A word that is no text stands for one that was meant.
        let is_text = self.faults.iter().all(|fault| fault.code != Code::NotText);
        if runs && !self.has_file && is_text {
            self.faults.push(
                Diagnostic::new(Code::Usage, program, "no configuration file is named")
                    .label("what decides where clients go?")
                    .help("write the file behind `-c`: `proxymachine -c route.rb`"),
            );
        }
        let listener = self.listener();
        let log = Log { format: LogFormat::Proxymachine, ..Log::to(LogTarget::Stdout) };
        let config = Config { listeners: vec![listener], logs: vec![log], ..Config::default() };
        if runs && sound(&self.faults) {
            self.faults.extend(check::check(&config));
        }
        Reading { wish: self.wish, config, diagnostics: self.faults }
    }

    fn listener(&self) -> Listener {
        let bind = Bind::Tcp { address: Some(self.address.value), port: self.port };
        let script =
            self.file.as_ref().map(|file| Spanned { value: self.script(file), span: file.span });
        Listener {
            bind: vec![Spanned { value: bind, span: self.address.span }],
            script,
            pool: None,
            refuse: Refusal::Close,
            sniff_bytes: ByteSize::new(Listener::SNIFF_BYTES_MAX).expect("it is not zero"),
            timeouts: Timeouts {
                connect: CONNECT,
                sniff: SNIFF,
                idle: Idle::Never,
                ..Timeouts::default()
            },
            ..Listener::new(NAME, Spanned::default_of(NAME.to_owned()))
        }
    }

    fn script(&self, file: &Spanned<String>) -> Script {
        let language = Language::of(&file.value).unwrap_or(Language::Ruby);
        Script {
            workers: self.workers.as_ref().map(|count| count.value),
            compat: match self.is_strict {
                true => Compat::ProxyMachine,
                false => Compat::Replug,
            },
            ..Script::new(file.value.clone(), language)
        }
    }
}

/// No word that stands for something else where it is written down.
fn plain(path: String) -> String {
    let plain = ["/", "./", "../"].iter().any(|start| path.starts_with(start));
    if plain { path } else { format!("./{path}") }
}

/// A number; 0 has the kernel choose.
fn port(word: Word<'_>) -> Result<u16, Diagnostic> {
    let digits = !word.text.is_empty() && word.text.bytes().all(|byte| byte.is_ascii_digit());
    word.text.parse().ok().filter(|_| digits).ok_or_else(|| {
        Diagnostic::new(Code::Port, word.span, format!("invalid argument: -p {}", word.text))
            .label("not a number from 0 to 65535")
            .help("services are not looked up by name")
    })
}

/// A word that proxymachine does not look at.
fn passed_over(word: Word<'_>) -> Diagnostic {
    let fault = Diagnostic::new(Code::Ignored, word.span, "this word means nothing here")
        .label("passed over, as proxymachine does");
    match suggest::nearest(word.text, ["-c", "-h", "-p"]) {
        Some(meant) => fault.help(format!("did you mean `{meant}`?")),
        None => fault.help("the file stands behind `-c`"),
    }
}
