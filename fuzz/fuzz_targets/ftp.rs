//! Any bytes of a control connection are cut into lines and read, and whatever has no address in
//! it comes out as it went in.
#![no_main]

use std::ops::ControlFlow;

use wire::ftp::lines::{LINE_BYTES_MAX, Lines, Piece};
use wire::ftp::{Command, Replies, Reply, Written, read_command};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let ours = ([10, 0, 0, 1], 258).into();
    let Some((&at, data)) = data.split_first() else { return };
    let (one, two) = data.split_at(usize::from(at).min(data.len()));
    let (mut lines, mut replies, mut out) = (Lines::default(), Replies::default(), Vec::new());
    let mut again = Vec::new();
    for received in [one, two] {
        lines.read(received, |piece| {
            match piece {
                Piece::Part(part) => out.extend_from_slice(part),
                Piece::Line(line) => {
                    assert!(line.len() <= LINE_BYTES_MAX && line.ends_with(b"\n"));
                    out.extend_from_slice(line);
                    again.clear();
                    if let Command::Active(active) = read_command(line) {
                        active.write(line, ours, &mut again);
                        assert!(matches!(read_command(&again), Command::Active(a) if a.address == ours));
                    }
                    if let Reply::Passive(passive) = replies.read(line) {
                        again.clear();
                        assert_eq!(passive.write(line, ours, &mut again), Written::Whole);
                    }
                }
            }
            ControlFlow::Continue(())
        });
    }
    out.extend(lines.take_begun());
    assert_eq!(out, data);
});
