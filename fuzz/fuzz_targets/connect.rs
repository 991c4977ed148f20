//! Any bytes are an answer of a proxy, the beginning of one, or something else.
#![no_main]

use wire::Parse;
use wire::connect::{RESPONSE_BYTES_MAX, read_response};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match read_response(data) {
        Parse::Whole { length, .. } => assert!(length <= data.len()),
        Parse::Partial => assert!(data.len() < RESPONSE_BYTES_MAX),
        Parse::Foreign(_) => {}
    }
});
