//! Any words are read as plug's, any fault of them can be shown, and what is sound can be explained
//! as native TOML that means the same.

use dialect::line::Words;
use dialect::plug::{self, Wish};
use model::Sources;

use crate::shown::{means, shown};
use crate::words::{point, words};

/// Reads `data`, words apart by zero bytes, as a command line of plug.
pub(crate) fn holds(data: &[u8]) {
    let args = words(data);
    let mut sources = Sources::default();
    let reading = plug::read(Words { program: "plug", args: &args }, &mut sources);
    point(&reading.diagnostics);
    shown(&reading.diagnostics, &sources);
    if reading.is_sound() && matches!(reading.wish, Wish::Run | Wish::Explain) {
        means(&reading.explain(), &reading.config);
    }
}
