//! Diagnostics as text: what is wrong, the words underlined, what to write instead.

use std::borrow::Cow;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use model::{Code, Diagnostic, Severity, Sources};

/// Columns that are counted on; longer lines are cut around the words at fault.
const COLUMNS: usize = 100;

/// Codes that [`pointer`] names.
const POINTED_MAX: usize = 3;

/// Whether the text may carry colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Never,
    /// ANSI escapes (ECMA-48), for a terminal.
    Ansi,
}

/// All `diagnostics`, in their order, and how many there are if there are several.
///
/// Spans must be of `sources`. The text is empty if there is nothing to tell, and
/// ends with a line feed otherwise.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, colour: Colour) -> String {
    let renderer = match colour {
        Colour::Never => Renderer::plain(),
        Colour::Ansi => Renderer::styled(),
    }
    .term_width(COLUMNS);
    let mut text = String::new();
    for diagnostic in diagnostics {
        text += &renderer.render(&[group(diagnostic, sources)]);
        text += "\n\n";
    }
    if diagnostics.len() > 1 {
        text += &count(diagnostics);
        text += "\n";
    } else {
        text.truncate(text.trim_end().len());
        text += if text.is_empty() { "" } else { "\n" };
    }
    text
}

/// A diagnostic on one line, for a log: where, what, and what to do.
pub fn line(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let mut line = String::new();
    if let Some(span) = diagnostic.span {
        let source = sources.get(span.source);
        let before = &source.text[..span.start];
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let row = before.matches('\n').count() + 1;
        line += &format!("{}:{row}:{column}: ", source.name);
    }
    line += &format!("{} ({})", visible(&diagnostic.message), diagnostic.code.as_str());
    if let Some(help) = &diagnostic.help {
        line += &format!("; {}", visible(help));
    }
    line
}

/// Where more is said about the kinds of fault in `diagnostics`; empty if there are none, else a
/// line with its line feed.
pub fn pointer(diagnostics: &[Diagnostic]) -> String {
    let mut codes: Vec<_> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    codes.sort_by_key(|code| (code.severity() == Severity::Warning, code.as_str()));
    codes.dedup();
    codes.truncate(POINTED_MAX);
    let codes: Vec<_> = codes.into_iter().map(Code::as_str).collect();
    match codes.is_empty() {
        true => String::new(),
        false => format!("`replug explain {}` says more\n", codes.join(" ")),
    }
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match diagnostic.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(
        level.primary_title(visible(&diagnostic.message)).id(diagnostic.code.as_str()),
    );
    if let Some(span) = diagnostic.span {
        let source = sources.get(span.source);
        let mut snippet =
            Snippet::source(calm(&source.text)).path(source.name.as_str()).annotation(
                AnnotationKind::Primary.span(span.range()).label(visible(&diagnostic.label)),
            );
        let mut elsewhere = None;
        if let Some((related, label)) = &diagnostic.related {
            let annotation = AnnotationKind::Context.span(related.range()).label(visible(label));
            if related.source == span.source {
                snippet = snippet.annotation(annotation);
            } else {
                let source = sources.get(related.source);
                elsewhere = Some(
                    Snippet::source(calm(&source.text))
                        .path(source.name.as_str())
                        .annotation(annotation),
                );
            }
        }
        group = group.element(snippet);
        if let Some(elsewhere) = elsewhere {
            group = group.element(elsewhere);
        }
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(visible(help)));
    }
    group
}

/// Whether `c` is shown as nothing, or changes how what is around it is shown: control
/// characters and the marks of direction (Unicode UAX 9).
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

/// `text` with an escape in place of each character that a terminal would act upon.
fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|c| match is_hidden(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    });
    Cow::Owned(escaped.collect())
}

/// `text` of the same length, without the control characters that annotate-snippets leaves in: those
/// from U+0080 on, which begin sequences for terminals as well.
fn calm(text: &str) -> Cow<'_, str> {
    let is_wild = |c: char| matches!(c, '\u{80}'..='\u{9f}');
    match text.contains(is_wild) {
        // Two bytes long, as each of those.
        true => Cow::Owned(text.replace(is_wild, "\u{b7}")),
        false => Cow::Borrowed(text),
    }
}

/// `2 errors, 1 warning`; empty if there are none.
pub fn count(diagnostics: &[Diagnostic]) -> String {
    let of = |severity, word: &str| {
        let count =
            diagnostics.iter().filter(|diagnostic| diagnostic.severity() == severity).count();
        match count {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{count} {word}s")),
        }
    };
    [of(Severity::Error, "error"), of(Severity::Warning, "warning")]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_names_errors_first_and_each_code_once() {
        let faults = [Code::PoolUnused, Code::Type, Code::Port, Code::Type, Code::Repeated];
        let faults = faults.map(|code| Diagnostic::new(code, None, "it is wrong"));
        assert_eq!(pointer(&faults), "`replug explain E0007 E0101 W0304` says more\n");
        assert_eq!(pointer(&[]), "");
    }
}
