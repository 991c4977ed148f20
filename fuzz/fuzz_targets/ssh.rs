//! Any bytes are the line by which an SSH client begins, its beginning, or something else.
#![no_main]

use wire::Parse;
use wire::ssh::{LINE_BYTES_MAX, read_identification};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match read_identification(data) {
        Parse::Whole { value, length } => {
            assert!(length <= data.len().min(LINE_BYTES_MAX));
            assert!(!value.version.is_empty());
            assert_eq!(read_identification(&data[..length - 1]), Parse::Partial);
        }
        Parse::Partial => assert!(data.len() < LINE_BYTES_MAX),
        Parse::Foreign(_) => {}
    }
});
