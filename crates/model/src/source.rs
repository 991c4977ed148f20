//! Where an item was written.
//!
//! A *source* is a text that configuration came from: a file, or the command
//! line as one line of words. A [`Span`] is a range of bytes of one source; it
//! is all that a fault needs in order to be shown under the words that caused it.

use std::ops::Range;

/// The texts a configuration was read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    texts: Vec<Source>,
}

/// One text and the name a user knows it by.
#[derive(Clone, Debug)]
pub struct Source {
    /// A path, or `command line`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Sources {
    /// Takes in a text; the id returned is good for this `Sources` only.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        self.texts.push(Source { name: name.into(), text: text.into() });
        SourceId(self.texts.len() - 1)
    }

    /// The text with this id.
    pub fn get(&self, id: SourceId) -> &Source {
        &self.texts[id.0]
    }

    /// The words that a span covers.
    pub fn words(&self, span: Span) -> &str {
        &self.get(span.source).text[span.range()]
    }
}

/// Names one text of a [`Sources`]; ids are ordered as their texts were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(usize);

/// A range of bytes of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes `range` of `source`.
    pub fn new(source: SourceId, range: Range<usize>) -> Self {
        Self { source, start: range.start, end: range.end }
    }

    /// The bytes, for slicing the text.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether a byte is in both. A span without bytes is in what is around it.
    pub fn overlaps(self, other: Self) -> bool {
        let within = |one: Self, other: Self| other.start <= one.start && one.start <= other.last();
        self.source == other.source && (within(self, other) || within(other, self))
    }

    fn last(self) -> usize {
        self.end.saturating_sub(1).max(self.start)
    }

    /// A part of this span, `range` counted from its start.
    pub fn part(self, range: Range<usize>) -> Self {
        Self { start: self.start + range.start, end: self.start + range.end, ..self }
    }
}

/// A value together with the place it was written at.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where; `None` for a value that nobody wrote (a default).
    pub span: Option<Span>,
}

impl<T> Spanned<T> {
    /// A value that was written at `span`.
    pub fn at(value: T, span: Span) -> Self {
        Self { value, span: Some(span) }
    }

    /// A value that nobody wrote.
    pub fn default_of(value: T) -> Self {
        Self { value, span: None }
    }
}

/// Two values are the same wherever they were written.
impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}
