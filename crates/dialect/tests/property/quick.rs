//! Any words are read, and any fault of them can be shown.

use dialect::convert;
use dialect::quick::{self, Words};
use model::{Severity, Sources};

use crate::shown::{means, shown};
use crate::words::{point, words};

/// Reads `data`, words apart by zero bytes, as a command line.
pub(crate) fn holds(data: &[u8]) {
    let args = words(data);
    let mut sources = Sources::default();
    let words = Words { program: "replug", args: &args, commands: &["demo"] };
    let reading = quick::read(words, &mut sources);
    point(&reading.diagnostics);
    shown(&reading.diagnostics, &sources);
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
        means(&text, &reading.config);
    }
}
