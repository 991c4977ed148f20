//! Lines out of a stream that comes in pieces of any size.
//!
//! A line is held until it is whole, and no longer than [`LINE_BYTES_MAX`]: one that is longer is
//! given on in the pieces it comes in, as what it is not: a line.

use std::ops::ControlFlow;

/// Longest line, its end included, in bytes. The longest that matter have a path name in them.
pub const LINE_BYTES_MAX: usize = 8 * 1024;

/// What of a stream is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line with its LF.
    Line(&'a [u8]),
    /// A part of a line that is too long to be read.
    Part(&'a [u8]),
}

/// The line that has begun.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    /// Whether what comes up to the next LF belongs to a line that is too long.
    is_too_long: bool,
}

impl Lines {
    /// Takes in what was received, and hands each piece that makes to `each`, until that breaks
    /// off. Returns what was not looked at, nothing if it did not break off.
    pub fn read<'a>(
        &mut self,
        received: &'a [u8],
        mut each: impl FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> &'a [u8] {
        let mut rest = received;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let (piece, behind) = rest.split_at(end.unwrap_or(rest.len()));
            rest = behind;
            if self.take(piece, end.is_some(), &mut each).is_break() {
                return rest;
            }
        }
        rest
    }

    /// What has begun and will never be a line: the stream is over, or is none of lines any more.
    pub fn take_begun(&mut self) -> Vec<u8> {
        self.is_too_long = false;
        std::mem::take(&mut self.held)
    }

    fn take(
        &mut self,
        piece: &[u8],
        is_end: bool,
        each: &mut impl FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if self.is_too_long {
            self.is_too_long = !is_end;
            return each(Piece::Part(piece));
        }
        if self.held.len() + piece.len() > LINE_BYTES_MAX {
            self.is_too_long = !is_end;
            let held = std::mem::take(&mut self.held);
            if !held.is_empty() {
                each(Piece::Part(&held))?;
            }
            return each(Piece::Part(piece));
        }
        if !is_end {
            self.held.extend_from_slice(piece);
            return ControlFlow::Continue(());
        }
        if self.held.is_empty() {
            return each(Piece::Line(piece));
        }
        let mut line = std::mem::take(&mut self.held);
        line.extend_from_slice(piece);
        each(Piece::Line(&line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of `text`, received as it is cut: lines in brackets, parts without.
    fn pieces(cut: &[&[u8]]) -> String {
        let mut lines = Lines::default();
        let mut shown = String::new();
        for received in cut {
            let rest = lines.read(received, |piece| {
                let (open, bytes, close) = match piece {
                    Piece::Line(line) => ("[", line, "]"),
                    Piece::Part(part) => ("", part, ""),
                };
                shown += open;
                shown += &String::from_utf8_lossy(bytes);
                shown += close;
                ControlFlow::Continue(())
            });
            assert!(rest.is_empty());
        }
        shown + &String::from_utf8_lossy(&lines.take_begun())
    }

    #[test]
    fn a_line_is_a_line_wherever_it_is_cut() {
        let text = b"USER a\r\nPASV\nQUIT\r\nha";
        let expected = "[USER a\r\n][PASV\n][QUIT\r\n]ha";
        for at in 0..=text.len() {
            for and in at..=text.len() {
                assert_eq!(pieces(&[&text[..at], &text[at..and], &text[and..]]), expected);
            }
        }
    }

    #[test]
    fn what_is_too_long_passes_in_parts_and_the_next_line_is_one() {
        let long = vec![b'x'; LINE_BYTES_MAX];
        let text = [&long, &b"y\nPASV\r\n"[..]].concat();
        let expected = format!("{}y\n[PASV\r\n]", "x".repeat(LINE_BYTES_MAX));
        for at in [0, 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1, LINE_BYTES_MAX + 2, text.len()] {
            assert_eq!(pieces(&[&text[..at], &text[at..]]), expected, "{at}");
        }
        let fits = [&long[..LINE_BYTES_MAX - 1], b"\n"].concat();
        let expected = format!("[{}\n]", "x".repeat(LINE_BYTES_MAX - 1));
        assert_eq!(pieces(&[&fits[..5], &fits[5..]]), expected);
    }

    #[test]
    fn what_is_behind_a_break_is_not_looked_at() {
        let mut lines = Lines::default();
        let mut seen = 0;
        let rest = lines.read(b"one\ntwo\nthree", |_| {
            seen += 1;
            ControlFlow::Break(())
        });
        assert_eq!((rest, seen), (&b"two\nthree"[..], 1));
        assert_eq!(lines.take_begun(), b"");
    }
}
