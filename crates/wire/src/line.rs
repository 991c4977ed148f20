//! The lines of a text whose end has not come yet, as protocols of lines have them: ended by LF or
//! CRLF.

/// Lines that have ended, without their ends.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where the next one begins.
    pub(crate) at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        self.at += end + 1;
        let line = &rest[..end];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}
