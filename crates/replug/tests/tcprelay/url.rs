//! 2.2: configurations from `http://` and `https://`, by the command line and by `include`.

use std::collections::HashMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use rig::wait::until;
use rig::{Address, Backend, Closed, Peer, Program, Scratch, Serving, figures};
use rustix::process::Signal;

use crate::start::{REPLUG, name, remote};

/// A tcprelay with these words, out of reach of whatever proxy this machine has.
fn tcprelay(words: &[&str]) -> Command {
    let mut command = Command::new(REPLUG);
    command.arg0("tcprelay").args(words).stdin(Stdio::null());
    let proxies = ["all_proxy", "http_proxy", "https_proxy"];
    for name in proxies {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}

/// Its exit code, standard output and standard error.
#[track_caller]
fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("replug can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
    (status.code().expect("it exits"), text(stdout), text(stderr))
}

/// A server whose pages the test may change, by path: each is the whole of an answer.
struct Pages {
    pages: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    serving: Serving,
}

impl Pages {
    fn serve() -> Self {
        let pages: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
        let known = Arc::clone(&pages);
        let serving = Backend::bind().serve(move |peer| {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match peer.try_receive_byte() {
                    Some(byte) => head.push(byte),
                    None => return,
                }
            }
            let head = String::from_utf8_lossy(&head);
            let path = head.split(' ').nth(1).unwrap_or_default();
            let known = known.lock().expect("no test fails while it holds this");
            let answer = known.get(path).cloned();
            drop(known);
            // Whoever wants no more of it may have gone.
            let _ = match answer {
                Some(answer) => peer.try_send(&answer),
                None => peer.try_send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            };
        });
        Self { pages, serving }
    }

    fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
        self.answer(path, [head.as_bytes(), text].concat());
    }

    fn answer(&self, path: &str, answer: Vec<u8>) {
        let mut pages = self.pages.lock().expect("no test fails while it holds this");
        pages.insert(path.to_owned(), answer);
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.serving.address())
    }
}

fn spawnd(port: &Closed) -> String {
    let port = port.address().port();
    format!("id = spawnd {{ listen = {{ address = 127.0.0.1 port = {port} }} }}\n")
}

#[track_caller]
fn ask(address: &Address) -> char {
    let client = Peer::connect(address);
    client.half_close();
    client.receive_to_fin().first().map_or('-', |byte| char::from(*byte))
}

