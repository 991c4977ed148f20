//! See `crates/dialect/tests/property/address.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/address.rs"]
mod address;

libfuzzer_sys::fuzz_target!(|data: &[u8]| address::holds(data));
