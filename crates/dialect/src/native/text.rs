//! Strings of a file, with `${NAME}` replaced by the environment.
//!
//! `$${` stands for `${` itself.

use std::borrow::Cow;

use model::{Code, Diagnostic, Span};

use super::Environment;
use crate::line::Word;

/// A string, and where it stands.
#[derive(Debug)]
pub(super) struct Text<'t> {
    pub(super) value: Cow<'t, str>,
    pub(super) span: Span,
    verbatim: bool,
}

impl<'t> Text<'t> {
    /// The string that `value` is written as at `span` of `source`, quotes included.
    pub(super) fn new(value: &'t str, source: &str, span: Span) -> Self {
        let written = &source[span.range()];
        for quotes in [1, 3] {
            let inner = written.get(quotes..written.len().saturating_sub(quotes));
            if inner == Some(value) && !value.is_empty() {
                let span = span.part(quotes..written.len() - quotes);
                return Self { value: value.into(), span, verbatim: true };
            }
        }
        Self { value: value.into(), span, verbatim: false }
    }

    /// What the readers of terms take.
    pub(super) fn word(&self) -> Word<'_> {
        Word::of_file(&self.value, self.span, self.verbatim)
    }

    /// The same with its variables replaced.
    ///
    /// # Errors
    /// The first one that is not closed or not set.
    pub(super) fn expand(self, environment: Environment<'_>) -> Result<Self, Diagnostic> {
        if !self.value.contains("${") {
            return Ok(self);
        }
        let mut value = String::new();
        let mut at = 0;
        while let Some(found) = self.value[at..].find("${") {
            let start = at + found;
            if self.value[at..start].ends_with('$') {
                value += &self.value[at..start - 1];
                value += "${";
                at = start + 2;
                continue;
            }
            value += &self.value[at..start];
            let inside = start + 2;
            let Some(length) = self.value[inside..].find('}') else {
                let word = self.word().from(start);
                return Err(Diagnostic::new(Code::Variable, word.span, "`${` is not closed")
                    .label("no `}` behind it")
                    .help("write `${NAME}` for a variable, `$${` for the characters themselves"));
            };
            let name = &self.value[inside..inside + length];
            let span = self.word().part(start..inside + length + 1).span;
            value += &variable(name, span, environment)?;
            at = inside + length + 1;
        }
        value += &self.value[at..];
        Ok(Self { value: value.into(), span: self.span, verbatim: false })
    }
}

fn variable(name: &str, span: Span, environment: Environment<'_>) -> Result<String, Diagnostic> {
    let legal = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !legal {
        let message = format!("`{name}` is not the name of a variable");
        return Err(Diagnostic::new(Code::Variable, span, message)
            .label("letters, digits and `_`")
            .help("write `${NAME}` for a variable, `$${` for the characters themselves"));
    }
    environment(name).ok_or_else(|| {
        Diagnostic::new(Code::Variable, span, format!("the variable `{name}` is not set"))
            .label("not in the environment")
            .help(format!("set it where replug is started: `{name}=... replug run`"))
    })
}
