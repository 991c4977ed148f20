//! HAProxy, nginx and curl on either side.

use std::fs;
use std::process::Command;

use rig::{Address, Backend, Forwarder, Peer, Program, Scratch};

use super::{AUTHORITY, SSL, UNIQUE_ID, taking};
use crate::clients::{curl, start_server};
use crate::{file, http};

/// HAProxy with a proxy that listens at a port, which stands in `proxy` as PORT.
pub(super) fn haproxy(scratch: &Scratch, proxy: &str) -> (Program, Address) {
    let path = scratch.join("haproxy.cfg");
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f", &path]);
    start_server(command, |_, port| {
        let timeouts = "timeout connect 60s\n timeout client 60s\n timeout server 60s\n";
        let text = format!("defaults\n mode tcp\n {timeouts}{proxy}\n");
        fs::write(&path, text.replace("PORT", &port.to_string())).expect("a new file");
    })
}

/// nginx with a server within `stream { }`, which stands in `server` with PORT.
fn nginx(scratch: &Scratch, server: &str) -> (Program, Address) {
    let path = scratch.join("nginx.conf");
    let mut command = Command::new("nginx");
    command.args(["-p", &scratch.join(""), "-e", "stderr", "-c", &path]);
    start_server(command, |_, port| {
        let text = format!(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\n\
             master_process off;\nuser root;\nerror_log stderr;\npid {};\nevents {{}}\n\
             stream {{\n{server}\n}}\n",
            scratch.join("nginx.pid")
        );
        fs::write(&path, text.replace("PORT", &port.to_string())).expect("a new file");
    })
}

/// A client's question and its answer; gives the address that the client had.
#[track_caller]
fn ask(at: &Address, backend: &Backend) -> Address {
    let client = Peer::connect(at);
    client.send(b"question");
    let peer = backend.accept();
    peer.expect(b"question");
    peer.send(b"answer");
    client.expect(b"answer");
    let address = client.local_address();
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
    address
}

/// Takes headers that `sender`, which connects to replug, tells of a client's connection, and gives
/// what replug knew of the last one.
#[track_caller]
fn told_by(
    sender: impl FnOnce(&Scratch, &Address) -> (Program, Address),
    expect: impl FnOnce(&rig::Record),
) {
    let (backend, scratch) = (Backend::bind(), Scratch::new());
    let forwarder = file::start(&taking(&backend.address().to_string(), ""), 1);
    let (_sender, at) = sender(&scratch, forwarder.address());
    // Whoever waited until it listens has come through, too.
    let waited = backend.accept();
    drop(waited);
    let client = ask(&at, &backend);
    // They may end in any order.
    let records = forwarder.records(2);
    let record = records.iter().find(|record| record.client() == client.to_string());
    let record = record.unwrap_or_else(|| panic!("{client} is not in {records:?}"));
    assert_eq!(record.reason(), "done");
    expect(record);
}

#[test]
fn haproxy_tells_in_both_versions() {
    for send in ["send-proxy", "send-proxy-v2"] {
        told_by(
            |scratch, to| {
                let proxy = format!("listen a\n bind 127.0.0.1:PORT\n server s {to} {send}");
                haproxy(scratch, &proxy)
            },
            |_| {},
        );
    }
}

#[test]
fn haproxy_tells_what_it_can() {
    let more =
        "send-proxy-v2-ssl-cn proxy-v2-options ssl,cert-cn,ssl-cipher,authority,crc32c,unique-id";
    told_by(
        |scratch, to| {
            let proxy = format!(
                "listen a\n bind 127.0.0.1:PORT\n unique-id-format %rt-%ci\n server s {to} {more}"
            );
            haproxy(scratch, &proxy)
        },
        |record| {
            let name = record.field("unique_id").as_str().expect("it is told").to_owned();
            assert!(name.ends_with("-127.0.0.1"), "{name}");
        },
    );
}

#[test]
fn nginx_tells() {
    told_by(
        |scratch, to| {
            let server =
                format!("server {{ listen 127.0.0.1:PORT; proxy_protocol on; proxy_pass {to}; }}");
            nginx(scratch, &server)
        },
        |_| {},
    );
}

