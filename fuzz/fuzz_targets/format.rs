//! See `crates/dialect/tests/property/format.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/format.rs"]
mod format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| format::holds(data));
