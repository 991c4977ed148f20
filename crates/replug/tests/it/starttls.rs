//! Clients that begin in the clear, `tls = { ..., starttls = "smtp" }` of a listener, and ask for
//! TLS. Their backends are met with sessions that have only begun.

use std::process::Command;

use rig::{Backend, Forwarder, Peer, Program, Scratch, Serving};

use crate::file;
use crate::one_port::{ask_postgres, postgres};
use crate::tls_backend::certificates::Certificates;
use crate::tls_backend::servers::{Server, trusting};

const PROTOCOLS: [&str; 4] = ["smtp", "imap", "pop3", "postgres"];

/// `db` is who the listeners are, and the backends that speak TLS.
fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.make("db", "DNS:localhost,DNS:db.example", "ca", 2);
    certificates
}

/// A listener that answers in the clear, before `backends` (a list of TOML), with more in its own
/// table and in that of its pool.
#[track_caller]
fn listener(
    of: &Certificates,
    protocol: &str,
    backends: &str,
    keys: &str,
    pool: &str,
) -> Forwarder {
    let [cert, key] = ["db.pem", "db.key"].map(|name| of.path(name));
    let text = format!(
        "[listener.in]\nbind = \"127.0.0.1:0\"\npool = \"out\"\ntls.cert = {cert:?}\n\
         tls.key = {key:?}\ntls.starttls = \"{protocol}\"\n{keys}\n\
         [pool.out]\nbackends = {backends}\n{pool}\n"
    );
    file::start(&text, 1)
}

/// What a client of `clients.py` has to tell.
#[track_caller]
fn client(kind: &str, of: &Certificates, forwarder: &Forwarder) -> Vec<String> {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/starttls/clients.py");

    let port = forwarder.address().port().to_string();
    let mut python = Command::new("/usr/bin/python3");
    Program::run(python.args([SCRIPT, kind, &port, &of.path("ca.pem")]))
}

/// A server in the clear: greets, and then answers lines that have these words, in this order.
fn server(greeting: &'static str, answers: &'static [(&'static str, &'static str)]) -> Serving {
    Backend::bind().serve(move |peer| {
        peer.send(greeting.as_bytes());
        for (word, answer) in answers {
            let mut line = Vec::new();
            while !line.ends_with(b"\n") {
                line.extend(peer.receive(1));
            }
            let line = String::from_utf8(line).expect("it is text").to_ascii_uppercase();
            assert!(line.contains(word), "{line:?} has no {word}");
            let tag = line.split(' ').next().unwrap_or_default();
            peer.send(answer.replace("TAG", tag).as_bytes());
        }
        // These clients leave without a word, and at once: by now there may be nobody to end a stream for.
        let _ = peer.wait_end();
    })
}

fn smtp() -> Serving {
    server("220-inner\r\n220 ready\r\n", &[("EHLO", "250 inner\r\n"), ("QUIT", "221 bye\r\n")])
}

fn quoted(address: &rig::Address) -> String {
    format!("\"{address}\"")
}

#[test]
fn clients_of_mail_begin_anew_within_tls() {
    let certificates = certificates();
    let imap = server(
        "* OK [CAPABILITY IMAP4rev1 STARTTLS] inner\r\n",
        &[
            ("CAPABILITY", "* CAPABILITY IMAP4rev1\r\nTAG OK done\r\n"),
            ("NOOP", "TAG OK inner\r\n"),
            ("LOGOUT", "* BYE inner\r\nTAG OK done\r\n"),
        ],
    );
    let pop3 = server("+OK <1@inner>\r\n", &[("NOOP", "+OK inner\r\n"), ("QUIT", "+OK bye\r\n")]);
    for (protocol, server, expected) in [
        ("smtp", smtp(), "(250, b'inner')"),
        ("imap", imap, "('OK', [b'inner'])"),
        ("pop3", pop3, "b'+OK inner'"),
    ] {
        let forwarder = listener(&certificates, protocol, &quoted(server.address()), "", "");
        assert_eq!(client(protocol, &certificates, &forwarder), [expected], "{protocol}");
        assert_eq!(forwarder.record().field("sni"), "localhost");
        server.close();
    }
}

#[test]
fn a_client_may_dribble() {
    let certificates = certificates();
    let server = server("220 inner\r\n", &[("EHLO", "250 inner\r\n")]);
    let forwarder = listener(&certificates, "smtp", &quoted(server.address()), "", "");
    assert_eq!(client("dribble", &certificates, &forwarder), ["b'250 inner\\r\\n'"]);
}

