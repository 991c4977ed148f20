//! The words of a tproxy command line, told apart as getopt(3) does it.
//!
//! Options and other words stand in any order up to `--`; letters share a word; a value is the rest
//! of its word or the next word, whatever that looks like. Long options are ours; tproxy has none.

use model::{Code, Diagnostic, Span};

use crate::line::Word;
use crate::suggest;

/// What stands on the line, in its order.
#[derive(Debug)]
pub(super) enum Item<'a> {
    /// An option without a value.
    Flag(Flag, Span),
    /// An option and its value, and where its letter stands.
    Value(Value, Word<'a>, Span),
    /// A word that is no option.
    Positional(Word<'a>),
    /// Something that is wrong in itself.
    Fault(Diagnostic),
}

/// The options without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    Transparent,
    ProxyOnly,
    Foreground,
    Explain,
    Help,
}

/// The options with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Server,
    Address,
    User,
    Access,
    Url,
    Log,
    /// Of a later fork.
    Pidfile,
}

const FLAGS: [(char, Flag); 3] =
    [('t', Flag::Transparent), ('p', Flag::ProxyOnly), ('d', Flag::Foreground)];

const VALUES: [(char, Value); 7] = [
    ('s', Value::Server),
    ('b', Value::Address),
    ('r', Value::User),
    ('a', Value::Access),
    ('f', Value::Url),
    ('l', Value::Log),
    ('P', Value::Pidfile),
];

const LONG: [(&str, Flag); 2] = [("--explain", Flag::Explain), ("--help", Flag::Help)];

/// Tells the words apart.
pub(super) fn read<'a>(words: impl Iterator<Item = Word<'a>>) -> Vec<Item<'a>> {
    let mut words = words;
    let mut items = Vec::new();
    while let Some(word) = words.next() {
        if !word.is_text {
            items.push(Item::Fault(word.not_text()));
        } else if word.text == "--" {
            items.extend(words.by_ref().map(positional));
        } else if word.text.starts_with("--") {
            items.push(long(word));
        } else if word.text.len() > 1 && word.text.starts_with('-') {
            cluster(word, &mut words, &mut items);
        } else {
            items.push(Item::Positional(word));
        }
    }
    items
}

fn positional(word: Word<'_>) -> Item<'_> {
    match word.is_text {
        true => Item::Positional(word),
        false => Item::Fault(word.not_text()),
    }
}

/// `-td`, `-s8080`, `-s 8080`, `-ds8080`.
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
        let Some((_, value)) = VALUES.iter().find(|(known, _)| *known == letter) else {
            items.push(Item::Fault(
                Diagnostic::new(Code::Usage, name.span, format!("invalid option -- '{letter}'"))
                    .label(format!("there is no option `-{letter}`"))
                    .help("`--help` lists the options"),
            ));
            continue;
        };
        let given = if rest.text.is_empty() { words.next() } else { Some(rest) };
        items.push(match given {
            Some(given) if given.is_text => Item::Value(*value, given, name.span),
            Some(given) => Item::Fault(given.not_text()),
            None => Item::Fault(missing(name, letter)),
        });
        return;
    }
}

fn long(word: Word<'_>) -> Item<'_> {
    if let Some((_, flag)) = LONG.iter().find(|(name, _)| *name == word.text) {
        return Item::Flag(*flag, word.span);
    }
    let fault = Diagnostic::new(Code::Usage, word.span, "invalid option -- '-'")
        .label(format!("there is no option `{}`", word.text));
    let known = LONG.map(|(long, _)| long.trim_start_matches('-'));
    Item::Fault(match suggest::nearest(word.text.trim_start_matches('-'), known) {
        Some(meant) => fault.help(format!("did you mean `--{meant}`?")),
        None => fault.help("`--help` lists the options"),
    })
}

fn missing(name: Word<'_>, letter: char) -> Diagnostic {
    let message = format!("option requires an argument -- '{letter}'");
    Diagnostic::new(Code::Usage, name.span, message)
        .label("nothing stands behind it")
        .help(format!("write the value behind `-{letter}`, in the same word or the next"))
}
