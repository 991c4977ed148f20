//! The words of a redir command line, told apart as getopt_long(3) does it.
//!
//! `--opt=v` and `--opt v`, unique beginnings of long options, letters that share a word, options
//! behind other words, `--` as the end of options. One table serves all versions: only `-n` and `-l`
//! mean one thing in version 2 and another in version 3. `-l` has a value in both; whether `-n` has
//! one is told by the words around it.

use model::{Code, Diagnostic, Span};

use crate::line::Word;
use crate::suggest;

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    Lport,
    Laddr,
    Cport,
    Caddr,
    Bind,
    Debug,
    Timeout,
    Inetd,
    Name,
    Syslog,
    Ftp,
    Transproxy,
    Connect,
    Bufsize,
    Bandwidth,
    RandomWait,
    WaitInOut,
    Loglevel,
    /// `-l`: the port to listen on in version 2, how much is logged in version 3.
    PortOrLevel,
    Foreground,
    Help,
    Version,
    Explain,
}

/// What stands on the line, in its order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    pub(super) id: Id,
    /// Its value; `None` for one that has none.
    pub(super) value: Option<Word<'a>>,
    /// The option itself.
    pub(super) span: Span,
}

/// A line, told apart.
#[derive(Debug, Default)]
pub(super) struct Told<'a> {
    pub(super) given: Vec<Given<'a>>,
    pub(super) positional: Vec<Word<'a>>,
    pub(super) faults: Vec<Diagnostic>,
}

const LONG: [(&str, Id); 29] = [
    ("bind", Id::Bind),
    ("bind_addr", Id::Bind),
    ("bufsize", Id::Bufsize),
    ("caddr", Id::Caddr),
    ("connect", Id::Connect),
    ("cport", Id::Cport),
    ("debug", Id::Debug),
    ("explain", Id::Explain),
    ("foreground", Id::Foreground),
    ("ftp", Id::Ftp),
    ("help", Id::Help),
    ("ident", Id::Name),
    ("inetd", Id::Inetd),
    ("laddr", Id::Laddr),
    ("loglevel", Id::Loglevel),
    ("lport", Id::Lport),
    ("max-bandwidth", Id::Bandwidth),
    ("max_bandwidth", Id::Bandwidth),
    ("maxbandwidth", Id::Bandwidth),
    ("name", Id::Name),
    ("random-wait", Id::RandomWait),
    ("random_wait", Id::RandomWait),
    ("syslog", Id::Syslog),
    ("timeout", Id::Timeout),
    ("transproxy", Id::Transproxy),
    ("version", Id::Version),
    ("wait-in-out", Id::WaitInOut),
    ("wait_in_out", Id::WaitInOut),
    ("bind-addr", Id::Bind),
];

const LETTERS: [(char, Id); 21] = [
    ('a', Id::Laddr),
    ('b', Id::Bind),
    ('c', Id::Caddr),
    ('d', Id::Debug),
    ('f', Id::Ftp),
    ('h', Id::Help),
    ('I', Id::Name),
    ('i', Id::Inetd),
    ('l', Id::PortOrLevel),
    ('m', Id::Bandwidth),
    ('n', Id::Foreground),
    ('o', Id::WaitInOut),
    ('p', Id::Transproxy),
    ('r', Id::Cport),
    ('s', Id::Syslog),
    ('t', Id::Timeout),
    ('v', Id::Version),
    ('w', Id::RandomWait),
    ('x', Id::Connect),
    ('z', Id::Bufsize),
    ('?', Id::Help),
];

/// The types that `--ftp` takes, told by their first four letters.
pub(super) const FTP_TYPES: [&str; 3] = ["pasv", "port", "both"];

impl Id {
    fn takes_value(self) -> bool {
        !matches!(
            self,
            Self::Debug
                | Self::Inetd
                | Self::Syslog
                | Self::Ftp
                | Self::Transproxy
                | Self::Foreground
                | Self::Help
                | Self::Version
                | Self::Explain
        )
    }

    /// Whether only version 2, and the compatible part of version 3, know it.
    pub(super) fn is_of_version_2(self) -> bool {
        matches!(self, Self::Lport | Self::Laddr | Self::Cport | Self::Caddr | Self::Debug)
    }
}

/// Whether `text` is a type of `--ftp`.
pub(super) fn is_ftp_type(text: &str) -> bool {
    FTP_TYPES.iter().any(|kind| text.get(..4).is_some_and(|text| text.eq_ignore_ascii_case(kind)))
}

/// Tells the words apart.
pub(super) fn read<'a>(words: impl Iterator<Item = Word<'a>>) -> Told<'a> {
    let words: Vec<_> = words.collect();
    let is_version_2 = words.iter().any(|word| speaks_of_version_2(word.text));
    let mut reader = Reader { words, at: 0, is_version_2, told: Told::default() };
    while let Some(word) = reader.next() {
        let text = word.text;
        if !word.is_text {
            reader.told.faults.push(word.not_text());
        } else if text == "--" {
            reader.told.positional.extend(&reader.words[reader.at..]);
            break;
        } else if text.starts_with("--") {
            reader.long(word);
        } else if text.len() > 1 && text.starts_with('-') {
            reader.cluster(word);
        } else {
            reader.told.positional.push(word);
        }
    }
    reader.told
}

