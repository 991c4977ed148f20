//! Any bytes are requests, the beginning of one, or something else, however they are cut.
#![no_main]

use wire::Parse;
use wire::http::{BodyReader, HEAD_BYTES_MAX, read_request};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    loop {
        match read_request(rest) {
            Parse::Whole { value, length } => {
                assert!(0 < length && length <= rest.len());
                let target = &rest[value.target_at..value.target_at + value.target.len()];
                assert_eq!(target, value.target);
                let mut whole = BodyReader::new(value.body);
                let mut pieces = whole;
                rest = &rest[length..];
                let parse = whole.read(rest);
                let mut each = rest.chunks(1).map(|piece| pieces.read(piece));
                match parse {
                    Parse::Whole { length, .. } => {
                        assert!(each.by_ref().take(length).all(|parse| !matches!(parse, Parse::Foreign(_))));
                        assert!(pieces.has_ended());
                        rest = &rest[length..];
                    }
                    Parse::Partial => {
                        assert!(each.all(|parse| parse == Parse::Partial));
                        return;
                    }
                    Parse::Foreign(why) => {
                        let wrong = each.find(|parse| *parse != Parse::Partial);
                        assert_eq!(wrong, Some(Parse::Foreign(why)));
                        return;
                    }
                }
            }
            Parse::Partial => {
                assert!(rest.len() < HEAD_BYTES_MAX);
                return;
            }
            Parse::Foreign(_) => return,
        }
    }
});
