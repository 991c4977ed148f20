//! Any text is read, any fault of it can be shown, and what is sound is written so that it reads back.

use dialect::native;
use dialect::render::{self, Colour};
use model::{Severity, Sources};

/// Reads `data` as native TOML.
pub(crate) fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut sources = Sources::default();
    let reading = read(text, &mut sources);
    for diagnostic in &reading.diagnostics {
        let spans = [diagnostic.span, diagnostic.related.as_ref().map(|(span, _)| *span)];
        for span in spans.into_iter().flatten() {
            // A slice: a span beyond the text or within a character ends the test here.
            let _ = sources.words(span);
        }
        assert!(!diagnostic.message.is_empty());
    }
    let shown = render::render(&reading.diagnostics, &sources, Colour::Never);
    let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!shown.contains(hidden), "what users write never reaches a terminal raw");
    let sound = reading.diagnostics.iter().all(|fault| fault.severity() < Severity::Error);
    if sound {
        for written in [native::write(&reading.config), native::write_effective(&reading.config)] {
            let again = read(&written, &mut Sources::default());
            assert_eq!(again.config, reading.config, "{written}");
        }
    }
}

fn read(text: &str, sources: &mut Sources) -> native::Reading {
    let file = sources.add("replug.toml", text);
    let list = |_: &std::path::Path| Ok("10.0.0.0/8\n\u{1b}x # y\n".to_owned());
    native::read(&[file], sources, &|name| (name == "A").then(|| "\"\n${A}".to_owned()), &list)
}
