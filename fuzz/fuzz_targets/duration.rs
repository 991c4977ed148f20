//! See `crates/dialect/tests/property/duration.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/duration.rs"]
mod duration;

libfuzzer_sys::fuzz_target!(|data: &[u8]| duration::holds(data));
