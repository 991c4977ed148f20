//! Data connections; `it/ftp.rs` has all that is not redir's alone.

use rig::{Address, Backend, Peer};

use crate::start::Redir;

fn six(address: &Address) -> String {
    let [high, low] = address.port().to_be_bytes();
    format!("127,0,0,1,{high},{low}")
}

#[track_caller]
fn line(peer: &Peer) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\n") {
        bytes.extend(peer.receive(1));
    }
    String::from_utf8(bytes).expect("lines are text here")
}

/// Which of both a control connection with these options has changed: of the server, of the client.
#[track_caller]
fn changed(options: &[&str]) -> (bool, bool) {
    let (backend, data) = (Backend::bind(), Backend::bind());
    let redir = Redir::start(options, backend.address());
    let client = Peer::connect(&redir.address);
    let server = backend.accept();
    // What follows in the same segment stays, and so do the ends of lines.
    let passive = format!("227 Entering Passive Mode ({})\r\n", six(data.address()));
    server.send(format!("{passive}226 Done.\r\n").as_bytes());
    let told = line(&client);
    client.expect(b"226 Done.\r\n");
    let active = format!("PORT {}\r\n", six(data.address()));
    client.send(format!("{active}NOOP\r\n").as_bytes());
    let asked = line(&server);
    server.expect(b"NOOP\r\n");
    assert!(told.ends_with(")\r\n") && asked.ends_with("\r\n"), "{told:?} {asked:?}");
    (told != passive, asked != active)
}

#[test]
fn r3_19_20_21_types_of_ftp() {
    assert_eq!(changed(&[]), (false, false));
    assert_eq!(changed(&["--ftp=pasv"]), (true, false));
    assert_eq!(changed(&["--ftp"]), (true, false));
    assert_eq!(changed(&["--ftp=port"]), (false, true));
    assert_eq!(changed(&["--ftp=both"]), (true, true));
    assert_eq!(changed(&["-f", "both"]), (true, true));
}

/// Where redir crashes.
#[test]
fn r3_21_what_is_malformed_ends_nothing() {
    let backend = Backend::bind();
    let redir = Redir::start(&["--ftp=both"], backend.address());
    let client = Peer::connect(&redir.address);
    let server = backend.accept();
    client.send(b"PORT\r\nPORTx\r\n");
    server.expect(b"PORT\r\nPORTx\r\n");
    server.send(b"227\r\n227 no numbers\r\n");
    client.expect(b"227\r\n227 no numbers\r\n");
}
