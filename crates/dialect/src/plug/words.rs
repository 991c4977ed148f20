//! The words of a plug command line, told apart as plug does it.
//!
//! No getopt: options and other words stand in any order, letters share a word, a value is the
//! rest of its word or the next word, whatever that looks like; `-` alone is nothing and `--` is
//! no end of options. Long options are ours; plug has none.

use model::{Code, Diagnostic, Span};

use crate::line::Word;
use crate::suggest;

/// What stands on the line, in its order.
#[derive(Debug)]
pub(super) enum Item<'a> {
    /// An option without a value.
    Flag(Flag, Span),
    /// An option and its value.
    Value(Value, Word<'a>),
    /// A word that is no option.
    Positional(Word<'a>),
    /// Something that is wrong in itself.
    Fault(Diagnostic),
}

/// The options without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    Version,
    Keepalive,
    Foreground,
    Syslog,
    Debug,
    Sticky,
    First,
    /// In plug's usage, but not in plug.
    Nothing,
    NoRetry,
    Names,
    Explain,
    Help,
}

/// The options with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Interface,
    Source,
    Pidfile,
    Proxy,
    Timeout,
    Retry,
    Access,
    Session,
}

const FLAGS: [(char, Flag); 8] = [
    ('V', Flag::Version),
    ('k', Flag::Keepalive),
    ('n', Flag::Foreground),
    ('l', Flag::Syslog),
    ('d', Flag::Debug),
    ('f', Flag::Sticky),
    ('o', Flag::First),
    ('s', Flag::Nothing),
];

/// Each with what plug calls it.
const VALUES: [(char, Value, &str); 8] = [
    ('i', Value::Interface, "interface"),
    ('p', Value::Source, "proxy address"),
    ('P', Value::Pidfile, "PID file"),
    ('h', Value::Proxy, "HTTP proxy"),
    ('t', Value::Timeout, "timeout"),
    ('r', Value::Retry, "retry time"),
    ('a', Value::Access, "access rule"),
    ('S', Value::Session, "session file"),
];

const LONG: [(&str, Flag); 4] = [
    ("--no-retry", Flag::NoRetry),
    ("--names", Flag::Names),
    ("--explain", Flag::Explain),
    ("--help", Flag::Help),
];

/// Tells the words apart.
pub(super) fn read<'a>(words: impl Iterator<Item = Word<'a>>) -> Vec<Item<'a>> {
    let mut words = words;
    let mut items = Vec::new();
    while let Some(word) = words.next() {
        if !word.is_text {
            items.push(Item::Fault(word.not_text()));
        } else if word.text.starts_with("--") {
            items.push(long(word));
        } else if word.text.len() > 1 && word.text.starts_with('-') {
            cluster(word, &mut words, &mut items);
        } else if word.text != "-" {
            items.push(Item::Positional(word));
        }
    }
    items
}

/// `-nkl`, `-t5`, `-t 5`, `-nt5`.
fn cluster<'a>(
    word: Word<'a>,
    words: &mut impl Iterator<Item = Word<'a>>,
    items: &mut Vec<Item<'a>>,
) {
    for (letter, name, rest) in word.letters() {
        if let Some((_, flag)) = FLAGS.iter().find(|(known, _)| *known == letter) {
            items.push(Item::Flag(*flag, name.span));
            continue;
        }
        let Some((_, value, called)) = VALUES.iter().find(|(known, ..)| *known == letter) else {
            items.push(Item::Fault(unknown(name, &format!("-{letter}"))));
            return;
        };
        let given = if rest.text.is_empty() { words.next() } else { Some(rest) };
        items.push(match given {
            Some(given) if given.is_text => Item::Value(*value, given),
            Some(given) => Item::Fault(given.not_text()),
            None => Item::Fault(missing(name, letter, called)),
        });
        return;
    }
}

fn long(word: Word<'_>) -> Item<'_> {
    match LONG.iter().find(|(name, _)| *name == word.text) {
        Some((_, flag)) => Item::Flag(*flag, word.span),
        None => Item::Fault(unknown(word, word.text)),
    }
}

fn unknown(word: Word<'_>, name: &str) -> Diagnostic {
    let fault = Diagnostic::new(Code::Usage, word.span, "unknown argument");
    if name == "--" {
        return fault
            .label("options do not end in plug")
            .help("leave it out: options may stand anywhere");
    }
    let fault = fault.label(format!("there is no option `{name}`"));
    let bare = name.trim_start_matches('-');
    let known = LONG.map(|(long, _)| long.trim_start_matches('-'));
    match suggest::nearest(bare, known).filter(|_| name.starts_with("--")) {
        Some(meant) => fault.help(format!("did you mean `--{meant}`?")),
        None => fault.help("`--help` lists the options"),
    }
}

fn missing(name: Word<'_>, letter: char, called: &str) -> Diagnostic {
    let message = format!("Missing value for {called} (-{letter})");
    Diagnostic::new(Code::Usage, name.span, message)
        .label("nothing stands behind it")
        .help(format!("write the value behind `-{letter}`, in the same word or the next"))
}
