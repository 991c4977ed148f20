//! What is spoken with a worker that runs a Ruby file: frames, of which each is a question, an answer
//! or a remark.
//!
//! ```text
//! u32 length of what follows | u8 type | u64 id | body
//! ```
//!
//! Numbers are big-endian. An answer repeats the id of its question; what is no answer has id 0. A
//! question holds all that its client has sent so far, so that a worker keeps nothing, and any other
//! can be asked instead of one that has ended. The other end of it is the shim of `control`.

use crate::Parse;

/// Longest frame behind the word that says its length, in bytes.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// Type and id.
const HEAD_BYTES: usize = 9;

/// What a worker is asked or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question<'a> {
    /// Where a client goes that has sent `data` so far. The addresses are text, at most 64 KiB each.
    Route {
        /// Where it comes from.
        client: &'a str,
        /// Where it came to.
        server: &'a str,
        /// All of it.
        data: &'a [u8],
    },
    /// That no connection to this `host:port` came about.
    ConnectError(&'a [u8]),
    /// That this `host:port` was silent for too long.
    Inactivity(&'a [u8]),
    /// What a backend's first bytes are to become.
    Filter(&'a [u8]),
    /// No question: how many sessions there are, were at most at a time, and were in all, and what
    /// the process is to be called.
    Title {
        /// Now, most at a time, in all.
        sessions: [u64; 3],
        /// As `ps` shows it.
        title: &'a str,
    },
}

impl Question<'_> {
    /// Appends the frame of it.
    ///
    /// What is longer than a frame may be ([`FRAME_BYTES_MAX`]) is cut at its end.
    pub fn write(&self, id: u64, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend([0; 4]);
        let kind = match self {
            Self::Route { .. } => b'R',
            Self::ConnectError(_) => b'C',
            Self::Inactivity(_) => b'I',
            Self::Filter(_) => b'F',
            Self::Title { .. } => b'T',
        };
        out.push(kind);
        out.extend(id.to_be_bytes());
        match self {
            Self::Route { client, server, data } => {
                for address in [client, server] {
                    let length = u16::try_from(address.len()).unwrap_or(u16::MAX);
                    out.extend(length.to_be_bytes());
                    out.extend(&address.as_bytes()[..length.into()]);
                }
                out.extend_from_slice(data);
            }
            Self::ConnectError(bytes) | Self::Inactivity(bytes) | Self::Filter(bytes) => {
                out.extend_from_slice(bytes);
            }
            Self::Title { sessions, title } => {
                sessions.iter().for_each(|number| out.extend(number.to_be_bytes()));
                out.extend(title.as_bytes());
            }
        }
        out.truncate(at + 4 + FRAME_BYTES_MAX);
        let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

/// What a worker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// Its file is loaded.
    Ready(Ready<'a>),
    /// Its file cannot be loaded, why, for people; and it ends.
    Fatal(&'a [u8]),
    /// What became of a question.
    Decided {
        /// Which.
        id: u64,
        /// What.
        decision: Decision<'a>,
    },
    /// What a backend's first bytes have become.
    Filtered {
        /// Which question it was.
        id: u64,
        /// The bytes.
        data: &'a [u8],
    },
    /// A line for the log.
    Line {
        /// As Ruby's `Logger` counts: 0 debug, 1 info, 2 warn, 3 error, 4 fatal.
        severity: u8,
        /// Without an end of line.
        text: &'a [u8],
    },
}

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready<'a> {
    blocks: u8,
    /// Of which Ruby.
    pub version: &'a [u8],
}

impl Ready<'_> {
    /// What [`Ready::blocks`] says.
    pub const fn of(blocks: u8) -> Self {
        Self { blocks, version: b"" }
    }

    /// All of the following as one number.
    pub fn blocks(&self) -> u8 {
        self.blocks
    }

    /// Whether there is a `proxy` block.
    pub fn routes(&self) -> bool {
        self.blocks & 1 != 0
    }

    /// Whether there is a `proxy_connect_error` block.
    pub fn hears_connect_errors(&self) -> bool {
        self.blocks & 2 != 0
    }

    /// Whether there is a `proxy_inactivity_error` block.
    pub fn hears_inactivity(&self) -> bool {
        self.blocks & 4 != 0
    }

    /// Whether there is a `proxyfilter` block.
    pub fn filters(&self) -> bool {
        self.blocks & 8 != 0
    }
}

/// What a block has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// What is to be done.
    pub kind: Kind,
    /// Each of them sound.
    fields: &'a [u8],
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The client is to say more.
    Wait,
    /// The client goes to one of the remotes, or to a pool.
    Go,
    /// The client is turned away.
    Close,
    /// Nothing is decided: the block has failed.
    Failed,
    /// Nothing is to be decided.
    Done,
}

/// What a decision holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// A `host:port` to go to; of several the first that can be reached.
    Remote(&'a [u8]),
    /// The name of a pool to go to.
    Pool(&'a [u8]),
    /// What the backend gets instead of what the client has sent.
    Data(&'a [u8]),
    /// What the client gets first.
    Reply(&'a [u8]),
    /// How long connecting may take, in microseconds.
    ConnectTimeout(u64),
    /// How long the backend may be silent, in microseconds.
    InactivityTimeout(u64),
    /// How often the remotes are tried again.
    Retries(u64),
    /// What the client gets last, or why a block has failed.
    Text(&'a [u8]),
    /// What the block has returned, for people.
    Shown(&'a [u8]),
}

impl<'a> Decision<'a> {
    /// All that it holds, in the order of its writing.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let mut rest = self.fields;
        std::iter::from_fn(move || {
            let (field, after) = field(rest)?;
            rest = after;
            Some(field)
        })
    }
}

/// Why bytes are no frame of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It is shorter than its head, or longer than a frame may be.
    Length,
    /// There is no such type.
    Type,
    /// What it holds is not what such a frame holds.
    Body,
}

/// Reads a frame of a worker from its first byte.
pub fn read(bytes: &[u8]) -> Parse<Said<'_>, Foreign> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Parse::Partial };
    let length = u32::from_be_bytes(*length) as usize;
    if !(HEAD_BYTES..=FRAME_BYTES_MAX).contains(&length) {
        return Parse::Foreign(Foreign::Length);
    }
    match rest.first() {
        None => return Parse::Partial,
        Some(b'Y' | b'X' | b'D' | b'F' | b'L') => {}
        Some(_) => return Parse::Foreign(Foreign::Type),
    }
    let Some(frame) = rest.get(..length) else { return Parse::Partial };
    match said(frame) {
        Some(value) => Parse::Whole { value, length: 4 + length },
        None => Parse::Foreign(Foreign::Body),
    }
}

fn said(frame: &[u8]) -> Option<Said<'_>> {
    let (kind, rest) = frame.split_first()?;
    let (id, body) = rest.split_first_chunk::<8>()?;
    let id = u64::from_be_bytes(*id);
    match kind {
        b'F' => return Some(Said::Filtered { id, data: body }),
        b'X' => return Some(Said::Fatal(body)),
        _ => {}
    }
    let (number, rest) = body.split_first()?;
    Some(match kind {
        b'Y' => Said::Ready(Ready { blocks: *number, version: rest }),
        b'L' => Said::Line { severity: *number, text: rest },
        _ => Said::Decided { id, decision: decision(*number, rest)? },
    })
}

fn decision(kind: u8, fields: &[u8]) -> Option<Decision<'_>> {
    let kind = match kind {
        0 => Kind::Wait,
        1 => Kind::Go,
        2 => Kind::Close,
        3 => Kind::Failed,
        4 => Kind::Done,
        _ => return None,
    };
    let mut rest = fields;
    while !rest.is_empty() {
        (_, rest) = field(rest)?;
    }
    Some(Decision { kind, fields })
}

/// The first field, and what is behind it.
fn field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let number = || Some(u64::from_be_bytes(value.try_into().ok()?));
    let field = match tag {
        b'R' => Field::Remote(value),
        b'p' => Field::Pool(value),
        b'd' => Field::Data(value),
        b'r' => Field::Reply(value),
        b'c' => Field::ConnectTimeout(number()?),
        b'i' => Field::InactivityTimeout(number()?),
        b'n' => Field::Retries(number()?),
        b'x' => Field::Text(value),
        b's' => Field::Shown(value),
        _ => return None,
    };
    Some((field, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, id: u64, body: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(9 + body.len()).expect("short").to_be_bytes().to_vec();
        out.push(kind);
        out.extend(id.to_be_bytes());
        out.extend(body);
        out
    }

    #[test]
    fn questions_are_written() {
        let mut out = b"before".to_vec();
        let data = b"\0\xff";
        Question::Route { client: "c:1", server: "", data }.write(7, &mut out);
        assert_eq!(out[6..], frame(b'R', 7, b"\0\x03c:1\0\0\0\xff"));
        out.clear();
        Question::Title { sessions: [1, 2, 3], title: "t" }.write(0, &mut out);
        assert_eq!(out.len(), 4 + 9 + 24 + 1);
        out.clear();
        Question::Filter(&vec![b'x'; 2 * FRAME_BYTES_MAX]).write(1, &mut out);
        assert_eq!(out.len(), 4 + FRAME_BYTES_MAX);
        assert_eq!(out[..4], u32::try_from(FRAME_BYTES_MAX).expect("small").to_be_bytes());
    }

    #[test]
    fn what_workers_say_is_read() {
        let whole = |bytes: &[u8]| format!("{:?}", read(bytes));
        assert!(whole(&frame(b'Y', 0, b"\x053.1")).contains("Ready"));
        let bytes = frame(b'Y', 0, b"\x053.1");
        let Parse::Whole { value: Said::Ready(ready), length } = read(&bytes) else {
            panic!("it is ready");
        };
        assert_eq!((ready.routes(), ready.hears_connect_errors()), (true, false));
        assert_eq!((ready.hears_inactivity(), ready.filters()), (true, false));
        assert_eq!((ready.version, length), (&b"3.1"[..], bytes.len()));
        let bytes = frame(b'D', 9, b"\x01R\0\0\0\x03a:1c\0\0\0\x08\0\0\0\0\0\0\x01\0x\0\0\0\0");
        let Parse::Whole { value: Said::Decided { id: 9, decision }, .. } = read(&bytes) else {
            panic!("it is a decision");
        };
        assert_eq!(decision.kind, Kind::Go);
        let fields: Vec<_> = decision.fields().collect();
        let expected = [Field::Remote(b"a:1"), Field::ConnectTimeout(256), Field::Text(b"")];
        assert_eq!(fields, expected);
    }

    #[test]
    fn strangers() {
        let foreign = |bytes: &[u8]| match read(bytes) {
            Parse::Foreign(why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(foreign(b"\0\0\0\x08"), Foreign::Length);
        assert_eq!(foreign(b"HTTP/1.1"), Foreign::Length);
        assert_eq!(foreign(b"\0\0\0\x09Q"), Foreign::Type);
        assert_eq!(foreign(&frame(b'Y', 0, b"")), Foreign::Body);
        assert_eq!(foreign(&frame(b'D', 1, b"\x05")), Foreign::Body);
        assert_eq!(foreign(&frame(b'D', 1, b"\x01R\0\0\0\x04a:1")), Foreign::Body);
        assert_eq!(foreign(&frame(b'D', 1, b"\x01?\0\0\0\0")), Foreign::Body);
        assert_eq!(foreign(&frame(b'D', 1, b"\x01c\0\0\0\x01x")), Foreign::Body);
    }

    fn any_field() -> impl Strategy<Value = Vec<u8>> {
        let text = prop::collection::vec(any::<u8>(), 0..20);
        let tag = prop::sample::select(b"Rpdrxs".to_vec());
        let plain = (tag, text).prop_map(|(tag, value)| {
            let length = u32::try_from(value.len()).expect("short").to_be_bytes();
            [&[tag][..], &length, &value].concat()
        });
        let time = (prop::sample::select(b"cin".to_vec()), any::<u64>())
            .prop_map(|(tag, time)| [&[tag, 0, 0, 0, 8][..], &time.to_be_bytes()].concat());
        prop_oneof![plain, time]
    }

    proptest! {
        /// Frames are partial wherever they are cut, and end where they end.
        #[test]
        fn pieces_make_the_whole(
            kind in 0_u8..5,
            id in any::<u64>(),
            fields in prop::collection::vec(any_field(), 0..6),
            behind in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let body = [vec![kind], fields.concat()].concat();
            let mut bytes = frame(b'D', id, &body);
            let whole = bytes.len();
            for end in 0..whole {
                prop_assert_eq!(read(&bytes[..end]), Parse::Partial);
            }
            bytes.extend(behind);
            let Parse::Whole { value: Said::Decided { id: read_id, decision }, length } = read(&bytes)
            else { panic!("a decision") };
            prop_assert_eq!((read_id, length), (id, whole));
            prop_assert_eq!(decision.fields().count(), fields.len());
        }

        /// What has been told once stays true when more comes.
        #[test]
        fn any_bytes_are_read_and_never_taken_back(
            length in 0_u32..40,
            rest in prop::collection::vec(any::<u8>(), 0..40),
            cut in 0_usize..44,
        ) {
            let bytes = [&length.to_be_bytes()[..], &rest].concat();
            let cut = cut.min(bytes.len());
            let before = format!("{:?}", read(&bytes[..cut]));
            let after = format!("{:?}", read(&bytes));
            prop_assert!(before == "Partial" || before == after, "{before} became {after}");
        }
    }
}
