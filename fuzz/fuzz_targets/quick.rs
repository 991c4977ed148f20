//! See `crates/dialect/tests/property/quick.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/quick.rs"]
mod quick;

libfuzzer_sys::fuzz_target!(|data: &[u8]| quick::holds(data));
