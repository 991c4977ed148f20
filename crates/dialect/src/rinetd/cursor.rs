//! One line of a rinetd configuration, read from left to right.
//!
//! A word ends at a blank, a port also at the bracket in which options begin. `#` begins a comment
//! wherever it stands, but in quotes.

use std::ops::Range;

use model::{Code, Diagnostic, SourceId, Span};

use crate::line::Word;

/// Characters of a line that a message repeats.
const SHOWN_CHARS_MAX: usize = 200;

/// A line, and how far it has been read.
pub(super) struct Cursor<'t> {
    /// Without its end.
    text: &'t str,
    at: usize,
    /// Where the line begins in its file.
    begin: usize,
    pub(super) file: SourceId,
    /// Counted from 1.
    number: usize,
}

impl<'t> Cursor<'t> {
    /// At the beginning of the line `text`, the one of this `number` in `file`, where it begins at
    /// byte `begin`.
    pub(super) fn new(file: SourceId, begin: usize, number: usize, text: &'t str) -> Self {
        Self { text, at: 0, begin, file, number }
    }

    /// The next word.
    pub(super) fn word(&mut self) -> Option<Word<'t>> {
        self.until(|c| c.is_whitespace() || c == '#')
    }

    /// The next word, which ends before options.
    pub(super) fn port(&mut self) -> Option<Word<'t>> {
        self.until(|c| c.is_whitespace() || c == '#' || c == '[')
    }

    /// The word behind a keyword.
    pub(super) fn value(&mut self, what: &str) -> Result<Word<'t>, Diagnostic> {
        self.word().ok_or_else(|| self.missing(&format!("{what} is missing")))
    }

    /// The same, which may stand in quotes.
    pub(super) fn quoted(&mut self, what: &str) -> Result<Word<'t>, Diagnostic> {
        self.skip_blanks();
        let Some(quote) = self.rest().chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            return self.value(what);
        };
        let start = self.at + 1;
        let Some(length) = self.text[start..].find(quote) else {
            let rest = self.here(self.at..self.text.len());
            return Err(Diagnostic::new(Code::Syntax, rest.span, "")
                .label("these quotes are not closed")
                .help(format!("write `{quote}` behind it")));
        };
        self.at = start + length + 1;
        Ok(self.here(start..start + length))
    }

    /// What stands in brackets, if anything does.
    pub(super) fn group(&mut self) -> Result<Option<Word<'t>>, Diagnostic> {
        self.skip_blanks();
        if !self.rest().starts_with('[') {
            return Ok(None);
        }
        let start = self.at + 1;
        let Some(length) = self.text[start..].find(']') else {
            let rest = self.here(self.at..self.text.len());
            return Err(Diagnostic::new(Code::Syntax, rest.span, "")
                .label("this bracket is not closed")
                .help("write `]` behind the options"));
        };
        self.at = start + length + 1;
        Ok(Some(self.here(start..start + length)))
    }

    /// Nothing but a comment may follow.
    pub(super) fn end(&mut self) -> Result<(), Diagnostic> {
        let Some(more) = self.word() else { return Ok(()) };
        let whole = more.span.start - self.begin..self.text.trim_end().len();
        let fault = Diagnostic::new(Code::Syntax, self.here(whole).span, "").label("too much");
        Err(match more.text.starts_with('[') {
            true => fault.help("options stand in one pair of brackets, behind the last port"),
            false => fault.help("write `#` before a comment"),
        })
    }

    fn until(&mut self, ends: impl Fn(char) -> bool) -> Option<Word<'t>> {
        self.skip_blanks();
        let start = self.at;
        self.at += self.rest().find(ends).unwrap_or_else(|| self.rest().len());
        (start < self.at).then(|| self.here(start..self.at))
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn here(&self, range: Range<usize>) -> Word<'t> {
        let span = Span::new(self.file, self.begin + range.start..self.begin + range.end);
        Word::of_file(&self.text[range], span, true)
    }

    /// Something is missing behind what has been read.
    pub(super) fn missing(&self, label: &str) -> Diagnostic {
        Diagnostic::new(Code::Syntax, self.last(), "").label(label)
    }

    /// The last character that was read.
    pub(super) fn last(&self) -> Span {
        let read = self.text[..self.at].trim_end();
        let start = read.char_indices().next_back().map_or(0, |(at, _)| at);
        self.here(start..read.len()).span
    }

    pub(super) fn whole(&self) -> Span {
        let start = self.text.len() - self.text.trim_start().len();
        self.here(start..start + self.shown_bytes()).span
    }

    fn shown_bytes(&self) -> usize {
        self.text.trim().len()
    }

    /// The line, as messages repeat it.
    pub(super) fn shown(&self) -> String {
        let text = self.text.trim();
        let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        if shown.len() < text.len() {
            shown += "...";
        }
        shown
    }

    /// What the original says of a line that it cannot read.
    pub(super) fn invalid(&self) -> String {
        format!("invalid syntax at line {}: {}", self.number, self.shown())
    }
}
