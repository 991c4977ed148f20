//! Any words are read as redir's, any fault of them can be shown, and what is sound can be explained
//! as native TOML that means the same.

use dialect::line::Words;
use std::net::IpAddr;

use dialect::redir::{self, Surroundings, Wish};
use model::Sources;

use crate::shown::{means, shown};
use crate::words::{point, words};

const AROUND: Surroundings<'_> = Surroundings {
    service: &|name| (name == "http").then_some(80),
    resolve: &|name| (name == "gate").then_some(IpAddr::from([10, 0, 0, 1])),
};

/// Reads `data`, words apart by zero bytes, as a command line of redir.
pub(crate) fn holds(data: &[u8]) {
    let args = words(data);
    let mut sources = Sources::default();
    let words = Words { program: "redir", args: &args };
    let reading = redir::read(words, &mut sources, AROUND);
    point(&reading.diagnostics);
    shown(&reading.diagnostics, &sources);
    if reading.failure.is_none() && matches!(reading.wish, Wish::Run | Wish::Explain) {
        means(&reading.explain(), &reading.config);
    }
}
