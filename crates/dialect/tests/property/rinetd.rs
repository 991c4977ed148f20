//! Any text is read as a configuration of rinetd, any fault of it can be shown, and what is sound
//! can be explained as native TOML that means the same.

use dialect::native;
use dialect::render::{self, Colour};
use dialect::rinetd::{self, Included, Options, Surroundings};
use model::Sources;

/// Reads `data`.
pub(crate) fn holds(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let surroundings = Surroundings {
        include: &|_, name| {
            let text = Ok(text.to_string());
            (name == "a").then(|| Included { name: "a".to_owned(), text }).into_iter().collect()
        },
        service: &|name, _| (name == "http").then_some(80),
        address: &|host| match host {
            "localhost" => Ok([127, 0, 0, 1].into()),
            _ => Err("no such host".to_owned()),
        },
    };
    let mut sources = Sources::default();
    let file = sources.add("rinetd.conf", &*text);
    let options = Options::default();
    let reading = rinetd::read(file, &options, &mut sources, surroundings);
    for diagnostic in &reading.diagnostics {
        let spans = [diagnostic.span, diagnostic.related.as_ref().map(|(span, _)| *span)];
        for span in spans.into_iter().flatten() {
            // A slice: a span beyond the text or within a character ends the test here.
            let _ = sources.words(span);
        }
        assert!(!diagnostic.message.is_empty());
    }
    let told = render::render(&reading.diagnostics, &sources, Colour::Never);
    let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!told.contains(hidden), "what users write never reaches a terminal raw");
    if reading.is_sound {
        let text = reading.explain();
        let mut sources = Sources::default();
        let file = sources.add("replug.toml", text.as_str());
        let again = native::read(&[file], &mut sources, &|_| None, &|_| Err(String::new()));
        let told = render::render(&again.diagnostics, &sources, Colour::Never);
        assert_eq!(again.config, reading.config, "{text}\n{told}");
    }
}
