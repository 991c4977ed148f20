//! From words to options with their values, and the words that are no options.
//!
//! As getopt_long(3) has it: options may stand anywhere, `--name=value` and
//! `--name value`, `-x value`, `-xvalue` and `-x=value`, letters without a value
//! in one word (`-nq`), `--` ends the options. Unlike there, names cannot be cut
//! short (a cut name could mean something else in the next version), and reading
//! goes on behind a fault, so that all of them are found.

use std::iter::Peekable;

use model::{Code, Diagnostic, Span, unit};

use super::options::{FOREIGN, Foreign, Id, OPTIONS, Opt, Takes};
use crate::line::Word;
use crate::suggest;

const HELP_LISTS: &str = "`replug --help` lists the options";

/// What stands on a command line.
#[derive(Debug, Default)]
pub(super) struct Lexed<'a> {
    /// The words that are no options.
    pub(super) positionals: Vec<Word<'a>>,
    /// The options in the order in which they were given.
    pub(super) given: Vec<Given<'a>>,
    /// What could not be read.
    pub(super) faults: Vec<Diagnostic>,
}

/// An option that was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    /// Which one.
    pub(super) id: Id,
    /// Its name on the line.
    pub(super) name: Span,
    /// Its value; present exactly if one was needed, or was given to one that may take it.
    pub(super) value: Option<Word<'a>>,
}

/// Reads all words.
pub(super) fn lex<'a>(words: impl Iterator<Item = Word<'a>>) -> Lexed<'a> {
    let mut lexer = Lexer { words: words.peekable(), lexed: Lexed::default() };
    while let Some(word) = lexer.words.next() {
        match word.text {
            "--" => {
                lexer.lexed.positionals.extend(lexer.words);
                return lexer.lexed;
            }
            text if text.starts_with("--") => lexer.long(word),
            text if text.starts_with('-') && text.len() > 1 => lexer.cluster(word),
            _ => lexer.positional(word),
        }
    }
    lexer.lexed
}

struct Lexer<'a, I: Iterator<Item = Word<'a>>> {
    words: Peekable<I>,
    lexed: Lexed<'a>,
}

impl<'a, I: Iterator<Item = Word<'a>>> Lexer<'a, I> {
    fn positional(&mut self, word: Word<'a>) {
        // Word processors make these out of two hyphens.
        let dashed = word.text.trim_start_matches(['–', '—', '−']);
        if dashed.len() == word.text.len() || dashed.is_empty() {
            self.lexed.positionals.push(word);
            return;
        }
        let name = dashed.trim_start_matches('-');
        self.fault(
            word.span,
            format!("`{}` begins with a long dash", word.text),
            "a dash that no keyboard types",
            format!("type hyphens: `--{name}`"),
        );
    }

    /// A word that begins with `--`.
    fn long(&mut self, word: Word<'a>) {
        let (name, glued) = cut_value(word);
        match by_long(&name.text[2..]) {
            Some(opt) => self.take(opt, name, glued),
            None => self.unknown(name, glued),
        }
    }

    /// A word that begins with one `-`: letters, perhaps with a value behind the last.
    fn cluster(&mut self, word: Word<'a>) {
        let (name, glued) = cut_value(word);
        // `-idle 5m` reads as five letters; nobody means that.
        if let Some(opt) = by_long(&name.text[1..]) {
            self.fault(
                name.span,
                format!("`{}` has one dash", name.text),
                "one dash is for single letters",
                format!("write `--{}`", opt.long),
            );
            self.skip_value(opt.takes, glued);
            return;
        }
        let letters = word.from(1);
        for (at, letter) in letters.text.char_indices() {
            let behind = at + letter.len_utf8();
            let Some(opt) = OPTIONS.iter().find(|opt| opt.short == Some(letter)) else {
                // Of a word that is strange from its start all is shown; else the letter.
                match at {
                    0 => self.unknown(name, glued),
                    _ => self.unknown_letter(letters.part(at..behind)),
                }
                return;
            };
            let rest = letters.from(behind);
            let glued = (!rest.text.is_empty()).then_some(rest);
            let behind_equals = rest.text.starts_with('=').then(|| rest.from(1));
            let glued = match opt.takes {
                Takes::Value { .. } => behind_equals.or(glued),
                Takes::Nothing | Takes::ValueOrNothing { .. } => behind_equals,
            };
            self.take(opt, letters.part(at..behind), glued);
            if glued.is_some() {
                return;
            }
        }
    }

    /// Takes `opt`, written as `name`, with the value glued to it or the next word.
    fn take(&mut self, opt: &'static Opt, name: Word<'a>, glued: Option<Word<'a>>) {
        let long = opt.long;
        let value = match (opt.takes, glued) {
            (Takes::Nothing, None) => None,
            (Takes::Nothing, Some(glued)) => {
                self.fault(
                    glued.span,
                    format!("`--{long}` takes no value"),
                    "not expected here",
                    format!("write `--{long}` alone"),
                );
                return;
            }
            (_, Some(glued)) => Some(glued),
            (Takes::Value { name: what, example }, None) => {
                let Some(value) = self.next_value() else {
                    self.fault(
                        name.span,
                        format!("`--{long}` needs a value"),
                        format!("{what} is missing behind it"),
                        format!("write `--{long} {}`", example),
                    );
                    return;
                };
                Some(value)
            }
            (Takes::ValueOrNothing { .. }, None) => {
                // A value here would be taken for LISTEN or a target; a duration is neither.
                if let Some(word) = self.words.next_if(|word| is_duration(word.text)) {
                    self.fault(
                        word.span,
                        format!("`--{long}` takes its value behind `=`"),
                        "would be taken for an address",
                        format!("write `--{long}={}`", word.text),
                    );
                }
                None
            }
        };
        self.lexed.given.push(Given { id: opt.id, name: name.span, value });
    }

    /// An option that is not known, written as `name`.
    fn unknown(&mut self, name: Word<'a>, glued: Option<Word<'a>>) {
        let message = format!("there is no option `{}`", name.text);
        if let Some(foreign) = foreign(name.text) {
            self.fault(name.span, message, "not an option of replug", foreign.help);
            if foreign.takes_value && name.text == foreign.name && glued.is_none() {
                self.next_value();
            }
            return;
        }
        let bare = name.text.trim_start_matches('-');
        let known = OPTIONS.iter().map(|opt| opt.long);
        match suggest::nearest(bare, known).and_then(by_long) {
            Some(opt) => {
                let help = format!("did you mean `--{}`?", opt.long);
                self.fault(name.span, message, "not known", help);
                self.skip_value(opt.takes, glued);
            }
            None => {
                self.fault(name.span, message, "not known", HELP_LISTS);
                if glued.is_none() {
                    self.words.next_if(|word| is_duration(word.text));
                }
            }
        }
    }

    /// A letter that is not known, behind others that are.
    fn unknown_letter(&mut self, letter: Word<'a>) {
        let name = format!("-{}", letter.text);
        let help = foreign(&name).map_or(HELP_LISTS, |foreign| foreign.help);
        self.fault(letter.span, format!("there is no option `{name}`"), "not known", help);
    }

    /// Passes over the value of an option that is at fault itself.
    fn skip_value(&mut self, takes: Takes, glued: Option<Word<'a>>) {
        if glued.is_none() && matches!(takes, Takes::Value { .. }) {
            self.next_value();
        }
    }

    /// The next word, unless it is an option. `-` alone and negative numbers are values.
    fn next_value(&mut self) -> Option<Word<'a>> {
        let number = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
        self.words.next_if(|word| match word.text.strip_prefix('-') {
            Some(rest) => rest.is_empty() || number(rest),
            None => true,
        })
    }

    fn fault(
        &mut self,
        span: Span,
        message: String,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        let fault = Diagnostic::new(Code::Usage, span, message);
        self.lexed.faults.push(fault.label(label).help(help));
    }
}

