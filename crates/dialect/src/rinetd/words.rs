//! The command line of rinetd: `rinetd [OPTIONS]`, as getopt_long(3) reads it.

use std::ffi::OsString;

use model::{Code, Diagnostic, Severity, Sources};

use super::CONFIG;
use crate::line::{Line, Word};

/// What a command line asks for.
#[derive(Debug)]
pub struct Order {
    /// What is to be done.
    pub wish: Wish,
    /// The configuration file.
    pub config: String,
    /// The first word that is no option: it means nothing, but to `replug convert`.
    pub word: Option<String>,
    /// What bears on how it is read.
    pub options: Options,
    /// All faults.
    pub diagnostics: Vec<Diagnostic>,
}

/// What is to be done with the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// To run it.
    #[default]
    Run,
    /// To print it as native TOML.
    Explain,
    /// The version.
    Version,
    /// The usage.
    Help,
}

/// What bears on how a configuration is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Stay in the foreground, and tell what happens to the terminal.
    pub foreground: bool,
    /// Tell every decision.
    pub debug: bool,
}

/// Letters, words, and what they are for; `true`: with a value.
const OPTIONS: [(Option<char>, &str, bool, Meaning); 6] = [
    (Some('c'), "conf-file", true, Meaning::Config),
    (Some('d'), "debug", false, Meaning::Debug),
    (None, "explain", false, Meaning::Wish(Wish::Explain)),
    (Some('f'), "foreground", false, Meaning::Foreground),
    (Some('h'), "help", false, Meaning::Wish(Wish::Help)),
    (Some('v'), "version", false, Meaning::Wish(Wish::Version)),
];

#[derive(Clone, Copy)]
enum Meaning {
    Config,
    Debug,
    Foreground,
    Wish(Wish),
}

impl Order {
    /// Whether the words were right.
    pub fn is_sound(&self) -> bool {
        self.diagnostics.iter().all(|fault| fault.severity() < Severity::Error)
    }

    /// The usage of `program`.
    pub fn usage(program: &str) -> String {
        format!(
            "Usage: {program} [OPTION]...\n\
             \x20 -c, --conf-file FILE  the configuration ({CONFIG})\n\
             \x20 -f, --foreground      stay in the foreground, and tell there what happens\n\
             \x20 -d, --debug           tell every decision\n\
             \x20     --explain         print the native configuration that does the same, and end\n\
             \x20 -h, --help            print this, and end\n\
             \x20 -v, --version         print the version, and end\n"
        )
    }

    fn take(&mut self, meaning: Meaning, value: &str) {
        match meaning {
            Meaning::Config => self.config = value.to_owned(),
            Meaning::Debug => self.options.debug = true,
            Meaning::Foreground => self.options.foreground = true,
            // The first of them is done at once, in the original.
            Meaning::Wish(wish) if self.wish == Wish::Run || self.wish == Wish::Explain => {
                self.wish = wish;
            }
            Meaning::Wish(_) => {}
        }
    }

    /// `message` is that of getopt(3).
    fn fault(&mut self, word: Word<'_>, message: String) {
        self.diagnostics.push(
            Diagnostic::new(Code::Usage, word.span, message)
                .label("not known")
                .help("`--help` lists the options"),
        );
    }

    fn long<'a>(&mut self, word: Word<'a>, words: &mut impl Iterator<Item = Word<'a>>) {
        let (name, value) = match word.text[2..].split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (&word.text[2..], None),
        };
        // Names may be cut short, as far as that is clear.
        let mut found = OPTIONS.iter().filter(|(_, known, ..)| known.starts_with(name));
        let option = match (found.next(), found.next()) {
            (Some(option), None) if !name.is_empty() => option,
            _ => return self.fault(word, format!("unrecognized option '--{name}'")),
        };
        match (option, value) {
            ((_, _, true, meaning), Some(value)) => self.take(*meaning, value),
            ((_, long, true, meaning), None) => match words.next() {
                Some(value) => self.take(*meaning, value.text),
                None => self.fault(word, format!("option '--{long}' requires an argument")),
            },
            ((_, long, false, _), Some(_)) => {
                self.fault(word, format!("option '--{long}' doesn't allow an argument"));
            }
            ((_, _, false, meaning), None) => self.take(*meaning, ""),
        }
    }

    fn cluster<'a>(&mut self, word: Word<'a>, words: &mut impl Iterator<Item = Word<'a>>) {
        for (at, letter) in word.text.char_indices().skip(1) {
            let behind = at + letter.len_utf8();
            let here = word.part(at..behind);
            match OPTIONS.iter().find(|(known, ..)| *known == Some(letter)) {
                None => {
                    let shown = letter.escape_debug();
                    return self.fault(here, format!("invalid option -- '{shown}'"));
                }
                Some((_, _, false, meaning)) => self.take(*meaning, ""),
                Some((_, _, true, meaning)) => {
                    let rest = Some(word.from(behind)).filter(|rest| !rest.text.is_empty());
                    match rest.or_else(|| words.next()) {
                        Some(value) => self.take(*meaning, value.text),
                        None => {
                            let message = format!("option requires an argument -- '{letter}'");
                            self.fault(here, message);
                        }
                    }
                    return;
                }
            }
        }
    }
}

/// Reads a command line. The line as text is added to `sources`. Words that are no options mean
/// nothing, as they never did.
pub fn order(program: &str, args: &[OsString], sources: &mut Sources) -> Order {
    let line = Line::new(program, args, sources);
    let mut order = Order {
        wish: Wish::Run,
        config: CONFIG.to_owned(),
        word: None,
        options: Options::default(),
        diagnostics: Vec::new(),
    };
    let mut words = line.words();
    while let Some(word) = words.next() {
        if !word.is_text {
            order.diagnostics.push(
                Diagnostic::new(Code::NotText, word.span, "this is not text").label("not UTF-8"),
            );
        } else if word.text == "--" {
            break;
        } else if word.text.starts_with("--") {
            order.long(word, &mut words);
        } else if word.text.len() > 1 && word.text.starts_with('-') {
            order.cluster(word, &mut words);
        } else if order.word.is_none() {
            order.word = Some(word.text.to_owned());
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Result<(Wish, &str, bool), &str>) {
        let args: Vec<_> = line.split_whitespace().map(OsString::from).collect();
        let order = order("rinetd", &args, &mut Sources::default());
        let shown = match order.diagnostics.first() {
            Some(fault) => Err(&*fault.message),
            None => Ok((order.wish, &*order.config, order.options.foreground)),
        };
        assert_eq!(shown, expected, "{line}");
    }

    #[test]
    fn command_lines() {
        check("", Ok((Wish::Run, CONFIG, false)));
        check("-f -c a", Ok((Wish::Run, "a", true)));
        check("-fca", Ok((Wish::Run, "a", true)));
        check("--conf-file a --foreground", Ok((Wish::Run, "a", true)));
        check("--conf=a --fore", Ok((Wish::Run, "a", true)));
        check("words mean nothing", Ok((Wish::Run, CONFIG, false)));
        check("-- -x", Ok((Wish::Run, CONFIG, false)));
        check("-h -v", Ok((Wish::Help, CONFIG, false)));
        check("--explain -c a", Ok((Wish::Explain, "a", false)));
        check("-s", Err("invalid option -- 's'"));
        check("-fx", Err("invalid option -- 'x'"));
        check("-c", Err("option requires an argument -- 'c'"));
        check("--nope", Err("unrecognized option '--nope'"));
        check("--foreground=1", Err("option '--foreground' doesn't allow an argument"));
        check("--conf-file", Err("option '--conf-file' requires an argument"));
    }
}
