//! Any words are read as tproxy's, any fault of them can be shown, and what is sound can be explained
//! as native TOML that means the same.

use dialect::line::Words;
use dialect::tproxy::{self, Surroundings, Wish};
use model::Sources;

use crate::shown::{means, shown};
use crate::words::{point, words};

const SURROUNDINGS: Surroundings<'_> = Surroundings {
    service: &|name| (name == "squid").then_some(3128),
    host: &|name| (name == "localhost").then(|| [127, 0, 0, 1].into()),
};

/// Reads `data`, words apart by zero bytes, as a command line of tproxy.
pub(crate) fn holds(data: &[u8]) {
    let args = words(data);
    let mut sources = Sources::default();
    let words = Words { program: "tproxy", args: &args };
    let reading = tproxy::read(words, &mut sources, SURROUNDINGS);
    point(&reading.diagnostics);
    shown(&reading.diagnostics, &sources);
    if reading.is_sound() && reading.wish != Wish::Help {
        means(&reading.explain(), &reading.config);
    }
}