/// `name=value` in two.
fn cut_value(word: Word<'_>) -> (Word<'_>, Option<Word<'_>>) {
    match word.text.find('=') {
        Some(at) => (word.part(0..at), Some(word.from(at + 1))),
        None => (word, None),
    }
}

fn by_long(name: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|opt| opt.long == name)
}

/// An option of another program; a letter also with its value glued to it.
fn foreign(name: &str) -> Option<&'static Foreign> {
    FOREIGN.iter().find(|foreign| match foreign.name.len() {
        2 => !name.starts_with("--") && name.starts_with(foreign.name),
        _ => name == foreign.name,
    })
}

/// Whether `text` can only be a duration: a port or an address it is not.
fn is_duration(text: &str) -> bool {
    text.ends_with(|c: char| c.is_ascii_alphabetic()) && unit::duration(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Line;
    use model::Sources;

    /// Shows what is given as `id=value`, then the positionals, then the words at fault.
    #[track_caller]
    fn check(args: &str, expected: &str) {
        let mut sources = Sources::default();
        let args: Vec<_> = args.split_whitespace().map(Into::into).collect();
        let line = Line::new("replug", &args, &mut sources);
        let lexed = lex(line.words());
        let given = lexed.given.iter().map(|given| match given.value {
            Some(value) => format!("{:?}={}", given.id, value.text),
            None => format!("{:?}", given.id),
        });
        let positionals = lexed.positionals.iter().map(|word| word.text.to_owned());
        let faults = lexed.faults.iter().map(|fault| {
            let span = fault.span.expect("the lexer points at words");
            format!("!{}", sources.words(span))
        });
        let shown: Vec<_> = given.chain(positionals).chain(faults).collect();
        assert_eq!(shown.join(" "), expected);
    }

    #[test]
    fn the_forms_of_a_value() {
        check("--idle 5m 80 a:80", "Idle=5m 80 a:80");
        check("80 --idle=5m a:80", "Idle=5m 80 a:80");
        check("-r 5s -r5s -r=5s", "Retry=5s Retry=5s Retry=5s");
        check("--log-to - -S-", "LogTo=- LogTo=-");
        check("--idle -5s", "Idle=-5s");
    }

    #[test]
    fn letters_share_a_word() {
        check("-nqo", "Numeric Quiet First");
        check("-nr5s", "Numeric Retry=5s");
        check("-f -f=1h -fo", "Sticky Sticky=1h Sticky First");
        check("-nxq", "Numeric !x");
    }

    #[test]
    fn two_dashes_end_the_options() {
        check("-q -- --idle -q", "Quiet --idle -q");
        check("--idle -- 80", "80 !--idle");
    }

    #[test]
    fn a_fault_takes_its_value_along() {
        check("--idel 5m 80", "80 !--idel");
        check("--nonsense 5m 80", "80 !--nonsense");
        check("--nonsense 8080 a:80", "8080 a:80 !--nonsense");
        check("-idle 5m 80", "80 !-idle");
        check("--sticky 1h 80", "Sticky 80 !1h");
        check("-t 60 80", "80 !-t");
        check("-t60 80", "80 !-t60");
        check("--first=yes 80", "80 !yes");
    }
}
