//! Any bytes are the first message of an MQTT client, its beginning, or something else.
#![no_main]

use wire::Parse;
use wire::mqtt::{MESSAGE_BYTES_MAX, read_connect};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match read_connect(data) {
        Parse::Whole { value, length } => {
            assert!(length <= data.len());
            assert!(value.client.len() < length);
            assert_eq!(read_connect(&data[..length - 1]), Parse::Partial);
        }
        Parse::Partial => assert!(data.len() < MESSAGE_BYTES_MAX + 5),
        Parse::Foreign(_) => {}
    }
});
