//! See `crates/dialect/tests/property/redir.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/redir.rs"]
mod redir;
#[path = "../../crates/dialect/tests/property/shown.rs"]
mod shown;
#[path = "../../crates/dialect/tests/property/words.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|data: &[u8]| redir::holds(data));
