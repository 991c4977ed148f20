//! See `crates/dialect/tests/property/tcprelay.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/tcprelay.rs"]
mod tcprelay;
#[path = "../../crates/dialect/tests/property/shown.rs"]
mod shown;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tcprelay::holds(data));
