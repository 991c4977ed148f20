//! The words of a command line, and the line of text they are shown in.
//!
//! A fault is shown under the word that caused it, so the words are written
//! down once as a line of shell: a word with a space or a character that a
//! shell would not take as it is stands in quotes. Each [`Word`] knows where in
//! that line it stands.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::ops::Range;

use model::{Code, Diagnostic, SourceId, Sources, Span};

use crate::render::is_hidden;

/// The name of the line as a source.
const SOURCE_NAME: &str = "command line";

/// A command line of an old tool.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// The program's name, for the line in which faults are shown, and for syslog.
    pub program: &'a str,
    /// The words behind it.
    pub args: &'a [OsString],
}

/// One word, or a part of one, and where it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    /// What the user wrote; with marks in place of bytes that are no text.
    pub text: &'a str,
    /// Where it is shown.
    pub span: Span,
    /// Whether it is shown byte for byte as it was written, so that parts of it can be pointed at.
    verbatim: bool,
    /// Whether it was text (UTF-8) at all.
    pub is_text: bool,
}

impl<'a> Word<'a> {
    /// Text of a file, shown at `span`. `verbatim`: byte for byte as it stands there.
    pub(crate) fn of_file(text: &'a str, span: Span, verbatim: bool) -> Self {
        Self { text, span, verbatim, is_text: true }
    }

    /// The part `range` of this word.
    pub fn part(self, range: Range<usize>) -> Self {
        Self { text: &self.text[range.clone()], span: self.span_of(range), ..self }
    }

    /// What stands from byte `start` on.
    pub fn from(self, start: usize) -> Self {
        self.part(start..self.text.len())
    }

    /// Where the bytes `range` are shown; the whole word where it is shown with escapes.
    pub fn span_of(self, range: Range<usize>) -> Span {
        match self.verbatim {
            true => self.span.part(range),
            false => self.span,
        }
    }

    /// The letters behind the dash, as getopt(3) reads them: each with the word that it is, and with
    /// what stands behind it.
    pub(crate) fn letters(self) -> impl Iterator<Item = (char, Self, Self)> {
        self.text.char_indices().skip(1).map(move |(at, letter)| {
            let behind = at + letter.len_utf8();
            (letter, self.part(at..behind), self.from(behind))
        })
    }

    /// The fault of a word that is no text.
    pub(crate) fn not_text(self) -> Diagnostic {
        Diagnostic::new(Code::NotText, self.span, "this word is not UTF-8")
            .label("holds bytes that are no text")
            .help("write it in UTF-8; file names too")
    }

    /// The parts between white space.
    pub fn split_whitespace(self) -> impl Iterator<Item = Self> {
        let begin = self.text.as_ptr().addr();
        self.text.split_whitespace().map(move |part| {
            let start = part.as_ptr().addr() - begin;
            self.part(start..start + part.len())
        })
    }
}

/// A command line as text.
#[derive(Debug)]
pub struct Line {
    source: SourceId,
    program: Range<usize>,
    words: Vec<Shown>,
}

/// A word as it stands in the line.
#[derive(Debug)]
struct Shown {
    text: String,
    range: Range<usize>,
    verbatim: bool,
    is_text: bool,
}

impl Line {
    /// `program` and `args` as one line.
    pub(crate) fn shown(program: &str, args: &[OsString]) -> String {
        let mut line = program.to_owned();
        for arg in args {
            show(arg, &mut line);
        }
        line
    }

    /// Writes down `program` and `args` as one line and adds it to `sources`.
    pub fn new(program: &str, args: &[OsString], sources: &mut Sources) -> Self {
        let mut line = program.to_owned();
        let words = args.iter().map(|arg| show(arg, &mut line)).collect();
        Self { source: sources.add(SOURCE_NAME, line), program: 0..program.len(), words }
    }

    /// The words behind the program's name.
    pub fn words(&self) -> impl Iterator<Item = Word<'_>> {
        self.words.iter().map(|shown| Word {
            text: &shown.text,
            span: Span::new(self.source, shown.range.clone()),
            verbatim: shown.verbatim,
            is_text: shown.is_text,
        })
    }

    /// The program's name, for faults that no word has caused.
    pub fn program(&self) -> Span {
        Span::new(self.source, self.program.clone())
    }
}

/// Appends a space and `arg` to `line`.
fn show(arg: &OsString, line: &mut String) -> Shown {
    line.push(' ');
    let text = arg.to_string_lossy().into_owned();
    let is_text = arg.to_str().is_some();
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,[]*^~—–−".contains(c);
    let start = line.len();
    let verbatim = is_text && !text.contains('\'') && !text.contains(is_hidden);
    let range = if verbatim && !text.is_empty() && text.chars().all(plain) {
        line.push_str(&text);
        start..line.len()
    } else if verbatim {
        line.push('\'');
        line.push_str(&text);
        line.push('\'');
        match text.is_empty() {
            true => start..line.len(),
            false => start + 1..line.len() - 1,
        }
    } else {
        escape(arg, line);
        start..line.len()
    };
    Shown { verbatim: verbatim && !text.is_empty(), text, range, is_text }
}

/// Appends `arg` as a shell's `$'...'`.
fn escape(arg: &OsString, line: &mut String) {
    line.push_str("$'");
    for chunk in arg.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' | '\\' => line.extend(['\\', c]),
                '\n' => line.push_str("\\n"),
                '\t' => line.push_str("\\t"),
                c if is_hidden(c) => {
                    let _ = write!(line, "\\u{:04x}", u32::from(c));
                }
                c => line.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(line, "\\x{byte:02x}");
        }
    }
    line.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[track_caller]
    fn check(args: &[&[u8]], expected: &str) {
        let args: Vec<_> = args.iter().map(|arg| OsString::from_vec(arg.to_vec())).collect();
        let mut sources = Sources::default();
        let line = Line::new("replug", &args, &mut sources);
        assert_eq!(sources.get(line.source).text, expected);
        for word in line.words().filter(|word| word.verbatim) {
            assert_eq!(sources.words(word.span), word.text);
        }
    }

    #[test]
    fn words_are_shown_as_a_shell_takes_them() {
        check(&[b"8080", b"[::1]:80"], "replug 8080 [::1]:80");
        check(&[b"a:80 weight=2"], "replug 'a:80 weight=2'");
        check(&[b""], "replug ''");
        check(&[b"a'b"], "replug $'a\\'b'");
        check(&[b"a\nb\x1b"], "replug $'a\\nb\\u001b'");
        check(&[b"a\xffb"], "replug $'a\\xffb'");
        check(&["a\u{202e}b".as_bytes()], "replug $'a\\u202eb'");
    }
}
