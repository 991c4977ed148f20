//! See `crates/dialect/tests/property/plug.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/plug.rs"]
mod plug;

libfuzzer_sys::fuzz_target!(|data: &[u8]| plug::holds(data));
