//! Our sessions against rustls with its buffers, in memory, and against each other.

use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use rig::Scratch;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, SupportedProtocolVersion, version};

use super::*;

static PAIR: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let scratch = Scratch::new();
    let (cert, key) = (scratch.join("cert.pem"), scratch.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "30", "-subj", "/CN=a.example"])
        .args(["-addext", "subjectAltName=DNS:a.example", "-keyout", &*key, "-out", &*cert])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .output()
        .expect("openssl is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |path| std::fs::read(path).expect("a file");
    (read(cert), read(key))
});

type Versions = &'static [&'static SupportedProtocolVersion];
const BOTH: Versions = &[&version::TLS12, &version::TLS13];
const EACH: [Versions; 2] = [&[&version::TLS12], &[&version::TLS13]];

fn server_config() -> ServerConfig {
    let chain = CertificateDer::pem_slice_iter(&PAIR.0).collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_slice(&PAIR.1).expect("a key");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(BOTH)
        .expect("both are known")
        .with_no_client_auth()
        .with_single_cert(chain.expect("a chain"), key)
        .expect("they belong together");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new().expect("random numbers");
    config
}

fn client_config(versions: Versions) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&PAIR.0).expect("a certificate")).expect("a root");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("they are known")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn name(name: &'static str) -> ServerName<'static> {
    name.try_into().expect("a name")
}

/// A session with its wire and what came of it.
struct Ours {
    cipher: Box<dyn Cipher>,
    unopened: Vec<u8>,
    received: Vec<u8>,
    has_ended: bool,
}

impl Ours {
    fn new(cipher: Box<dyn Cipher>) -> Self {
        Self { cipher, unopened: Vec::new(), received: Vec::new(), has_ended: false }
    }

    /// Takes what came; gives what it has to say.
    fn hear(&mut self, wire: &[u8]) -> io::Result<Vec<u8>> {
        self.unopened.extend_from_slice(wire);
        let mut reply = Vec::new();
        while !self.has_ended {
            let received = &mut self.received;
            let mut deliver = |bytes: &[u8]| received.extend_from_slice(bytes);
            let opened = self.cipher.open(&mut self.unopened, &mut deliver, &mut reply);
            let opened = opened.inspect_err(|_| self.received.push(b'!')).map_err(|error| {
                // The alert is what is looked at then.
                io::Error::new(error.kind(), format!("{error}; {} bytes", reply.len()))
            })?;
            self.unopened.drain(..opened.used);
            match opened.then {
                Then::Again => {}
                Then::Wire => break,
                Then::End => self.has_ended = true,
            }
        }
        Ok(reply)
    }

    fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        for part in bytes.chunks(relay::cipher::SEAL_BYTES_MAX) {
            let mut room = vec![0; part.len() + SEAL_ROOM];
            let written = self.cipher.seal(part, &mut room).expect("there are keys");
            wire.extend_from_slice(&room[..written]);
        }
        wire
    }

    fn end(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        self.cipher.end(&mut wire).expect("there are keys");
        wire
    }
}

/// rustls as it is meant to be used, of either side.
struct Theirs(rustls::Connection);

impl Theirs {
    fn hear(&mut self, mut wire: &[u8]) -> Vec<u8> {
        let mut received = Vec::new();
        while !wire.is_empty() {
            self.0.read_tls(&mut wire).expect("there is room");
            self.0.process_new_packets().expect("it is sound");
            let mut buffer = [0; 20_000];
            while let Ok(count @ 1..) = self.0.reader().read(&mut buffer) {
                received.extend_from_slice(&buffer[..count]);
            }
        }
        received
    }

    fn say(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut wire).expect("a vector takes all");
        }
        wire
    }

    fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        for part in bytes.chunks(10_000) {
            self.0.writer().write_all(part).expect("it takes so much");
            wire.extend(self.say());
        }
        wire
    }
}

fn their_client(config: &Arc<ClientConfig>) -> Theirs {
    let client = rustls::ClientConnection::new(Arc::clone(config), name("a.example"));
    Theirs(client.expect("a client").into())
}

fn their_server(config: ServerConfig) -> Theirs {
    Theirs(rustls::ServerConnection::new(config.into()).expect("a server").into())
}

fn our_server(config: &Arc<ServerConfig>) -> Ours {
    Ours::new(accept(Arc::clone(config)).expect("a session"))
}

