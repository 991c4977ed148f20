//! The command line of tcprelay: `tcprelay [OPTIONS] CONFIG [ID]`.

use std::ffi::OsString;

use model::{Code, Diagnostic, Severity, Sources};

use super::spawnd::Spawn;
use crate::line::{Line, Word};
use crate::suggest;

/// The usage, behind `Usage: ` and the program's name.
pub const USAGE: &str = "[OPTIONS] CONFIG [ID]

  -P           parse the configuration, tell what is wrong with it, and end
  -v           print the version, and end
  -b, -f       go to the background, or stay in the foreground, whatever the configuration says
  -p FILE      write the process id there
  -i ID        the section of tcprelay (tcprelay)
  -I ID        the section of spawnd (spawnd)
  -1           one process (there is never more than one)
  -d N, -D     debug (nothing)
";

const OURS: &str = "  --explain    print the native configuration that does the same, and end
  --help       print this, and end
";

/// What a command line asks for.
#[derive(Debug)]
pub struct Order {
    /// What is to be done.
    pub wish: Wish,
    /// The configuration file; empty if there is none.
    pub config: String,
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
    /// Only to read it.
    Parse,
    /// To print it as native TOML.
    Explain,
    /// The version; there need not be a configuration.
    Version,
    /// The usage; likewise.
    Help,
}

/// What bears on how a configuration is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Beats `background`.
    pub background: Option<bool>,
    /// Beats `pidfile`.
    pub pidfile: Option<String>,
    /// One worker.
    pub single: bool,
    /// `-I`.
    pub spawnd: Option<String>,
    /// `-i`.
    pub relay: Option<String>,
    /// The word behind the configuration.
    pub id: Option<String>,
    /// Clients arrive at the socket that is standard input, and nowhere else.
    pub inetd: bool,
}

impl Order {
    /// Whether the words were right.
    pub fn is_sound(&self) -> bool {
        self.diagnostics.iter().all(|fault| fault.severity() < Severity::Error)
    }

    /// The usage of `program`.
    pub fn usage(program: &str) -> String {
        format!("Usage: {program} {USAGE}{OURS}")
    }
}

impl Options {
    /// The names that the section of spawnd may have, the best first. By the manual the last word
    /// names it; the program has never looked at that.
    pub(super) fn spawnd_ids(&self) -> Vec<&str> {
        match (&self.spawnd, &self.id) {
            (Some(id), _) => vec![id],
            (None, Some(id)) if !self.single => vec![id, "spawnd"],
            _ => vec!["spawnd"],
        }
    }

    /// The same for the section of tcprelay; a single process is given its name by the last word.
    pub(super) fn relay_ids<'a>(&'a self, spawn: &'a Spawn) -> Vec<&'a str> {
        let exec = spawn.exec.as_ref().and_then(|exec| exec.value.rsplit('/').next());
        let configured = spawn.id.as_ref().map(|id| &*id.value).or(exec).unwrap_or("tcprelay");
        match (&self.id, &self.relay) {
            (Some(id), _) if self.single => vec![id],
            (_, Some(id)) => vec![id],
            _ => vec![configured],
        }
    }
}

/// Reads a command line. The line as text is added to `sources`.
pub fn order(program: &str, args: &[OsString], sources: &mut Sources) -> Order {
    let line = Line::new(program, args, sources);
    let mut order = Order {
        wish: Wish::Run,
        config: String::new(),
        options: Options::default(),
        diagnostics: Vec::new(),
    };
    let mut files = Vec::new();
    let mut words = line.words();
    let mut only_files = false;
    while let Some(word) = words.next() {
        let option = word.text.len() > 1 && word.text.starts_with('-') && !only_files;
        if !word.is_text {
            let message = "this is not text";
            order
                .diagnostics
                .push(Diagnostic::new(Code::NotText, word.span, message).label("not UTF-8"));
        } else if !option {
            files.push(word);
        } else if word.text == "--" {
            only_files = true;
        } else if word.text.starts_with("--") {
            order.long(word);
        } else {
            order.cluster(word, &mut words);
        }
    }
    order.files(&files, &line);
    order
}

impl Order {
    fn files(&mut self, files: &[Word<'_>], line: &Line) {
        match files {
            _ if matches!(self.wish, Wish::Version | Wish::Help) => {}
            [] => self.diagnostics.push(
                Diagnostic::new(Code::Usage, line.program(), "a configuration file is missing")
                    .label("which one?")
                    .help("name it: `tcprelay /etc/tcprelay.cfg`"),
            ),
            [config, rest @ ..] => {
                self.config = config.text.to_owned();
                self.options.id = rest.first().map(|id| id.text.to_owned());
                if let Some(more) = rest.get(1) {
                    let message = format!("`{}` is one word too many", more.text);
                    self.diagnostics.push(
                        Diagnostic::new(Code::Usage, more.span, message).label("not expected here"),
                    );
                }
            }
        }
    }

    fn long(&mut self, word: Word<'_>) {
        match word.text {
            "--help" => self.wish = Wish::Help,
            "--explain" => self.set(Wish::Explain),
            name => {
                let fault = unknown(word, name);
                self.diagnostics.push(match suggest::nearest(name, ["--help", "--explain"]) {
                    Some(meant) => fault.help(format!("did you mean `{meant}`?")),
                    None => fault,
                });
            }
        }
    }

    /// `-Pf`, `-bp FILE`, `-pFILE`.
    fn cluster<'a>(&mut self, word: Word<'a>, words: &mut impl Iterator<Item = Word<'a>>) {
        for (at, letter) in word.text.char_indices().skip(1) {
            let behind = at + letter.len_utf8();
            match letter {
                'P' => self.set(Wish::Parse),
                'v' => self.set(Wish::Version),
                'b' => self.options.background = Some(true),
                'f' => self.options.background = Some(false),
                '1' => self.options.single = true,
                'D' => {}
                'd' | 'i' | 'I' | 'p' => {
                    let rest = Some(word.from(behind)).filter(|rest| !rest.text.is_empty());
                    match rest.or_else(|| words.next()) {
                        Some(value) => self.value(letter, value),
                        None => self.diagnostics.push(
                            Diagnostic::new(
                                Code::Usage,
                                word.span_of(at..behind),
                                format!("`-{letter}` has no value"),
                            )
                            .label("nothing stands behind it"),
                        ),
                    }
                    return;
                }
                _ => {
                    let letter = word.part(at..behind);
                    self.diagnostics.push(unknown(letter, &format!("-{}", letter.text)));
                    return;
                }
            }
        }
    }

    fn value(&mut self, letter: char, value: Word<'_>) {
        let text = Some(value.text.to_owned());
        match letter {
            'i' => self.options.relay = text,
            'I' => self.options.spawnd = text,
            'p' => self.options.pidfile = text,
            // A mask for debugging.
            _ => {}
        }
    }

    /// Whoever asks for the version or for help wants nothing else.
    fn set(&mut self, wish: Wish) {
        if !matches!(self.wish, Wish::Version | Wish::Help) {
            self.wish = wish;
        }
    }
}

fn unknown(word: Word<'_>, name: &str) -> Diagnostic {
    Diagnostic::new(Code::Usage, word.span, format!("there is no option `{name}` here"))
        .label("not known")
        .help("`--help` lists the options")
}
