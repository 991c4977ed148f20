//! See `crates/dialect/tests/property/quick.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/quick.rs"]
mod quick;
#[path = "../../crates/dialect/tests/property/shown.rs"]
mod shown;
#[path = "../../crates/dialect/tests/property/words.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|data: &[u8]| quick::holds(data));