/// Whether a word can only be an option of version 2.
fn speaks_of_version_2(text: &str) -> bool {
    if let Some(long) = text.strip_prefix("--") {
        let name = long.split('=').next().unwrap_or(long);
        return matches!(find(name), Ok(id) if id.is_of_version_2());
    }
    // As the first letter: behind others it may be a part of a value.
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(['a', 'c', 'd', 'r']))
}

struct Reader<'a> {
    words: Vec<Word<'a>>,
    at: usize,
    is_version_2: bool,
    told: Told<'a>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Word<'a>> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    /// The next word, if `wanted` says that it is a value.
    fn next_if(&mut self, wanted: impl Fn(&str) -> bool) -> Option<Word<'a>> {
        let next = self.words.get(self.at).filter(|next| next.is_text && wanted(next.text));
        next.copied().inspect(|_| self.at += 1)
    }

    fn long(&mut self, word: Word<'a>) {
        let end = word.text.find('=').unwrap_or(word.text.len());
        let name = word.part(2..end);
        let id = match find(name.text) {
            Ok(id) => id,
            Err(fault) => return self.told.faults.push(fault.diagnostic(word.part(0..end))),
        };
        let joined = (end < word.text.len()).then(|| word.from(end + 1));
        let span = word.part(0..end).span;
        if joined.is_some() && !id.takes_value() && id != Id::Ftp {
            let message = format!("option '--{}' doesn't allow an argument", name.text);
            let fault = Diagnostic::new(Code::Usage, word.span, message);
            return self
                .told
                .faults
                .push(fault.label("has a value").help(format!("write `--{}`", name.text)));
        }
        self.give(id, joined, span);
    }

    fn cluster(&mut self, word: Word<'a>) {
        for (letter, name, rest) in word.letters() {
            let Some((_, id)) = LETTERS.iter().find(|(known, _)| *known == letter) else {
                let fault = Unknown::None.diagnostic(name);
                return self.told.faults.push(fault);
            };
            let joined = (!rest.text.is_empty()).then_some(rest);
            if *id == Id::Foreground && self.is_name(joined) {
                return self.give(Id::Name, joined, name.span);
            }
            // What is behind `-f` is its type, or other letters.
            let is_value = id.takes_value()
                || *id == Id::Ftp && joined.is_none_or(|rest| is_ftp_type(rest.text));
            if is_value {
                return self.give(*id, joined, name.span);
            }
            let given = Given { id: *id, value: None, span: name.span };
            self.told.given.push(given);
        }
    }

    /// Whether `-n` is the one of version 2, which has a name behind it.
    fn is_name(&self, joined: Option<Word<'_>>) -> bool {
        let flags = |rest: &str| {
            let flag = |c| LETTERS.iter().any(|(known, id)| *known == c && !id.takes_value());
            rest.chars().all(flag)
        };
        self.is_version_2
            && match joined {
                Some(rest) => !flags(rest.text),
                None => self.words.get(self.at).is_some_and(|next| !next.text.starts_with('-')),
            }
    }

    fn give(&mut self, id: Id, joined: Option<Word<'a>>, span: Span) {
        let value = match id {
            Id::Ftp => joined.or_else(|| self.next_if(is_ftp_type)),
            _ if id.takes_value() => match joined.or_else(|| self.next()) {
                Some(value) if value.is_text => Some(value),
                Some(value) => return self.told.faults.push(value.not_text()),
                None => {
                    let fault =
                        Diagnostic::new(Code::Usage, span, "this option requires an argument");
                    let fault = fault.label("nothing stands behind it");
                    return self
                        .told
                        .faults
                        .push(fault.help("write its value in the same word or the next"));
                }
            },
            _ => None,
        };
        self.told.given.push(Given { id, value, span });
    }
}

/// Why a name is that of no option.
enum Unknown {
    None,
    /// It begins several.
    Ambiguous(Vec<&'static str>),
}

/// The option of this name, or the only one that begins so.
fn find(name: &str) -> Result<Id, Unknown> {
    if let Some((_, id)) = LONG.iter().find(|(known, _)| *known == name) {
        return Ok(*id);
    }
    let begun: Vec<_> = LONG.iter().filter(|(known, _)| known.starts_with(name)).collect();
    match &begun[..] {
        [] => Err(Unknown::None),
        [(_, id), rest @ ..] if rest.iter().all(|(_, other)| other == id) => Ok(*id),
        several => Err(Unknown::Ambiguous(several.iter().map(|(name, _)| *name).collect())),
    }
}

impl Unknown {
    fn diagnostic(self, word: Word<'_>) -> Diagnostic {
        let name = word.text;
        match self {
            Self::Ambiguous(several) => {
                let message = format!("option '{name}' is ambiguous");
                let several = several.iter().map(|name| format!("`--{name}`"));
                Diagnostic::new(Code::Usage, word.span, message)
                    .label("begins several options")
                    .help(format!("write one of {}", several.collect::<Vec<_>>().join(", ")))
            }
            Self::None => {
                let message = format!("unrecognized option '{name}'");
                let fault =
                    Diagnostic::new(Code::Usage, word.span, message).label("no such option");
                let bare = name.trim_start_matches('-');
                match suggest::nearest(bare, LONG.iter().map(|(known, _)| *known)) {
                    Some(meant) if name.starts_with("--") => {
                        fault.help(format!("did you mean `--{meant}`?"))
                    }
                    _ => fault.help("`--help` lists the options"),
                }
            }
        }
    }
}