#[test]
fn both_sides_may_begin_in_the_clear() {
    let certificates = certificates();
    // It sends back what it gets, once it has greeted in the clear.
    let server = Server::start("smtp", &certificates, "db", &["greets=no"]);
    let tls = format!("tls = {{ {}, starttls = \"smtp\" }}", trusting(&certificates));
    let forwarder = listener(&certificates, "smtp", &quoted(&server.address), "", &tls);
    assert_eq!(client("dribble", &certificates, &forwarder), ["b'EHLO me\\r\\n'"]);
}

#[test]
fn a_backend_that_does_not_greet_is_passed_over() {
    let certificates = certificates();
    let says = |text: &'static str| {
        Backend::bind().serve(move |peer| {
            peer.send(text.as_bytes());
            let _ = peer.wait_end();
        })
    };
    let (refusing, other) = (says("554 no service\r\n"), says("+OK pop3\r\n"));
    let closing = Backend::bind().serve(Peer::close);
    let good = smtp();
    let all = [&refusing, &other, &closing, &good].map(|server| server.address().to_string());
    let backends = format!("{all:?}");
    let forwarder = listener(&certificates, "smtp", &backends, "", "balance = \"first\"");
    assert_eq!(client("smtp", &certificates, &forwarder), ["(250, b'inner')"]);
    let record = forwarder.record();
    let failures: Vec<_> = record.attempts().into_iter().map(|attempt| attempt.failure).collect();
    assert_eq!(failures, ["no_greeting"; 3]);
    forwarder.messages().expect("it does not greet as `starttls` says");
}

#[test]
fn what_is_said_behind_the_request_is_refused() {
    let certificates = certificates();
    let backend = Backend::bind();
    for (protocol, request, greeting) in [
        ("smtp", &b"STARTTLS\r\nMAIL FROM:<a@b>\r\n"[..], &b"220 replug ESMTP\r\n"[..]),
        (
            "imap",
            b"a STARTTLS\r\nb LOGIN x y\r\n",
            b"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] replug\r\n",
        ),
        ("pop3", b"STLS\r\nUSER x\r\n", b"+OK replug\r\n"),
        ("postgres", &[0, 0, 0, 8, 4, 210, 22, 47, b'p'], b""),
    ] {
        let forwarder = listener(&certificates, protocol, &quoted(backend.address()), "", "");
        let client = Peer::connect(forwarder.address());
        client.send(request);
        assert_eq!(client.receive_to_fin(), greeting, "TLS is not granted");
        let record = forwarder.record();
        assert_eq!((record.reason(), record.side()), ("tls_error", "client"), "{protocol}");
    }
    assert!(!backend.somebody_waits(), "nobody has got to it");
}

#[test]
fn without_tls_there_is_nothing_to_be_had() {
    let certificates = certificates();
    let backend = Backend::bind();
    for (protocol, dialogue) in [
        (
            "smtp",
            &[
                ("", "220 replug ESMTP\r\n"),
                ("EHLO me\r\n", "250-replug\r\n250 STARTTLS\r\n"),
                ("MAIL FROM:<a@b>\r\n", "530 5.7.0 Must issue a STARTTLS command first\r\n"),
                ("QUIT\r\n", "221 2.0.0 bye\r\n"),
            ][..],
        ),
        (
            "imap",
            &[
                ("", "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] replug\r\n"),
                ("x LOGIN a b\r\n", "x NO [PRIVACYREQUIRED] begin TLS first\r\n"),
                ("y LOGOUT\r\n", "* BYE replug\r\ny OK done\r\n"),
            ],
        ),
        (
            "pop3",
            &[
                ("", "+OK replug\r\n"),
                ("USER a\r\n", "-ERR begin TLS first\r\n"),
                ("QUIT\r\n", "+OK bye\r\n"),
            ],
        ),
    ] {
        let forwarder = listener(&certificates, protocol, &quoted(backend.address()), "", "");
        let client = Peer::connect(forwarder.address());
        for (said, answer) in dialogue {
            client.send(said.as_bytes());
            client.expect(answer.as_bytes());
        }
        client.expect_fin();
        let record = forwarder.record();
        assert_eq!((record.reason(), record.side()), ("tls_error", "client"), "{protocol}");
    }
    assert!(!backend.somebody_waits(), "nobody has got to it");
}

#[test]
fn what_came_with_a_header_is_answered() {
    let certificates = certificates();
    let backend = Backend::bind();
    let keys = "proxy_protocol = { from = [\"127.0.0.1\"] }";
    let header = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 587\r\n";
    let forwarder = listener(&certificates, "smtp", &quoted(backend.address()), keys, "");
    let client = Peer::connect(forwarder.address());
    client.send(format!("{header}EHLO me\r\nQUIT\r\n").as_bytes());
    client.expect(b"220 replug ESMTP\r\n250-replug\r\n250 STARTTLS\r\n221 2.0.0 bye\r\n");
    client.expect_fin();
    assert_eq!(forwarder.record().client(), "192.0.2.7:4711");
}

