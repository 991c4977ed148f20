//! Any words are read, and any fault of them can be shown.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use dialect::quick::{self, Words};
use dialect::render::{self, Colour};
use dialect::{convert, native};
use model::{Severity, Sources};

/// Reads `data`, words apart by zero bytes, as a command line.
pub(crate) fn holds(data: &[u8]) {
    let args: Vec<_> =
        data.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    let mut sources = Sources::default();
    let words = Words { program: "replug", args: &args, commands: &["demo"] };
    let reading = quick::read(words, &mut sources);
    for diagnostic in &reading.diagnostics {
        let span = diagnostic.span.expect("every fault of a line has its words");
        // Slices: a span beyond the line or within a character ends the test here.
        let _ = sources.words(span);
        if let Some((related, _)) = diagnostic.related {
            let _ = sources.words(related);
        }
        assert!(!diagnostic.message.is_empty() && !diagnostic.label.is_empty());
    }
    let text = render::render(&reading.diagnostics, &sources, Colour::Never);
    let hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(hidden), "what peers or users write never reaches a terminal raw");
    let sound =
        reading.diagnostics.iter().all(|diagnostic| diagnostic.severity() < Severity::Error);
    if sound && reading.wish == quick::Wish::Run {
        let [listener] = &*reading.config.listeners else {
            panic!("a sound line makes one listener");
        };
        assert_eq!(listener.bind.len(), 1);
        assert!(!reading.config.pools[0].backends.is_empty());
        let converted = convert::quick(words, &mut Sources::default());
        let text = converted.text.expect("a sound line converts");
        let mut sources = Sources::default();
        let file = sources.add("replug.toml", text.as_str());
        let again = native::read(&[file], &mut sources, &|_| None, &|_| Err(String::new()));
        assert_eq!(again.config, reading.config, "{text}");
    }
}
