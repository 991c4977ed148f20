//! Any words are read as proxymachine's, any fault of them can be shown, and what is sound can be explained
//! as native TOML that means the same.

use dialect::line::Words;
use dialect::proxymachine::{self, Surroundings, Wish};
use model::Sources;

use crate::shown::{means, shown};
use crate::words::{point, words};

const SURROUNDINGS: Surroundings<'_> = Surroundings {
    host: &|name| (name == "localhost").then(|| [127, 0, 0, 1].into()),
    is_strict: false,
};

/// Reads `data`, words apart by zero bytes, as a command line of proxymachine.
pub(crate) fn holds(data: &[u8]) {
    let args = words(data);
    let mut sources = Sources::default();
    let words = Words { program: "proxymachine", args: &args };
    let reading = proxymachine::read(words, &mut sources, SURROUNDINGS);
    point(&reading.diagnostics);
    shown(&reading.diagnostics, &sources);
    if reading.is_sound() && !matches!(reading.wish, Wish::Help | Wish::Version) {
        means(&reading.explain(), &reading.config);
    }
}