#[test]
fn curl_tells() {
    let server = Backend::bind().serve(http::serve);
    let forwarder = file::start(&taking(&server.address().to_string(), ""), 1);
    let url = format!("http://{}/3", forwarder.address());
    Program::run(curl().args(["--haproxy-protocol", "--output", "/dev/null", &url]));
    let record = forwarder.record();
    assert_eq!(record.reason(), "done");
    assert_eq!(record.client(), record.field("sender").as_str().expect("it is told"));
    assert!(curl().arg(&url).output().is_ok_and(|output| !output.status.success()));
    assert_eq!(forwarder.records(2)[1].reason(), "proxy_header");
}

/// A replug that tells `to`, and what the one that is told knows.
fn telling(to: &Address, send: &str) -> Forwarder {
    let bind = "[listener.a]\nbind = \"127.0.0.1:0\"";
    file::start(&format!("{bind}\nto = \"{to}\"\nsend_proxy = {send}\n"), 1)
}

const ALL: &str =
    "{ version = \"v2\", tlvs = [\"unique_id\", \"crc32c\"], custom = { 0xE0 = \"x\" } }";

#[test]
fn haproxy_is_told() {
    let (backend, scratch) = (Backend::bind(), Scratch::new());
    let proxy = format!(
        "listen a\n bind 127.0.0.1:PORT accept-proxy\n server s {} send-proxy",
        backend.address()
    );
    let (_haproxy, at) = haproxy(&scratch, &proxy);
    for send in ["\"v1\"", "\"v2\"", ALL] {
        let forwarder = telling(&at, send);
        let client = Peer::connect(forwarder.address());
        client.send(b"question");
        let peer = backend.accept();
        let (from, to) = (client.local_address(), forwarder.address());
        let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", from.port(), to.port());
        peer.expect(line.as_bytes());
        peer.expect(b"question");
    }
}

#[test]
fn nginx_is_told() {
    let scratch = Scratch::new();
    let server = "server { listen 127.0.0.1:PORT proxy_protocol; \
                  return \"$proxy_protocol_addr:$proxy_protocol_port \
                  $proxy_protocol_server_addr:$proxy_protocol_server_port\"; }";
    let (_nginx, at) = nginx(&scratch, server);
    for send in ["\"v1\"", "\"v2\"", ALL] {
        let forwarder = telling(&at, send);
        let client = Peer::connect(forwarder.address());
        let expected = format!("{} {}", client.local_address(), forwarder.address());
        client.expect(expected.as_bytes());
        client.expect_fin();
    }
}

#[test]
fn what_haproxy_tells_is_told_on() {
    let (backend, scratch) = (Backend::bind(), Scratch::new());
    let send = "send_proxy = { version = \"v2\", tlvs = [\"unique_id\", \"ssl\", \"authority\"] }";
    let forwarder = file::start(&taking(&backend.address().to_string(), send), 1);
    let proxy = format!(
        "listen a\n bind 127.0.0.1:PORT\n unique-id-format fixed\n \
         server s {} send-proxy-v2-ssl proxy-v2-options authority,unique-id",
        forwarder.address()
    );
    let (_haproxy, at) = haproxy(&scratch, &proxy);
    drop(backend.accept());
    let client = Peer::connect(&at);
    let peer = backend.accept();
    let head = peer.receive(16);
    let block = peer.receive(u16::from_be_bytes([head[14], head[15]]).into());
    assert_eq!(block[8..10], client.local_address().port().to_be_bytes());
    let (mut rest, mut kinds) = (&block[12..], Vec::new());
    while let [kind, high, low, behind @ ..] = rest {
        let (value, after) = behind.split_at(u16::from_be_bytes([*high, *low]).into());
        if *kind == UNIQUE_ID {
            assert_eq!(value, b"fixed");
        }
        kinds.push(*kind);
        rest = after;
    }
    assert!(kinds.contains(&SSL) && kinds.contains(&UNIQUE_ID), "{kinds:?}");
    assert!(!kinds.contains(&AUTHORITY), "{kinds:?}");
}
