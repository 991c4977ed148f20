//! Any text is an expression or a fault in it, and what is told of a beginning stays true.
#![no_main]

use wire::Verdict;
use wire::pattern::{Fault, Pattern};

libfuzzer_sys::fuzz_target!(|input: (String, Vec<u8>)| {
    let (text, data) = input;
    match Pattern::new(&text) {
        Ok(pattern) => {
            let half = pattern.test(&data[..data.len() / 2], false);
            let whole = pattern.test(&data, false);
            assert!(half == Verdict::Maybe || half == whole);
            assert_ne!(pattern.test(&data, true), Verdict::Maybe);
        }
        Err(Fault::Syntax { at, .. }) => assert!(text.get(at).is_some()),
        Err(_) => {}
    }
});
