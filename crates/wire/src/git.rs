//! The request that a client of `git://` begins with (gitprotocol-pack): what it wants to do, and
//! with which repository.
//!
//! ```text
//! 0033git-upload-pack /project.git\0host=git.example.com\0
//! ```

use crate::{Parse, Verdict, begins_with};

/// What a client may want; each is followed by a blank and the path of a repository.
const SERVICES: [&[u8]; 3] = [b"git-upload-pack ", b"git-receive-pack ", b"git-upload-archive "];

/// Longest request, in bytes: that of any packet of the protocol.
const REQUEST_BYTES_MAX: usize = 65_520;

/// Digits of the length, which counts itself.
const HEAD: usize = 4;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The path of the repository, as it came: one or more bytes but NUL and line ends.
    pub repository: &'a [u8],
}

/// The bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Foreign;

/// Reads a request from its first byte.
pub fn read_request(bytes: &[u8]) -> Parse<Request<'_>, Foreign> {
    match begins(bytes) {
        Verdict::No => return Parse::Foreign(Foreign),
        Verdict::Maybe => return Parse::Partial,
        Verdict::Yes => {}
    }
    let Some(length) = length(bytes) else { return Parse::Foreign(Foreign) };
    let Some(body) = bytes.get(HEAD..length) else { return Parse::Partial };
    let service = SERVICES.iter().find_map(|service| body.strip_prefix(*service));
    let path = service.unwrap_or_default().split(|byte| matches!(byte, 0 | b'\n')).next();
    match path {
        Some(repository) if !repository.is_empty() => {
            Parse::Whole { value: Request { repository }, length }
        }
        _ => Parse::Foreign(Foreign),
    }
}

/// Whether bytes begin a request: known behind the name of the service.
pub(crate) fn begins(bytes: &[u8]) -> Verdict {
    let digits = bytes.len().min(HEAD);
    if !bytes[..digits].iter().all(u8::is_ascii_hexdigit) {
        return Verdict::No;
    }
    let Some(service) = bytes.get(HEAD..) else { return Verdict::Maybe };
    if length(bytes).is_none() {
        return Verdict::No;
    }
    let verdicts = SERVICES.iter().map(|known| begins_with(service, known));
    verdicts.fold(Verdict::No, Verdict::or)
}

fn length(bytes: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(bytes.get(..HEAD)?).ok()?;
    let length = usize::from_str_radix(digits, 16).ok()?;
    (HEAD + 16..=REQUEST_BYTES_MAX).contains(&length).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, expected: &str) {
        let shown = match read_request(bytes.as_bytes()) {
            Parse::Whole { value, length } => {
                format!("{}|{}", String::from_utf8_lossy(value.repository), &bytes[length..])
            }
            Parse::Partial => "partial".to_owned(),
            Parse::Foreign(Foreign) => "foreign".to_owned(),
        };
        assert_eq!(shown, expected, "{bytes:?}");
    }

    #[test]
    fn requests() {
        let request = "0026git-upload-pack /a b.git\0host=x:1\0";
        assert_eq!(request.len(), 0x26);
        for end in 0..request.len() {
            check(&request[..end], "partial");
        }
        check(&format!("{request}more"), "/a b.git|more");
        check("001egit-receive-pack /a\nbehind", "/a|");
    }

    #[test]
    fn strangers() {
        check("x", "foreign");
        check("003g", "foreign");
        check("0000g", "foreign");
        check("0033get", "foreign");
        check("0033git-upload-pick", "foreign");
        check("ffffgit-upload-pack /a", "foreign");
        check("0015git-upload-pack \0", "foreign");
    }
}
