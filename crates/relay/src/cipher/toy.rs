//! A cipher for tests, with all that ciphers do and nothing that is secret: both sides say hello,
//! records have a kind and a length, bytes are mixed with their position, a peer may be asked to
//! answer, and a stream has an end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::{Cipher, Opened, Then};

pub(crate) const DATA: u8 = 1;
pub(crate) const END: u8 = 2;
pub(crate) const HELLO: u8 = 3;
/// Wants an [`ANSWER`].
pub(crate) const ASK: u8 = 4;
pub(crate) const ANSWER: u8 = 5;
/// What is said to a peer that breaks the protocol.
pub(crate) const ALERT: u8 = 6;

const HEAD: usize = 3;
const RECORD: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Toy {
    /// What it says at first.
    greeting: Vec<u8>,
    is_ready: bool,
    opened: usize,
    sealed: usize,
}

impl Toy {
    /// Says hello first, and wants to be greeted in its turn.
    pub(crate) fn client() -> Self {
        Self { greeting: vec![HELLO, 0, 1, 0], ..Self::server() }
    }

    pub(crate) fn server() -> Self {
        Self { greeting: Vec::new(), is_ready: false, opened: 0, sealed: 0 }
    }

    pub(crate) fn boxed(self) -> Box<dyn Cipher> {
        Box::new(self)
    }
}

impl Cipher for Toy {
    fn is_ready(&self) -> bool {
        self.is_ready
    }

    fn open(
        &mut self,
        wire: &mut [u8],
        deliver: &mut dyn FnMut(&[u8]),
        reply: &mut Vec<u8>,
    ) -> io::Result<Opened> {
        reply.append(&mut self.greeting);
        let Some((kind, length)) = head(wire) else {
            return Ok(Opened { used: 0, then: Then::Wire });
        };
        let used = HEAD + length;
        if wire.len() < used {
            return Ok(Opened { used: 0, then: Then::Wire });
        }
        let body = &mut wire[HEAD..used];
        match kind {
            HELLO if !self.is_ready => {
                self.is_ready = true;
                // The first hello has a byte in it, and is answered.
                if length > 0 {
                    reply.extend([HELLO, 0, 0]);
                }
            }
            DATA if self.is_ready => {
                mix(body, &mut self.opened);
                deliver(body);
            }
            END if self.is_ready => return Ok(Opened { used, then: Then::End }),
            ASK if self.is_ready => reply.extend([ANSWER, 0, 0]),
            ANSWER if self.is_ready => {}
            _ => {
                reply.extend([ALERT, 0, 0]);
                return Err(io::Error::new(io::ErrorKind::InvalidData, "no such record"));
            }
        }
        Ok(Opened { used, then: Then::Again })
    }

    fn seal(&mut self, bytes: &[u8], wire: &mut [u8]) -> io::Result<usize> {
        let mut at = 0;
        for record in bytes.chunks(RECORD) {
            let length = u16::try_from(record.len()).expect("a record is short");
            wire[at] = DATA;
            wire[at + 1..at + HEAD].copy_from_slice(&length.to_be_bytes());
            at += HEAD;
            wire[at..at + record.len()].copy_from_slice(record);
            mix(&mut wire[at..at + record.len()], &mut self.sealed);
            at += record.len();
        }
        Ok(at)
    }

    fn end(&mut self, wire: &mut Vec<u8>) -> io::Result<()> {
        wire.extend([END, 0, 0]);
        Ok(())
    }
}

fn head(wire: &[u8]) -> Option<(u8, usize)> {
    let (&[kind, high, low], _) = wire.split_first_chunk()?;
    Some((kind, u16::from_be_bytes([high, low]).into()))
}

fn mix(bytes: &mut [u8], position: &mut usize) {
    for byte in bytes {
        *byte ^= (*position * 31 % 253).to_le_bytes()[0];
        *position += 1;
    }
}

/// How a stream has ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// As its cipher says.
    Whole,
    /// With a FIN, and without the end of the cipher.
    Cut,
    /// With an alert.
    Alert,
    Broken(io::Error),
}

/// A blocking peer whose stream is encrypted.
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
    toy: Toy,
    wire: Vec<u8>,
    pub(crate) answers: usize,
}

impl Peer {
    /// A peer that has agreed, as a client would, or as a server.
    pub(crate) fn client(stream: TcpStream) -> Self {
        let mut peer = Self::agreed(stream);
        peer.raw(&[HELLO, 0, 1, 0]);
        peer.hear_hello(&[HELLO, 0, 0]);
        peer
    }

    pub(crate) fn server(stream: TcpStream) -> Self {
        let mut peer = Self::agreed(stream);
        peer.hear_hello(&[HELLO, 0, 1, 0]);
        peer.raw(&[HELLO, 0, 0]);
        peer
    }

    /// One that takes both to have agreed.
    pub(crate) fn agreed(stream: TcpStream) -> Self {
        Self { stream, toy: Toy { is_ready: true, ..Toy::server() }, wire: Vec::new(), answers: 0 }
    }

    fn hear_hello(&mut self, expected: &[u8]) {
        let mut hello = vec![0; expected.len()];
        self.stream.read_exact(&mut hello).expect("a hello");
        assert_eq!(hello, expected);
    }

    /// Bytes for the wire, as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sends");
    }

    /// What stands for `bytes` on the wire.
    pub(crate) fn sealed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        for part in bytes.chunks(RECORD) {
            let at = wire.len();
            wire.resize(at + part.len() + HEAD, 0);
            self.toy.seal(part, &mut wire[at..]).expect("it never fails");
        }
        wire
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let wire = self.sealed(bytes);
        self.raw(&wire);
    }

    /// The orderly end.
    pub(crate) fn end(&mut self) {
        self.raw(&[END, 0, 0]);
        self.fin();
    }

    pub(crate) fn fin(&self) {
        self.stream.shutdown(Shutdown::Write).expect("sends a FIN");
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// The same peer, to send from another thread.
    pub(crate) fn sender(&mut self) -> Self {
        let stream = self.stream.try_clone().expect("a descriptor");
        let toy = Toy { is_ready: true, sealed: self.toy.sealed, ..Toy::server() };
        Self { stream, toy, wire: Vec::new(), answers: 0 }
    }

    /// Reads until the end, or until there are `most` bytes; says how it came.
    pub(crate) fn read(&mut self, most: usize) -> (Vec<u8>, Option<Ended>) {
        let mut all = Vec::new();
        loop {
            while let Some((kind, length)) = head(&self.wire) {
                if self.wire.len() < HEAD + length {
                    break;
                }
                let mut body: Vec<_> = self.wire.drain(..HEAD + length).skip(HEAD).collect();
                match kind {
                    DATA => {
                        mix(&mut body, &mut self.toy.opened);
                        all.append(&mut body);
                    }
                    END => return (all, Some(Ended::Whole)),
                    ANSWER => self.answers += 1,
                    ALERT => return (all, Some(Ended::Alert)),
                    _ => panic!("a record of kind {kind}"),
                }
                if all.len() >= most {
                    return (all, None);
                }
            }
            let mut buffer = [0; 4_096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return (all, Some(Ended::Cut)),
                Ok(count) => self.wire.extend_from_slice(&buffer[..count]),
                Err(error) => return (all, Some(Ended::Broken(error))),
            }
        }
    }

    pub(crate) fn read_all(&mut self) -> (Vec<u8>, Ended) {
        let (all, ended) = self.read(usize::MAX);
        (all, ended.expect("it has no most"))
    }
}
