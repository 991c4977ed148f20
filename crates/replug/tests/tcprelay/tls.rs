//! 17: listeners with TLS.
//!
//! The clients are OpenSSL's: `openssl s_client`, and a script that has every byte of the wire in its
//! hands. Backends are spoken to in the clear.

use std::fs;
use std::io::{Write as _, pipe};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rig::wait::{pause, until};
use rig::{Backend, Peer, Program, Scratch, figures};

use crate::start::{REPLUG, Relay, remote, run, run_text};

/// The client that does as it is told.
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/client.py");

/// A certificate for `a.example` in `cert.pem`; its key in `key.pem`, under the passphrase `p w` in
/// `locked.pem`, the same as OpenSSL did that before 1.0 in `old.pem`; cert and key in `both.pem`.
struct Files(Scratch);

impl Files {
    fn make() -> Self {
        let files = Self(Scratch::new());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let now = i64::try_from(now.as_secs()).expect("not so soon");
        let names = ["a.example".to_owned()];
        let made = tls::self_signed(&names, now - 3_600, now + 86_400).expect("random numbers");
        let put = |name: &str, text: &str| {
            Program::run(Command::new("install").args(["-m", "600", "/dev/null", &files.at(name)]));
            fs::write(files.at(name), text).expect("a file in a new folder");
        };
        put("cert.pem", &made.cert);
        put("key.pem", &made.key);
        put("both.pem", &(made.cert + &made.key));
        let key = files.at("key.pem");
        let locked = ["-topk8", "-passout", "pass:p w", "-in", &key, "-out"];
        Program::run(Command::new("openssl").arg("pkcs8").args(locked).arg(files.at("locked.pem")));
        let old = ["-des3", "-passout", "pass:p w", "-in", &key, "-out"];
        Program::run(Command::new("openssl").arg("ec").args(old).arg(files.at("old.pem")));
        files
    }

    fn at(&self, name: &str) -> String {
        self.0.join(name)
    }

    /// Words of a section in which names of the files stand for their paths.
    fn fill(&self, words: &str) -> String {
        let fill = |word: &str| match word.ends_with(".pem") {
            true => self.at(word),
            false => word.to_owned(),
        };
        words.split(' ').map(fill).collect::<Vec<_>>().join(" ")
    }
}

/// One that has `listen` of TLS, before `backend`.
#[track_caller]
fn relay(files: &Files, listen: &str, certificate: &str, backend: &Backend) -> Relay {
    let section = format!("{} {}", remote(backend.address()), files.fill(certificate));
    Relay::start_with(&[], listen, "", &section)
}

/// A client of OpenSSL's has a word with the backend.
#[track_caller]
fn talk(files: &Files, relay: &Relay, options: &[&str], backend: &Backend) {
    let (input, mut told) = pipe().expect("a pipe");
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-verify_return_error", "-servername", "a.example"]);
    command.args(["-CAfile", &files.at("cert.pem"), "-connect", &relay.address.to_string()]);
    let client = Program::start_on(command.args(options), input);
    told.write_all(b"question\n").expect("it reads");
    let peer = backend.accept();
    peer.expect(b"question\n");
    peer.send(b"answer\n");
    client.stdout().expect("answer");
    peer.half_close();
    // It ends when the relay does.
    client.stdout().all_once_closed();
    peer.expect_fin();
}

/// What the client has said that does these steps.
#[track_caller]
fn steps(relay: &Relay, options: &[&str], steps: &[&str]) -> Vec<String> {
    let port = relay.address.port().to_string();
    let mut command = Command::new("/usr/bin/python3");
    command.args([CLIENT, &port]).args(options).args(["--", "handshake"]).args(steps);
    Program::run(&mut command)
}

/// 17: each way to write it.
#[test]
fn t17_words() {
    let files = Files::make();
    for (listen, certificate) in [
        ("tls = yes", "tls certfile = cert.pem tls keyfile = key.pem"),
        ("ssl = TLSv1.2,TLSv1.3", "ssl cert-file = cert.pem ssl key-file = key.pem"),
        ("tls = auto", "tls certfile = both.pem"),
        (
            "ssl = permit",
            "tls cert-file = cert.pem tls key-file = locked.pem ssl passphrase = 'p w'",
        ),
        // As the manual has it.
        ("tls", "ssl cert = both.pem"),
    ] {
        let backend = Backend::bind();
        let relay = relay(&files, listen, certificate, &backend);
        for version in ["-tls1_2", "-tls1_3"] {
            talk(&files, &relay, &[version], &backend);
        }
    }
}

/// 17: where we differ: versions were not looked at.
#[test]
fn t17_only_the_newest_version() {
    let files = Files::make();
    let backend = Backend::bind();
    let relay = relay(&files, "tls = TLSv1.3", "tls certfile = both.pem", &backend);
    let said = steps(&relay, &["version=1.2"], &[]);
    assert_eq!(said, ["<alert TLSV1_ALERT_PROTOCOL_VERSION>"]);
    talk(&files, &relay, &["-tls1_3"], &backend);
}