fn our_client(versions: Versions) -> Ours {
    Ours::new(connect(client_config(versions).into(), name("a.example")).expect("a session"))
}

/// Has both agree, with the wire towards us cut into pieces.
fn agree(ours: &mut Ours, theirs: &mut Theirs, piece: usize) {
    let first = ours.hear(&[]).expect("nothing is sound");
    theirs.hear(&first);
    for _ in 0..8 {
        let wire = theirs.say();
        let mut reply = Vec::new();
        for piece in wire.chunks(piece) {
            reply.extend(ours.hear(piece).expect("it is sound"));
        }
        theirs.hear(&reply);
    }
    assert!(ours.cipher.is_ready() && !theirs.0.is_handshaking());
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 7 % 251).to_le_bytes()[0]).collect()
}

#[test]
fn a_server_agrees_however_the_wire_is_cut() {
    let config = Arc::new(server_config());
    for versions in EACH {
        for piece in [1, 7, 100, 100_000] {
            let (mut server, mut client) =
                (our_server(&config), their_client(&client_config(versions).into()));
            agree(&mut server, &mut client, piece);
            let negotiated = negotiated(&*server.cipher).expect("they have");
            let version = versions[0].version;
            assert_eq!(negotiated.version == Version::Tls13, version == ProtocolVersion::TLSv1_3);
            assert_eq!(negotiated.alpn.as_deref(), Some(&b"http/1.1"[..]));
            assert!(negotiated.suite.starts_with("TLS"), "{}", negotiated.suite);
            assert!(!negotiated.is_resumed && negotiated.peer.is_empty());
            let request = bytes(150_000);
            let wire = client.seal(&request);
            for piece in wire.chunks(piece.max(10)) {
                assert!(server.hear(piece).expect("it is sound").is_empty());
            }
            assert!(server.received == request);
            assert!(client.hear(&server.seal(&bytes(200_000))) == bytes(200_000));
        }
    }
}

#[test]
fn a_client_agrees_however_the_wire_is_cut() {
    for versions in EACH {
        for piece in [1, 7, 100, 100_000] {
            let (mut client, mut server) = (our_client(versions), their_server(server_config()));
            agree(&mut client, &mut server, piece);
            let negotiated = negotiated(&*client.cipher).expect("they have");
            assert_eq!(negotiated.peer.len(), 1);
            assert_eq!(negotiated.alpn.as_deref(), Some(&b"http/1.1"[..]));
            assert!(server.hear(&client.seal(&bytes(200_000))) == bytes(200_000));
            client.hear(&server.seal(&bytes(100_000))).expect("it is sound");
            assert!(client.received == bytes(100_000));
        }
    }
}

#[test]
fn each_side_ends_on_its_own() {
    let config = Arc::new(server_config());
    for versions in EACH {
        let (mut server, mut client) =
            (our_server(&config), their_client(&client_config(versions).into()));
        agree(&mut server, &mut client, 1_000);
        let mut wire = client.seal(b"request");
        client.0.send_close_notify();
        wire.extend(client.say());
        assert!(server.hear(&wire).expect("it is sound").is_empty());
        assert_eq!((&*server.received, server.has_ended), (&b"request"[..], true));
        // The other way goes on.
        let mut wire = server.seal(&bytes(50_000));
        wire.extend(server.end());
        assert!(client.hear(&wire) == bytes(50_000));
        assert!(matches!(client.0.reader().read(&mut [0; 10]), Ok(0)), "it is a whole stream");

        let (mut server, mut client) =
            (our_server(&config), their_client(&client_config(versions).into()));
        agree(&mut server, &mut client, 1_000);
        assert!(client.hear(&server.end()).is_empty());
        server.hear(&client.seal(b"more")).expect("it is sound");
        assert_eq!((&*server.received, server.has_ended), (&b"more"[..], false));
        client.0.send_close_notify();
        server.hear(&client.say()).expect("it is sound");
        assert!(server.has_ended);
        assert!(server.cipher.seal(b"x", &mut [0; SEAL_ROOM]).is_err(), "it has ended");
    }
}

#[test]
fn keys_are_changed_when_the_peer_wants_that() {
    let config = Arc::new(server_config());
    let (mut server, mut client) =
        (our_server(&config), their_client(&client_config(EACH[1]).into()));
    agree(&mut server, &mut client, 1_000);
    for round in 0..5 {
        client.0.refresh_traffic_keys().expect("it is TLS 1.3");
        let wire = client.seal(&[round; 10]);
        server.hear(&wire).expect("it is sound");
        assert_eq!(server.received.split_off(0), [round; 10]);
        assert_eq!(client.hear(&server.seal(&[round; 20])), [round; 20]);
    }
}

