//! See `crates/dialect/tests/property/redir.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/redir.rs"]
mod redir;

libfuzzer_sys::fuzz_target!(|data: &[u8]| redir::holds(data));
