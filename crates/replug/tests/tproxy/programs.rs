//! Programs that people use: curl, which knows of no proxy, through tinyproxy.

use std::fs;
use std::process::Command;

use rig::wait::until;
use rig::{Backend, Closed, Program, Scratch, figures};

use crate::start::Tproxy;

#[test]
fn curl_through_tinyproxy() {
    let origin = Backend::bind().serve(|peer| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(peer.receive(1));
        }
        let head = String::from_utf8(head).expect("a head is text");
        let line = head.lines().next().expect("a request line").to_owned();
        let is_by_proxy = head.to_ascii_lowercase().contains("\r\nvia: ");
        let body = format!("{line} {is_by_proxy}\n");
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        peer.send(answer.as_bytes());
        peer.half_close();
        let _ = peer.wait_end();
    });
    let scratch = Scratch::new();
    let port = Closed::bind();
    let proxy = port.address().clone();
    let config = scratch.join("tinyproxy.conf");
    let text = format!("Port {}\nListen 127.0.0.1\nMaxClients 20\nAllow 127.0.0.1\n", proxy.port());
    fs::write(&config, text).expect("a new file");
    let _tinyproxy = Program::start(Command::new("tinyproxy").args(["-d", "-c", &config]));
    until("tinyproxy to listen", || figures::is_listened_on(proxy.tcp()));
    let tproxy = Tproxy::start(&["-p"], &proxy);

    // To curl, `www.example.com` is at tproxy; to tproxy's proxy, what `Host` says.
    let host = format!("Host: {}", origin.address());
    let url = format!("http://{}", tproxy.address);
    let urls = [format!("{url}/a"), format!("{url}/b?c")];
    let mut curl = Command::new("curl");
    curl.args(["--disable", "--silent", "--show-error", "--fail", "--noproxy", "*", "-H", &host]);
    let lines = Program::run(curl.args(&urls));
    // The version is tinyproxy's own.
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("GET /a HTTP/1.") && lines[1].starts_with("GET /b?c HTTP/1."));
    assert!(lines.iter().all(|line| line.ends_with(" true")), "{lines:?}");
}
