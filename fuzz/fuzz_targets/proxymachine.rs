//! See `crates/dialect/tests/property/proxymachine.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/proxymachine.rs"]
mod proxymachine;

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxymachine::holds(data));
