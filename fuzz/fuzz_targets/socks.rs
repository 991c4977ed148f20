//! Any bytes are a message of SOCKS, the beginning of one, or something else; on either side.
#![no_main]

use wire::Parse;
use wire::socks::{Foreign, MESSAGE_BYTES_MAX, v4, v5};

fn check<T>(data: &[u8], parse: Parse<T, Foreign>) {
    match parse {
        Parse::Whole { length, .. } => assert!(length <= data.len()),
        Parse::Partial => assert!(data.len() < MESSAGE_BYTES_MAX),
        Parse::Foreign(_) => {}
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    check(data, v4::read_request(data));
    check(data, v4::read_reply(data));
    check(data, v5::read_greeting(data));
    check(data, v5::read_choice(data));
    check(data, v5::read_credentials(data));
    check(data, v5::read_verdict(data));
    check(data, v5::read_request(data));
    check(data, v5::read_reply(data));
    let _ = wire::basic::read(data);
});