/// By HTTP, with an include beside it; HUP fetches it again, and what cannot be had changes nothing.
#[test]
fn a_configuration_by_http() {
    let (a, b, port, pages) = (name('A'), name('B'), Closed::bind(), Pages::serve());
    let top = format!("{}include = $CONFDIR/relay.cfg", spawnd(&port));
    let relay = |backend: &Address| format!("id = tcprelay {{ {} }}", remote(backend));
    pages.put("/etc/top.cfg?x=/y", top);
    pages.put("/etc/relay.cfg", relay(a.address()));
    let url = pages.url("/etc/top.cfg?x=/y");
    let program = Program::start(&mut tcprelay(&[&url]));
    until("tcprelay to listen", || figures::is_listened_on(port.address().tcp()));
    assert_eq!(ask(port.address()), 'A');
    pages.put("/etc/relay.cfg", relay(b.address()));
    program.signal(Signal::HUP);
    until("the new configuration", || ask(port.address()) == 'B');
    pages.answer("/etc/top.cfg?x=/y", b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".to_vec());
    pages.put("/etc/relay.cfg", relay(a.address()));
    program.signal(Signal::HUP);
    let told = program.stderr().expect("the server answers with status 500");
    assert!(told.contains("not reloaded, all is as it was"), "{told}");
    assert_eq!(ask(port.address()), 'B');
}

/// Each file is fetched once, although two sections are looked for in it.
#[test]
fn each_file_is_fetched_once() {
    let pages = Pages::serve();
    pages.put("/top.cfg", format!("include = {}", pages.url("/rest.cfg")));
    let port = Closed::bind();
    let a = name('A');
    let rest = format!("{}id = tcprelay {{ {} }}", spawnd(&port), remote(a.address()));
    pages.put("/rest.cfg", rest);
    let result = run(&mut tcprelay(&["-P", &pages.url("/top.cfg")]));
    assert_eq!(result, (0, String::new(), String::new()));
    assert_eq!(pages.serving.accepted(), 2);
}

/// What cannot be had is told, as what it is, without passwords; 66 is the code for what cannot be read.
#[test]
fn what_cannot_be_fetched() {
    let (pages, nobody) = (Pages::serve(), Closed::bind());
    let check = |url: &str, words: &str| {
        let (code, stdout, stderr) = run(&mut tcprelay(&["-P", url]));
        assert_eq!((code, &*stdout), (66, ""), "{stderr}");
        assert!(stderr.contains(words), "{words} in {stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    };
    pages.put("/latin", b"# caf\xe9\n");
    let large = b"HTTP/1.1 200 OK\r\nContent-Length: 16777217\r\n\r\n".to_vec();
    pages.answer("/large", [large, vec![b' '; (16 << 20) + 1]].concat());
    pages.answer("/cut", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n# ".to_vec());
    let round =
        format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", "/round");
    pages.answer("/round", round.into_bytes());
    check(&pages.url("/none"), "the server answers with status 404");
    check(&pages.url("/latin"), "it is not UTF-8 in line 1");
    check(&pages.url("/large"), "it is larger than 16 MiB");
    check(&pages.url("/cut"), "cannot read http://");
    check(&pages.url("/round"), "too many redirects");
    check(&format!("http://me:secret@{}/x", nobody.address()), "cannot read http://127.0.0.1:");
    check("ftp://me:secret@127.0.0.1/x", "files, http:// and https:// only");
    check("ipc://12/34", "files, http:// and https:// only");
}

/// An include that cannot be had is told, and no more: the rest may do without.
#[test]
fn an_include_that_cannot_be_fetched() {
    let (pages, port, a) = (Pages::serve(), Closed::bind(), name('A'));
    let rest = format!("{}id = tcprelay {{ {} }}", spawnd(&port), remote(a.address()));
    pages.put("/top.cfg", format!("include = $CONFDIR/none.cfg\n{rest}"));
    let (code, _, stderr) = run(&mut tcprelay(&["-P", &pages.url("/top.cfg")]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("the server answers with status 404"), "{stderr}");
}

/// The same for `--explain` and `convert`.
#[test]
fn converted_from_a_url() {
    let (pages, port, a) = (Pages::serve(), Closed::bind(), name('A'));
    pages.put("/x", format!("{}id = tcprelay {{ {} }}", spawnd(&port), remote(a.address())));
    let url = pages.url("/x");
    let (code, stdout, stderr) = run(&mut tcprelay(&["--explain", &url]));
    assert_eq!((code, &*stderr), (0, ""));
    assert!(stdout.contains(&format!("bind = [\"{}\"]", port.address())), "{stdout}");
    let url = url.replace("://", "://me:secret@");
    let mut convert = tcprelay(&["convert", "--from", "tcprelay", &url]);
    let (code, stdout, stderr) = run(convert.arg0("replug"));
    assert_eq!((code, &*stderr), (0, ""));
    assert!(stdout.starts_with(&format!("# tcprelay {}\n", pages.url("/x"))), "{stdout}");
    assert!(stdout.contains(&format!("= [\"{}\"]", port.address())), "{stdout}");
}

/// Two authorities, and a server that one of them knows.
struct Secure {
    scratch: Scratch,
    server: Program,
}

const OPENSSL: &str = "[req]\ndistinguished_name = dn\n[dn]\n\
                       [ca]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = keyCertSign\n\
                       [leaf]\nbasicConstraints = critical,CA:FALSE\nsubjectAltName = IP:127.0.0.1\n";

impl Secure {
    /// Serves `text` as `/relay.cfg`, and at `/away` a redirection to `elsewhere`.
    fn serve(text: &str, elsewhere: &str) -> Self {
        let scratch = Scratch::new();
        fs::write(scratch.join("openssl.cnf"), OPENSSL).expect("a file in a new folder");
        let whole = format!("HTTP/1.1 200 OK\r\n\r\n{text}");
        fs::write(scratch.join("relay.cfg"), whole).expect("a file in a new folder");
        let away = format!("HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\n\r\n");
        fs::write(scratch.join("away"), away).expect("a file in a new folder");
        let certify = |name: &str, more: &[&str]| {
            let mut command = Command::new("openssl");
            command.args(["req", "-x509", "-config", &scratch.join("openssl.cnf"), "-nodes"]);
            command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"]);
            command.args(["-subj", &format!("/CN={name}"), "-keyout"]);
            command.arg(scratch.join(&format!("{name}.key"))).arg("-out");
            command.arg(scratch.join(&format!("{name}.pem"))).args(more);
            Program::run(&mut command);
        };
        certify("ca", &["-extensions", "ca"]);
        certify("other", &["-extensions", "ca"]);
        let (ca, key) = (scratch.join("ca.pem"), scratch.join("ca.key"));
        certify("leaf", &["-extensions", "leaf", "-CA", &ca, "-CAkey", &key]);
        let mut command = Command::new("openssl");
        command.current_dir(scratch.join("")).args(["s_server", "-HTTP", "-accept", "127.0.0.1:0"]);
        let server = Program::start(command.args(["-cert", "leaf.pem", "-key", "leaf.key"]));
        Self { scratch, server }
    }

    fn url(&self, path: &str) -> String {
        let line = self.server.stdout().expect("ACCEPT ");
        format!("https://{}{path}", line.trim_start_matches("ACCEPT "))
    }

    /// `tcprelay -P URL` by one that trusts an authority: standard error.
    #[track_caller]
    fn parse(&self, url: &str, authority: &str, code: i32) -> String {
        let mut command = tcprelay(&["-P", url]);
        let command = command.env("SSL_CERT_FILE", self.scratch.join(authority));
        let (found, stdout, stderr) = run(command.env_remove("SSL_CERT_DIR"));
        assert_eq!((found, &*stdout), (code, ""), "{stderr}");
        stderr
    }
}

/// By HTTPS from a server that an authority of this machine knows, and from no other.
#[test]
fn a_configuration_by_https() {
    let (a, port, pages) = (name('A'), Closed::bind(), Pages::serve());
    let plain = Backend::bind().serve(|peer| {
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        // How a client takes that is its own affair.
        let _ = peer.wait_end();
    });
    let text = format!("{}id = tcprelay {{ {} }}", spawnd(&port), remote(a.address()));
    pages.put("/relay.cfg", &text);
    let secure = Secure::serve(&text, &pages.url("/relay.cfg"));
    let url = secure.url("/relay.cfg");
    assert_eq!(secure.parse(&url, "ca.pem", 0), "");
    let told = secure.parse(&url, "other.pem", 66);
    assert!(told.contains("the server is not who it should be"), "{told}");
    let told = secure.parse(&url, "none.pem", 66);
    assert!(told.contains("the server cannot be known"), "{told}");
    // Its certificate is for an address, not for a name.
    let told = secure.parse(&url.replace("127.0.0.1", "localhost"), "ca.pem", 66);
    assert!(told.contains("the server is not who it should be"), "{told}");
    let told = secure.parse(&secure.url("/away"), "ca.pem", 66);
    assert!(told.contains("redirects from https:// to what is not protected"), "{told}");
    assert_eq!(pages.serving.accepted(), 0);
    let told = secure.parse(&format!("https://{}/x", plain.address()), "ca.pem", 66);
    assert!(told.contains("or speaks no TLS"), "{told}");
    let mut command = tcprelay(&[&url]);
    let _relay = Program::start(command.env("SSL_CERT_FILE", secure.scratch.join("ca.pem")));
    until("tcprelay to listen", || figures::is_listened_on(port.address().tcp()));
    assert_eq!(ask(port.address()), 'A');
}
