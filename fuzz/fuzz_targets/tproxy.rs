//! See `crates/dialect/tests/property/tproxy.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/tproxy.rs"]
mod tproxy;
#[path = "../../crates/dialect/tests/property/shown.rs"]
mod shown;
#[path = "../../crates/dialect/tests/property/words.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tproxy::holds(data));
