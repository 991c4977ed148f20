//! Names are proven, and have their certificates.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use rig::{Backend, Program, Record};
use rustix::process::Signal;

use crate::authority::{ACCOUNT_ID, ACCOUNT_KEY, Asks, Authority};
use crate::{ANSWER, REPLUG, Site, client, expect_verified, listener};

const NAME: &str = "www.example.test";

const DAY: i64 = 86_400;

#[test]
fn a_name_has_a_certificate_once_it_is_proven() {
    let authority = Authority::start();
    let tls = authority.acme(&[NAME], ", agree_to_terms = true") + ", alpn = [\"h2\"]";
    let site = Site::start(&authority, &tls);
    site.expect(
        "site: www.example.test has no certificate yet; until it has, its clients are refused",
    );
    site.expect_certificate(NAME);
    let said = expect_verified(authority.proof(), NAME, &authority.root());
    assert!(said.contains("subject="), "{said}");
    // Whoever names nothing gets it too.
    assert!(client(authority.proof(), &["-noservername"]).contains(ANSWER));
    // The proof went by the name, and never to a backend. It is looked for more than once.
    let stdout = site.forwarder.program().stdout();
    stdout.expect_count(2, |line| line.contains("\"side\":\"backend\""));
    let records: Vec<_> = stdout.so_far().iter().filter_map(|line| Record::read(line)).collect();
    let proofs: Vec<_> = records.iter().filter(|record| record.backend().is_none()).collect();
    assert!(!proofs.is_empty() && proofs.len() + 2 == records.len(), "{}", records.len());
    for proof in proofs {
        assert_eq!((proof.reason(), proof.side()), ("done", "replug"));
        assert_eq!(proof.field("alpn"), "acme-tls/1");
        assert_eq!(proof.field("sni"), NAME);
    }
    assert_eq!(site.backend.accepted(), 2);
    // Nobody else is shown anything by that protocol.
    let said = client(authority.proof(), &["-servername", NAME, "-alpn", "acme-tls/1"]);
    assert!(said.contains("alert") && !said.contains(ANSWER), "{said}");
    assert_eq!(site.backend.accepted(), 2);
    assert_eq!(authority.kept(), ["_account.json", "www.example.test.pem"]);
    for file in authority.kept() {
        let path = format!("{}/{file}", authority.folder());
        let mode = fs::metadata(path).expect("it is kept").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn a_start_orders_nothing_that_is_kept() {
    let authority = Authority::start();
    let tls = authority.acme(&[NAME], ", agree_to_terms = true");
    let site = Site::start(&authority, &tls);
    site.expect_certificate(NAME);
    let root = authority.root();
    expect_verified(authority.proof(), NAME, &root);
    assert_eq!(authority.new_orders(), 1);
    drop(site);
    let site = Site::start(&authority, &tls);
    expect_verified(authority.proof(), NAME, &root);
    let messages = site.forwarder.messages().so_far();
    assert!(!messages.iter().any(|line| line.contains("has no certificate")), "{messages:?}");
    // By then it would have begun.
    site.forwarder.signal(Signal::HUP);
    site.expect("nothing has changed");
    expect_verified(authority.proof(), NAME, &root);
    assert_eq!(authority.new_orders(), 0);
}

#[test]
fn a_proof_is_shown_whatever_clients_are_asked_for() {
    let authority = Authority::start();
    let inner = rig::Closed::bind();
    let tls = authority.acme(&[NAME], ", agree_to_terms = true");
    let ca = authority.path("localhost.pem");
    // Names are proven at the first one, which hands on what comes to the one that has them.
    let listeners = format!(
        "[listener.front]\nbind = \"{}\"\nto = \"{}\"\nsend_proxy = \"v2\"\n\n\
         [listener.site]\nbind = \"{}\"\npool = \"all\"\nproxy_protocol = {{ from = \"127.0.0.0/8\" }}\n\
         tls = {{ {tls}, client_ca = \"{ca}\", min_version = \"1.3\" }}\n\n\
         [[listener.site.route]]\nwhen = {{ protocol = \"http\" }}\npool = \"all\"\n",
        authority.proof(),
        inner.address(),
        inner.address(),
    );
    let site = Site::start_with(&authority, &listeners, 2, &[]);
    site.expect_certificate(NAME);
    let said = client(authority.proof(), &["-servername", NAME]);
    assert!(said.contains("certificate required") && !said.contains(ANSWER), "{said}");
    assert_eq!(site.backend.accepted(), 0);
}

#[test]
fn files_serve_until_a_certificate_is_there_and_other_names_after_that() {
    let mut authority = Authority::absent(Asks::Nobody);
    let files = format!(
        "cert = \"{}\", key = \"{}\", ",
        authority.path("localhost.pem"),
        authority.path("localhost.key")
    );
    let tls = files + &authority.acme(&[NAME], ", agree_to_terms = true");
    let site = Site::start(&authority, &tls);
    site.expect(
        "www.example.test has no certificate yet; until it has, its clients get another one",
    );
    site.expect("www.example.test: no certificate from");
    let said = client(authority.proof(), &["-servername", NAME]);
    assert!(said.contains("CN = localhost") && said.contains(ANSWER), "{said}");
    authority.come();
    drop(site);
    fs::remove_dir_all(authority.store()).expect("it is there");
    let site = Site::start(&authority, &tls);
    site.expect_certificate(NAME);
    expect_verified(authority.proof(), NAME, &authority.root());
    let said = client(authority.proof(), &["-servername", "localhost"]);
    assert!(said.contains("CN = localhost") && said.contains(ANSWER), "{said}");
}

#[test]
fn an_old_certificate_is_renewed_while_sessions_go_on() {
    let authority = Authority::start();
    fs::create_dir_all(authority.folder()).expect("a new folder");
    // Eight ninths of its time are over.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let now = i64::try_from(now).expect("not that late");
    let old = tls::self_signed(&[NAME.to_owned()], now - 80 * DAY, now + 10 * DAY);
    let old = old.expect("random numbers");
    let file = format!("{}/{NAME}.pem", authority.folder());
    fs::write(&file, old.key + &old.cert).expect("a new file");
    fs::write(authority.path("old.pem"), &old.cert).expect("a new file");
    // What it is asked waits.
    authority.signal(Signal::STOP);
    let backend = Backend::bind();
    let tls = authority.acme(&[NAME], ", agree_to_terms = true");
    let site = Site::start_before(&authority, &listener(&authority, &tls), &backend);
    let messages = site.messages();
    let line = messages.expect("www.example.test: orders a new certificate (the old one ends");
    assert!(line.contains(" UTC) from https://"), "{line}");
    let (input, mut output) = std::io::pipe().expect("a pipe");
    let verify = ["-verify_return_error", "-CAfile", &authority.path("old.pem")];
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-servername", NAME, "-connect"]);
    command.arg(authority.proof().to_string()).args(verify);
    let session = Program::start_on(&mut command, input);
    output.write_all(b"before\n").expect("it is read");
    let peer = backend.accept();
    peer.expect(b"before\n");
    authority.signal(Signal::CONT);
    messages.expect("www.example.test: has a new certificate");
    let verify = ["-verify_return_error", "-verify_hostname", NAME, "-CAfile", &authority.root()];
    let serving = backend.serve(|peer| {
        peer.send(format!("{ANSWER}\n").as_bytes());
        peer.half_close();
        let _ = peer.wait_end();
    });
    let said = client(authority.proof(), &[&["-servername", NAME][..], &verify].concat());
    assert!(said.contains(ANSWER), "{said}");
    output.write_all(b"after\n").expect("it is read");
    peer.expect(b"after\n");
    peer.send(b"answer\n");
    session.stdout().expect("answer");
    assert_eq!(serving.accepted(), 1);
}

#[test]
fn a_reload_adds_names_and_keeps_what_there_is() {
    let mut authority = Authority::start();
    let tls = |names: &[&str]| authority.acme(names, ", agree_to_terms = true");
    let (one, both, other) =
        (tls(&[NAME]), tls(&[NAME, "b.example.test"]), tls(&["b.example.test"]));
    let site = Site::start(&authority, &one);
    site.expect_certificate(NAME);
    // The authority forgets the account, so that there has to be a new one.
    authority.go();
    authority.come();
    site.reload(&authority, &listener(&authority, &both));
    site.expect("listener.site.tls.acme.names: + ");
    site.expect_certificate("b.example.test");
    assert_eq!(authority.new_orders(), 2, "one was refused");
    expect_verified(authority.proof(), "b.example.test", &authority.root());
    assert!(client(authority.proof(), &["-servername", NAME]).contains(ANSWER));
    // Two listeners that have the same name have the same certificate.
    let twice = format!(
        "{}[listener.again]\nbind = \"127.0.0.1:0\"\npool = \"all\"\ntls = {{ {both} }}\n",
        listener(&authority, &other)
    );
    site.reload(&authority, &twice);
    let line = site.expect("+ listener.again");
    assert!(line.contains("reloaded"), "{line}");
    assert!(client(authority.proof(), &["-servername", NAME]).contains("example.test"));
    assert_eq!(authority.new_orders(), 0);
}

#[test]
fn an_account_that_is_known_opens_another() {
    let mut authority = Authority::absent(Asks::ForAccount);
    authority.come();
    let plain = authority.acme(&[NAME], ", agree_to_terms = true");
    let site = Site::start(&authority, &plain);
    site.expect("it wants to know of an account that it has already: `external_account`");
    drop(site);
    fs::write(authority.path("key"), format!("{ACCOUNT_KEY}\n")).expect("a scratch file");
    let account = format!(
        ", agree_to_terms = true, external_account = {{ id = \"{ACCOUNT_ID}\", key = \"file:{}\" }}",
        authority.path("key")
    );
    fs::remove_dir_all(authority.store()).expect("it is there");
    let site = Site::start(&authority, &authority.acme(&[NAME], &account));
    site.expect_certificate(NAME);
}

#[test]
fn a_check_says_what_cannot_be_kept() {
    let authority = Authority::absent(Asks::Nobody);
    let path = authority.path("check.toml");
    let check = |store: &str| {
        let acme =
            format!("acme = {{ names = \"{NAME}\", agree_to_terms = true, store = \"{store}\" }}");
        let text =
            format!("[listener.a]\nbind = \":0\"\nto = \"10.0.0.1:1\"\ntls = {{ {acme} }}\n");
        fs::write(&path, text).expect("a scratch file");
        let output = Command::new(REPLUG).args(["check", &path]).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = check(&authority.path("a/b"));
    assert_eq!(code, Some(0), "{said}");
    assert!(!fs::exists(authority.path("a")).expect("a look"), "a check makes nothing");
    let (code, said) = check(&authority.path("localhost.pem"));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("E0132") && said.contains("nothing can be kept in"), "{said}");
}

#[test]
fn the_file_in_the_manual_is_sound() {
    let authority = Authority::absent(Asks::Nobody);
    fs::write(authority.path("key"), ACCOUNT_KEY).expect("a scratch file");
    let manual = include_str!("../../../../docs/acme.md");
    let (_, file) = manual.split_once("```toml\n").expect("a file");
    let (file, _) = file.split_once("```").expect("its end");
    let text = file
        .replace("/etc/replug/intern-ca.pem", &authority.path("localhost.pem"))
        .replace("/run/secrets/acme", &authority.path("key"))
        .replace("/var/lib/replug/acme", &authority.store());
    // The second one has the usual store.
    let store = format!("store = \"{}\"\nnames = \"git", authority.store());
    let text = text.replace("names = \"git", &store);
    let path = authority.path("manual.toml");
    fs::write(&path, text + "[pool.web]\nbackends = \"10.0.0.1:80\"\n").expect("a scratch file");
    Program::run(Command::new(REPLUG).args(["check", &path]));
}
