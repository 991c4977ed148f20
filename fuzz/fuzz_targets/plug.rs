//! See `crates/dialect/tests/property/plug.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/plug.rs"]
mod plug;
#[path = "../../crates/dialect/tests/property/shown.rs"]
mod shown;
#[path = "../../crates/dialect/tests/property/words.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|data: &[u8]| plug::holds(data));