#[test]
fn the_time_for_the_handshake_is_for_what_comes_before_as_well() {
    let certificates = certificates();
    let backend = Backend::bind();
    let keys = "timeouts = { tls = \"300ms\" }";
    let forwarder = listener(&certificates, "smtp", &quoted(backend.address()), keys, "");
    let client = Peer::connect(forwarder.address());
    client.send(b"NOOP");
    assert_eq!(client.receive_to_fin(), b"220 replug ESMTP\r\n");
    let record = forwarder.record();
    assert_eq!((record.reason(), record.side()), ("tls_error", "replug"));
}

#[test]
fn postgres_clients_ask_for_tls() {
    let certificates = certificates();
    let scratch = Scratch::new();
    let (_postgres, address) = postgres(&scratch);
    let address = quoted(&address);
    let root = certificates.path("ca.pem");
    // `psql` of Debian asks for the folder of a unix socket where no host is named, and no TLS
    // library takes that for one.
    // By what is said within.
    let keys = "[[listener.in.route]]\nname = \"a\"\nwhen = { user = \"alice\" }\npool = \"out\"";
    let plain = listener(&certificates, "postgres", &address, keys, "");
    assert_eq!(ask_postgres(&plain, "user=alice host=localhost sslmode=require"), ["alice|f"]);
    assert_eq!(plain.record().field("route"), "a");
    assert_eq!(ask_postgres(&plain, "user=alice host=localhost sslmode=prefer"), ["alice|f"]);
    let full = format!("user=alice sslmode=verify-full host=db.example sslrootcert={root}");
    assert_eq!(ask_postgres(&plain, &full), ["alice|f"]);
    let again = format!(
        "tls = {{ ca = {:?}, name = \"db.example\", starttls = \"postgres\" }}",
        scratch.join("db.example.pem")
    );
    let both = listener(&certificates, "postgres", &address, "", &again);
    assert_eq!(ask_postgres(&both, &full), ["alice|t"]);
    let to =
        format!("hostaddr=127.0.0.1 port={} user=alice sslmode=disable", plain.address().port());
    let mut command = Command::new("psql");
    let mut psql = Program::start(command.args(["-c", "select 1", &to]).env("HOME", "/"));
    psql.expect_exit(2);
    psql.stderr().expect("this server takes TLS only");
}

#[test]
fn postgres_clients_may_ask_for_other_things_first() {
    let certificates = certificates();
    let backend = Backend::bind();
    let address = quoted(backend.address());
    let forwarder = listener(&certificates, "postgres", &address, "", "");
    // Encryption by GSSAPI, which is not granted, and then TLS.
    let client = Peer::connect(forwarder.address());
    client.send(&[0, 0, 0, 8, 4, 210, 22, 48]);
    client.expect(b"N");
    client.send(&[0, 0, 0, 8, 4, 210, 22, 47]);
    client.expect(b"S");
    client.close();
    // To cancel a query, which many clients do in the clear.
    let cancel = [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2];
    let client = Peer::connect(forwarder.address());
    client.send(&cancel);
    let server = backend.accept();
    server.expect(&cancel);
    server.half_close();
    client.expect_fin();
    // Not where clients have to prove who they are.
    let keys = format!("tls.client_ca = {:?}", certificates.path("ca.pem"));
    let forwarder = listener(&certificates, "postgres", &address, &keys, "");
    let client = Peer::connect(forwarder.address());
    client.send(&cancel);
    client.expect_fin();
    assert_eq!(forwarder.record().reason(), "tls_error");
    assert!(!backend.somebody_waits(), "it has not got to it");
}

#[test]
fn openssl_knows_each_opening() {
    let certificates = certificates();
    for (protocol, greeting) in
        PROTOCOLS.into_iter().zip(["220 x\r\n", "* OK x\r\n", "+OK x\r\n", ""])
    {
        let backend = Backend::bind().serve(move |peer| {
            peer.send(greeting.as_bytes());
            peer.expect(b"question");
            peer.send(b"answer\n");
            peer.half_close();
            let _ = peer.wait_end();
        });
        let forwarder = listener(&certificates, protocol, &quoted(backend.address()), "", "");
        let text = "printf question | openssl s_client -quiet -verify_return_error -CAfile \"$0\" \
                    -servername db.example -verify_hostname db.example -starttls \"$1\" \
                    -connect \"$2\" 2>/dev/null";
        let mut command = Command::new("sh");
        command.args(["-c", text, &certificates.path("ca.pem"), protocol]);
        let lines = Program::run(command.arg(forwarder.address().to_string()));
        assert_eq!(lines.last().map(String::as_str), Some("answer"), "{protocol}: {lines:?}");
        backend.close();
    }
}
