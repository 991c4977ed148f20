//! Any bytes are an answer of an authorization program, the beginning of one, or something else.
#![no_main]

use wire::Parse;
use wire::mavis::{Attribute, REPLY_BYTES_MAX, read_reply};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match read_reply(data) {
        Parse::Whole { value, length } => {
            assert!(length <= data.len().min(REPLY_BYTES_MAX));
            for number in 0..=u8::MAX {
                assert!(value.get(Attribute(number)).is_none_or(|value| value.len() < length));
            }
        }
        Parse::Partial => assert!(data.len() < REPLY_BYTES_MAX),
        Parse::Foreign(_) => {}
    }
});
