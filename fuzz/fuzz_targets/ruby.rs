//! Any bytes are a frame of a Ruby worker, the beginning of one, or something else.
#![no_main]

use wire::Parse;
use wire::ruby::{FRAME_BYTES_MAX, Said, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match read(data) {
        Parse::Whole { value, length } => {
            assert!(length <= data.len().min(4 + FRAME_BYTES_MAX));
            if let Said::Decided { decision, .. } = value {
                assert!(5 * decision.fields().count() <= length);
            }
        }
        Parse::Partial => assert!(data.len() < 4 + FRAME_BYTES_MAX),
        Parse::Foreign(_) => {}
    }
});
