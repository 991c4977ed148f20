//! See `crates/dialect/tests/property/tproxy.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/tproxy.rs"]
mod tproxy;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tproxy::holds(data));
