//! As much of an HTTP/1.1 server (RFC 9112) as curl needs for a large download and upload.

use rig::{Payload, Peer};

/// The seed of all bodies.
pub(crate) const SEED: u64 = 80;

/// Longest line that is read.
const LINE_BYTES_MAX: usize = 1024;

/// One request on a connection: `GET /N` is answered with N bytes, a chunked `PUT` is checked.
pub(crate) fn serve(peer: Peer) {
    let request = line(&peer);
    let mut expects_continue = false;
    loop {
        let field = line(&peer).to_ascii_lowercase();
        expects_continue |= field == "expect: 100-continue";
        if field.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    match (words.next(), words.next()) {
        (Some("GET"), Some(path)) => {
            let length: usize = path.trim_start_matches('/').parse().expect("a path is a length");
            peer.send(head(length).as_bytes());
            peer.send_payload(&mut Payload::new(SEED), length);
        }
        (Some("PUT"), Some(_)) => {
            if expects_continue {
                peer.send(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            let answer = format!("{} bytes as sent\n", receive_chunks(&peer));
            peer.send(head(answer.len()).as_bytes());
            peer.send(answer.as_bytes());
        }
        _ => panic!("no such request: {request}"),
    }
    peer.half_close();
    peer.wait_end().expect("curl closes");
}

fn head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
}

fn receive_chunks(peer: &Peer) -> u64 {
    let mut payload = Payload::new(SEED);
    loop {
        let size = line(peer);
        let size = usize::from_str_radix(&size, 16).expect("a chunk begins with its size");
        peer.expect_payload(&mut payload, size);
        assert_eq!(line(peer), "", "behind each chunk, and behind the last, is an empty line");
        if size == 0 {
            return payload.position();
        }
    }
}

/// The next line, byte by byte: what follows it is read by others.
fn line(peer: &Peer) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n") {
        assert!(bytes.len() < LINE_BYTES_MAX, "a line is too long");
        bytes.extend(peer.receive(1));
    }
    bytes.truncate(bytes.len() - 2);
    String::from_utf8(bytes).expect("HTTP lines are text here")
}
