//! Any bytes of a peer that begins in the clear lead to TLS, to an end, or to a wait for more.
#![no_main]

use wire::Parse;
use wire::starttls::{Opening, answer, ask};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    let opening = Opening::ALL[usize::from(*which) % Opening::ALL.len()];
    let (mut asked, _) = ask::Ask::new(opening);
    // Each piece is what the server says in its turn.
    for piece in data.split(|byte| *byte == 0xff) {
        match asked.read(piece) {
            Parse::Whole { length, .. } => assert_eq!(length, piece.len()),
            Parse::Partial => assert!(piece.len() < ask::ANSWER_BYTES_MAX),
            Parse::Foreign(_) => break,
        }
    }
    match ask::read_greeting(opening, data) {
        Parse::Whole { length, .. } => assert!(length <= data.len()),
        Parse::Partial => assert!(data.len() < ask::ANSWER_BYTES_MAX),
        Parse::Foreign(_) => {}
    }
    let (mut answered, _) = answer::Answer::new(opening);
    let mut rest = data;
    for _ in 0..=answer::LINES_MAX {
        match answered.read(rest) {
            Parse::Whole { value: answer::Next::Say(_), length } => {
                assert!(length > 0);
                rest = &rest[length..];
            }
            Parse::Whole { length, .. } => return assert!(length <= rest.len()),
            Parse::Partial | Parse::Foreign(_) => return,
        }
    }
    panic!("no end of lines");
});
