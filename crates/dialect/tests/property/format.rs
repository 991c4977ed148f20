//! Whatever is put in order means the same, keeps its comments, and is in order.

use dialect::native;
use model::{Config, Severity, Sources};

/// Puts `data` in order, if it is TOML.
pub(crate) fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Some(once) = format(text) else { return };
    let twice = format(&once).unwrap_or_else(|| panic!("{text:?} became no TOML:\n{once}"));
    assert_eq!(twice, once, "{text:?} is in order only when it is put in order again");
    assert_eq!(comments(&once), comments(text), "{text:?}");
    assert!(once.is_empty() || once.ends_with('\n') && !once.ends_with("\n\n"), "{once:?}");
    // Without faults, so that nothing depends on which of two was read first.
    if let Some(config) = read(text) {
        assert_eq!(read(&once), Some(config), "{text:?}\n{once}");
    }
}

/// The text put in order, if it is TOML.
pub(crate) fn format(text: &str) -> Option<String> {
    let mut sources = Sources::default();
    let file = sources.add("replug.toml", text);
    native::format(file, &sources).ok()
}

/// The configuration, if it has no errors.
fn read(text: &str) -> Option<Config> {
    let mut sources = Sources::default();
    let file = sources.add("replug.toml", text);
    let reading = native::read(&[file], &mut sources, &|_| None, &|_| Err(String::new()));
    let sound = reading.diagnostics.iter().all(|fault| fault.severity() < Severity::Error);
    sound.then_some(reading.config)
}

/// How often each word follows a `#`: in a comment, or in a string, which stays as it is too.
fn comments(text: &str) -> Vec<&str> {
    let mut words: Vec<_> = text.split('#').skip(1).map(|rest| rest.trim_start()).collect();
    for word in &mut words {
        *word = word.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    }
    words.sort_unstable();
    words
}
