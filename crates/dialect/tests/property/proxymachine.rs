//! Any words are read as proxymachine's, any fault of them can be shown, and what is sound can be explained
//! as native TOML that means the same.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use dialect::native;
use dialect::proxymachine::{self, Surroundings, Wish, Words};
use dialect::render::{self, Colour};
use model::Sources;

const SURROUNDINGS: Surroundings<'_> = Surroundings {
    host: &|name| (name == "localhost").then(|| [127, 0, 0, 1].into()),
    is_strict: false,
};

/// Reads `data`, words apart by zero bytes, as a command line of proxymachine.
pub(crate) fn holds(data: &[u8]) {
    let args: Vec<_> =
        data.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    let mut sources = Sources::default();
    let words = Words { program: "proxymachine", args: &args };
    let reading = proxymachine::read(words, &mut sources, SURROUNDINGS);
    for diagnostic in &reading.diagnostics {
        let span = diagnostic.span.expect("every fault of a line has its words");
        // Slices: a span beyond the line or within a character ends the test here.
        let _ = sources.words(span);
        if let Some((related, _)) = diagnostic.related {
            let _ = sources.words(related);
        }
        assert!(!diagnostic.message.is_empty() && !diagnostic.label.is_empty());
    }
    let told = render::render(&reading.diagnostics, &sources, Colour::Never);
    let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!told.contains(hidden), "what peers or users write never reaches a terminal raw");
    if reading.is_sound() && !matches!(reading.wish, Wish::Help | Wish::Version) {
        let text = reading.explain();
        let mut sources = Sources::default();
        let file = sources.add("replug.toml", text.as_str());
        let again = native::read(&[file], &mut sources, &|_| None, &|_| Err(String::new()));
        let told = render::render(&again.diagnostics, &sources, Colour::Never);
        assert_eq!(again.config, reading.config, "{text}\n{told}");
    }
}