/// 17: a listener without it stays in the clear.
#[test]
fn t17_a_certificate_makes_no_tls() {
    let files = Files::make();
    for listen in ["", "tls = no"] {
        let backend = Backend::bind();
        let relay = relay(&files, listen, "tls certfile = both.pem", &backend);
        let client = Peer::connect(&relay.address);
        client.send(b"question");
        backend.accept().expect(b"question");
    }
}

/// 17: where we differ: a record in two packets stopped the connection, and an upload of 1 MB did.
#[test]
fn t17_records_in_pieces_and_bulk() {
    let files = Files::make();
    let backend = Backend::bind();
    let relay = relay(&files, "tls = yes", "tls certfile = both.pem", &backend);
    let _echo = backend.serve(|peer| {
        let all = peer.receive_to_fin();
        peer.send(&all);
        peer.half_close();
    });
    for version in ["version=1.2", "version=1.3"] {
        let said = steps(&relay, &[version, "piece=1"], &["send=question", "end", "all"]);
        assert_eq!(said, ["question<end>"]);
        let said = steps(&relay, &[version], &["pour=1000000", "end", "sum"]);
        assert_eq!(said, ["1000000 True <end>"]);
    }
}

/// 17: where we differ: each of these had a worker spin for good.
#[test]
fn t17_clients_that_speak_no_tls() {
    let files = Files::make();
    let backend = Backend::bind();
    let relay = relay(&files, "tls = yes", "tls certfile = both.pem", &backend);
    Peer::connect(&relay.address).close();
    let half = Peer::connect(&relay.address);
    half.send(b"\x16\x03\x01\x02\x00\x01");
    half.close();
    let plain = Peer::connect(&relay.address);
    plain.send(b"EHLO a.example\r\n");
    // An alert, and the end.
    assert_eq!(plain.receive(1), [21]);
    let _ = plain.wait_end();
    // A session stays, and nothing turns.
    let waiting = Peer::connect(&relay.address);
    waiting.send(b"\x16\x03\x01\x02\x00\x01");
    let cpu = || figures::cpu_time(relay.program.pid());
    until("it to rest", || {
        let before = cpu();
        pause(Duration::from_millis(200));
        cpu() == before
    });
    talk(&files, &relay, &[], &backend);
}

/// 17: where we differ: files that cannot be used ended each worker that met a client. They are
/// told at the start, and by `-P`.
#[test]
fn t17_files_that_cannot_be_used() {
    let files = Files::make();
    let both = "TLS needs a certificate";
    for (certificate, words) in [
        ("tls passphrase = x", &[both, "write `tls certfile = PATH`"][..]),
        ("tls certfile = absent.pem", &["cannot read ", "absent.pem"]),
        ("tls certfile = cert.pem", &["there is no private key in it"]),
        ("tls certfile = cert.pem tls keyfile = locked.pem", &["its key is encrypted"]),
        (
            "tls certfile = cert.pem tls keyfile = locked.pem tls passphrase = other",
            &["the passphrase does not fit its key"],
        ),
        (
            "tls certfile = cert.pem tls keyfile = old.pem tls passphrase = 'p w'",
            &["in the form of old OpenSSL", "openssl pkcs8 -topk8 -v2 aes256 -in "],
        ),
    ] {
        let remote = "remote = { address = 127.0.0.1 port = 28081 }";
        let text = format!(
            "id = spawnd {{ listen = {{ address = 127.0.0.1 port = 28080 tls = yes }} }}\n\
             id = tcprelay {{ {remote} {} }}\n",
            files.fill(certificate)
        );
        for options in [&["-P"][..], &[]] {
            let (code, _, stderr) = run_text(options, &text);
            assert_eq!(code, 78, "{stderr}");
            for words in words {
                assert!(stderr.contains(words), "{words} in {stderr}");
            }
        }
    }
}

/// 2, 3: sample s3, with a certificate that is there.
#[test]
fn t17_the_sample_with_tls() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../dialect/tests/golden/tcprelay/s3.case");
    let case = fs::read_to_string(golden).expect("a case");
    let (text, _) = case.split_once("====\n").expect("a case has two parts");
    let files = Files::make();
    let text = text
        .replace("/etc/relay/cert.pem", &files.at("cert.pem"))
        .replace("/etc/relay/key.pem", &files.at("locked.pem"));
    let path = files.at("relay.cfg");
    fs::write(&path, text).expect("a file in a new folder");
    assert_eq!(run(&["-P", &path]), (0, String::new(), String::new()));
    let explained =
        Program::run(Command::new(REPLUG).args(["convert", "--from", "tcprelay", &path]));
    let newest = explained.iter().filter(|line| line.starts_with("tls.min_version "));
    assert_eq!(newest.count(), 1, "{explained:#?}");
}
