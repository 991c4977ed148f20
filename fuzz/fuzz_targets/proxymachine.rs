//! See `crates/dialect/tests/property/proxymachine.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/proxymachine.rs"]
mod proxymachine;
#[path = "../../crates/dialect/tests/property/shown.rs"]
mod shown;
#[path = "../../crates/dialect/tests/property/words.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxymachine::holds(data));
