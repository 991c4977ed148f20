//! See `crates/dialect/tests/property/rinetd.rs`.
#![no_main]

#[path = "../../crates/dialect/tests/property/rinetd.rs"]
mod rinetd;
#[path = "../../crates/dialect/tests/property/shown.rs"]
mod shown;

libfuzzer_sys::fuzz_target!(|data: &[u8]| rinetd::holds(data));
