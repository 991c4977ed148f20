//! Any text is read as a configuration of tcprelay, any fault of it can be shown, and what is sound
//! can be explained as native TOML that means the same.

use dialect::tcprelay::{self, Included, Options, Surroundings, Verdict};
use model::Sources;

use crate::shown::{means, shown};

/// Reads `data`.
pub(crate) fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let surroundings = Surroundings {
        environment: &|name| (name == "A").then(|| "\"\n${A}".to_owned()),
        include: &|name| {
            let text = Ok(text.to_owned());
            (name == "b").then(|| Included { name: "b".to_owned(), text }).into_iter().collect()
        },
        service: &|name| (name == "http").then_some(80),
    };
    let mut sources = Sources::default();
    let file = sources.add("relay.cfg", text);
    let options = Options::default();
    let reading = tcprelay::read(file, &options, &mut sources, surroundings);
    shown(&reading.diagnostics, &sources);
    if reading.verdict == Verdict::Sound {
        means(&reading.explain(), &reading.config);
    }
}
