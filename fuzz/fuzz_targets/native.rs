//! See `crates/dialect/tests/property/native.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/native.rs"]
mod native;

libfuzzer_sys::fuzz_target!(|data: &[u8]| native::holds(data));
