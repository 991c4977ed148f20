//! Any bytes are a value of Redis, its beginning, or something else; what is whole lies within them.
#![no_main]

use wire::Parse;
use wire::resp::{VALUE_BYTES_MAX, command, read_value};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match read_value(data) {
        Parse::Whole { value, length } => {
            assert!(length <= data.len());
            assert_eq!(read_value(&data[..length]), Parse::Whole { value: value.clone(), length });
            assert_eq!(read_value(&data[..length - 1]), Parse::Partial);
            assert!(command(&value).is_none_or(|words| words.len() * 6 <= length));
        }
        Parse::Partial => assert!(data.len() < VALUE_BYTES_MAX),
        Parse::Foreign(_) => {}
    }
});
