//! The words of a proxymachine command line, told apart as Ruby's OptionParser does it.
//!
//! Options and other words stand in any order up to `--`. A long option may be cut short as long as
//! no other begins so; its value stands behind `=` or is the next word, that of a letter is the rest
//! of its word or the next.

use model::{Code, Diagnostic, Span};

use crate::line::Word;
use crate::suggest;

/// What stands on the line, in its order.
#[derive(Debug)]
pub(super) enum Item<'a> {
    /// An option without a value.
    Flag(Flag),
    /// An option and its value.
    Value(Value, Word<'a>),
    /// A word that is no option.
    Other(Word<'a>),
    /// Something that is wrong in itself.
    Fault(Diagnostic),
}

/// The options without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    Help,
    Version,
    Explain,
}

/// The options with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Config,
    Host,
    Port,
    /// Ours.
    Workers,
    /// Ours.
    Compat,
}

#[derive(Clone, Copy)]
enum Kind {
    Flag(Flag),
    Value(Value),
}

const LETTERS: [(char, Kind); 4] = [
    ('c', Kind::Value(Value::Config)),
    ('h', Kind::Value(Value::Host)),
    ('p', Kind::Value(Value::Port)),
    ('v', Kind::Flag(Flag::Version)),
];

const LONG: [(&str, Kind); 8] = [
    ("config", Kind::Value(Value::Config)),
    ("host", Kind::Value(Value::Host)),
    ("port", Kind::Value(Value::Port)),
    ("help", Kind::Flag(Flag::Help)),
    ("version", Kind::Flag(Flag::Version)),
    ("explain", Kind::Flag(Flag::Explain)),
    ("workers", Kind::Value(Value::Workers)),
    ("compat", Kind::Value(Value::Compat)),
];

/// Options that stand back where they begin as one of proxymachine's: `--co` is `--config`.
const OURS: [&str; 3] = ["explain", "workers", "compat"];

/// Tells the words apart.
pub(super) fn read<'a>(words: impl Iterator<Item = Word<'a>>) -> Vec<Item<'a>> {
    let mut words = words;
    let mut items = Vec::new();
    while let Some(word) = words.next() {
        if !word.is_text {
            items.push(Item::Fault(word.not_text()));
        } else if word.text == "--" {
            items.extend(words.by_ref().map(Item::Other));
        } else if word.text.starts_with("--") {
            items.push(long(word, &mut words));
        } else if word.text.len() > 1 && word.text.starts_with('-') {
            letters(word, &mut words, &mut items);
        } else {
            items.push(Item::Other(word));
        }
    }
    items
}

/// `-p80`, `-p 80`, `-vp80`.
fn letters<'a>(
    word: Word<'a>,
    words: &mut impl Iterator<Item = Word<'a>>,
    items: &mut Vec<Item<'a>>,
) {
    for (letter, name, rest) in word.letters() {
        match LETTERS.iter().find(|(known, _)| *known == letter) {
            Some((_, Kind::Flag(flag))) => items.push(Item::Flag(*flag)),
            Some((_, Kind::Value(value))) => {
                let given = if rest.text.is_empty() { words.next() } else { Some(rest) };
                return items.push(with_value(*value, given, &format!("-{letter}"), name.span));
            }
            None => {
                let message = format!("invalid option: -{letter}");
                let label = format!("there is no option `-{letter}`");
                return items.push(Item::Fault(unknown(name.span, message, label)));
            }
        }
    }
}

/// `--port 80`, `--port=80`, `--po 80`.
fn long<'a>(word: Word<'a>, words: &mut impl Iterator<Item = Word<'a>>) -> Item<'a> {
    let end = word.text.find('=').unwrap_or(word.text.len());
    let (begun, shown) = (&word.text[2..end], word.part(0..end));
    let exact = LONG.iter().find(|(name, _)| *name == begun);
    let begins = |(name, _): &&(&str, Kind)| name.starts_with(begun) && !begun.is_empty();
    let mut meant: Vec<_> = LONG.iter().filter(begins).collect();
    if meant.len() > 1 {
        meant.retain(|(name, _)| !OURS.contains(name));
    }
    let (name, kind) = match (exact, &*meant) {
        (Some(found), _) => found,
        (None, [found]) => *found,
        (None, [_, _, ..]) => {
            let names: Vec<_> = meant.iter().map(|(name, _)| format!("`--{name}`")).collect();
            let message = format!("ambiguous option: --{begun}");
            let label = format!("may be {}", names.join(" or "));
            return Item::Fault(unknown(shown.span, message, label));
        }
        (None, []) => {
            let message = format!("invalid option: --{begun}");
            let fault = Diagnostic::new(Code::Usage, shown.span, message)
                .label(format!("there is no option `--{begun}`"));
            let known = LONG.map(|(name, _)| name);
            return Item::Fault(match suggest::nearest(begun, known) {
                Some(meant) => fault.help(format!("did you mean `--{meant}`?")),
                None => fault.help("`--help` lists the options"),
            });
        }
    };
    let attached = word.text[end..].starts_with('=').then(|| word.from(end + 1));
    match (kind, attached) {
        (Kind::Flag(flag), None) => Item::Flag(*flag),
        (Kind::Flag(_), Some(value)) => Item::Fault(
            Diagnostic::new(Code::Usage, value.span, format!("needless argument: {}", word.text))
                .label(format!("`--{name}` takes no value"))
                .help("leave it out"),
        ),
        (Kind::Value(value), attached) => {
            let given = attached.or_else(|| words.next());
            with_value(*value, given, &format!("--{name}"), shown.span)
        }
    }
}

fn with_value<'a>(value: Value, given: Option<Word<'a>>, option: &str, at: Span) -> Item<'a> {
    match given {
        Some(given) if given.is_text => Item::Value(value, given),
        Some(given) => Item::Fault(given.not_text()),
        None => Item::Fault(
            Diagnostic::new(Code::Usage, at, format!("missing argument: {option}"))
                .label("nothing stands behind it")
                .help(match value {
                    Value::Host => "write the address to listen on behind it; `--help` is the help",
                    _ => "write its value behind it",
                }),
        ),
    }
}

fn unknown(span: Span, message: String, label: String) -> Diagnostic {
    Diagnostic::new(Code::Usage, span, message).label(label).help("`--help` lists the options")
}