#[test]
fn a_message_in_pieces_does_not_hinder_sending() {
    // Tickets in records of a few bytes each.
    let mut config = server_config();
    config.max_fragment_size = Some(64);
    let (mut client, mut server) = (our_client(EACH[1]), their_server(config));
    let first = client.hear(&[]).expect("nothing is sound");
    server.hear(&first);
    let reply = client.hear(&server.say()).expect("it is sound");
    assert!(client.cipher.is_ready());
    server.hear(&reply);
    let tickets = server.say();
    assert!(tickets.len() > 300);
    for (at, byte) in tickets.iter().enumerate() {
        client.hear(&[*byte]).expect("it is sound");
        if at % 13 == 0 {
            assert_eq!(server.hear(&client.seal(b"meanwhile")), b"meanwhile");
        }
    }
    client.hear(&server.seal(b"after")).expect("it is sound");
    assert_eq!(client.received, b"after");
    assert_eq!(server.hear(&client.seal(b"all")), b"all");
    assert!(client.unopened.is_empty());
}

#[test]
fn tickets_resume_a_session() {
    let config = Arc::new(server_config());
    for versions in EACH {
        let client_config = Arc::new(client_config(versions));
        for is_resumed in [false, true] {
            let (mut server, mut client) = (our_server(&config), their_client(&client_config));
            agree(&mut server, &mut client, 1_000);
            let negotiated = negotiated(&*server.cipher).expect("they have");
            assert_eq!(negotiated.is_resumed, is_resumed);
        }
    }
}

#[test]
fn who_breaks_the_protocol_gets_an_alert() {
    let config = Arc::new(server_config());
    let mut server = our_server(&config);
    let error = server.hear(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").expect_err("no TLS");
    assert!(error.to_string().contains("7 bytes"), "{error}");
    for versions in EACH {
        // A record that was changed on its way.
        let (mut server, mut client) =
            (our_server(&config), their_client(&client_config(versions).into()));
        agree(&mut server, &mut client, 1_000);
        let mut wire = client.seal(b"before");
        let mut second = client.seal(b"behind");
        *second.last_mut().expect("a record") ^= 1;
        wire.extend(second);
        let error = server.hear(&wire).expect_err("it was changed");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(!error.to_string().contains("; 0 bytes"), "{error}");
        assert_eq!(server.received, b"before!");
    }
    // Nothing in common.
    let mut other = client_config(BOTH);
    other.alpn_protocols = vec![b"nonsense".to_vec()];
    let mut client = their_client(&other.into());
    let error = our_server(&config).hear(&client.say()).expect_err("no protocol in common");
    assert!(!error.to_string().contains("; 0 bytes"), "{error}");
}

#[test]
fn a_server_that_is_somebody_else_is_refused() {
    let cipher = connect(client_config(BOTH).into(), name("b.example")).expect("a session");
    let (mut client, mut server) = (Ours::new(cipher), their_server(server_config()));
    let first = client.hear(&[]).expect("nothing is sound");
    server.hear(&first);
    let error = client.hear(&server.say()).expect_err("it is a.example");
    assert!(!error.to_string().contains("; 0 bytes"), "{error}");
}

#[test]
fn ours_talk_to_each_other() {
    let config = Arc::new(server_config());
    for versions in EACH {
        let (mut server, mut client) = (our_server(&config), our_client(versions));
        let mut wire = client.hear(&[]).expect("nothing is sound");
        while !(server.cipher.is_ready() && client.cipher.is_ready()) {
            wire = server.hear(&wire).expect("it is sound");
            wire = client.hear(&wire).expect("it is sound");
        }
        server.hear(&client.seal(&bytes(70_000))).expect("it is sound");
        assert!(server.received == bytes(70_000));
        server.hear(&client.end()).expect("it is sound");
        assert!(server.has_ended);
    }
}

#[test]
fn a_whole_record_is_seen() {
    let record = [23, 3, 3, 0, 2, 1, 1];
    for (wire, is_whole) in [
        (&[][..], false),
        (&record[..4], false),
        (&record[..6], false),
        (&record, true),
        (&[record, record].concat(), true),
    ] {
        assert_eq!(begins_with_whole_record(wire), is_whole, "{wire:?}");
    }
}
