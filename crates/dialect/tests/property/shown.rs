//! What holds for the faults and the configuration of every dialect.

use dialect::native;
use dialect::render::{self, Colour};
use model::{Config, Diagnostic, Sources};

/// Every fault can be shown, and shows nothing raw of what was written.
pub(crate) fn shown(diagnostics: &[Diagnostic], sources: &Sources) {
    for diagnostic in diagnostics {
        let spans = [diagnostic.span, diagnostic.related.as_ref().map(|(span, _)| *span)];
        for span in spans.into_iter().flatten() {
            // A slice: a span beyond the text or within a character ends the test here.
            let _ = sources.words(span);
        }
        assert!(!diagnostic.message.is_empty());
    }
    let told = render::render(diagnostics, sources, Colour::Never);
    let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!told.contains(hidden), "what peers or users write never reaches a terminal raw");
}

/// `text` is native TOML, and means `config`.
pub(crate) fn means(text: &str, config: &Config) {
    let mut sources = Sources::default();
    let file = sources.add("replug.toml", text);
    let again = native::read(&[file], &mut sources, &|_| None, &|_| Err(String::new()));
    let told = render::render(&again.diagnostics, &sources, Colour::Never);
    assert_eq!(again.config, *config, "{text}\n{told}");
}
