//! Any bytes are a ClientHello, the beginning of one, or something else, and stay what they are.
#![no_main]

use wire::Parse;
use wire::tls::{HELLO_BYTES_MAX, read_client_hello};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let whole = read_client_hello(data);
    match &whole {
        Parse::Whole { length, .. } => assert!(*length <= data.len()),
        // Each byte of it may come in a record of its own, of six bytes.
        Parse::Partial => assert!(data.len() < 6 * HELLO_BYTES_MAX),
        Parse::Foreign(_) => {}
    }
    let half = read_client_hello(&data[..data.len() / 2]);
    assert!(half == Parse::Partial || half == whole);
});
