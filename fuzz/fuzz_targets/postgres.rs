//! Any bytes are the first message of a PostgreSQL client, its beginning, or something else.
#![no_main]

use wire::Parse;
use wire::postgres::{FIRST_BYTES_MAX, First, read_first};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match read_first(data) {
        Parse::Whole { value, length } => {
            assert!(length <= data.len());
            if let First::Startup(start) = value {
                assert!(start.parameters().count() <= length);
                assert!(start.user().is_none_or(|user| !user.is_empty()));
            }
        }
        Parse::Partial => assert!(data.len() < FIRST_BYTES_MAX),
        Parse::Foreign(_) => {}
    }
});
