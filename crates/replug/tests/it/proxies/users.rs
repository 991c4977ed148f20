//! Clients that people use, at a listener that is a proxy.

use std::fs::{self, File};
use std::process::Command;

use rig::{Backend, Payload, Program, Scratch};

use super::front::gate;
use crate::clients;
use crate::http;

const LENGTH: usize = 3_000_000;

#[test]
fn curl_by_every_protocol() {
    let server = Backend::bind().serve(http::serve);
    let url = format!("http://localhost:{}/{LENGTH}", server.address().port());
    let open = gate("private = \"allow\"", "");
    let closed = gate("users = \"alice:s@cret\", private = \"allow\"", "");
    let (open, closed) = (open.address(), closed.address());
    let scratch = Scratch::new();
    let received = scratch.join("received");
    for proxy in [
        vec!["--socks4".to_owned(), open.to_string()],
        vec!["--socks4a".to_owned(), open.to_string()],
        vec!["--socks5".to_owned(), open.to_string()],
        vec!["--socks5-hostname".to_owned(), open.to_string()],
        vec!["-x".to_owned(), format!("http://{open}")],
        vec!["-p".to_owned(), "-x".to_owned(), format!("http://{open}")],
        vec!["-x".to_owned(), format!("socks5h://alice:s%40cret@{closed}")],
        vec!["-x".to_owned(), format!("http://alice:s%40cret@{closed}")],
        vec!["-p".to_owned(), "-x".to_owned(), format!("http://alice:s%40cret@{closed}")],
        vec![
            "-p".to_owned(),
            "--proxy-anyauth".to_owned(),
            "-x".to_owned(),
            format!("http://alice:s%40cret@{closed}"),
        ],
    ] {
        let mut curl = Command::new("curl");
        curl.args(["--disable", "--silent", "--show-error", "--fail", "--noproxy", "", "-o"]);
        Program::run(curl.arg(&received).args(&proxy).arg(&url));
        let received = fs::read(&received).expect("curl has written it");
        assert!(received == Payload::new(http::SEED).take(LENGTH), "{proxy:?}");
    }
    let mut curl = Command::new("curl");
    curl.args(["--disable", "--silent", "--show-error", "--noproxy", "", "--socks5-hostname"]);
    let wrong = curl.arg(format!("alice:no@{closed}")).arg(&url).output().expect("curl is there");
    // CURLE_PROXY.
    assert_eq!(wrong.status.code(), Some(97), "{wrong:?}");
}

#[test]
fn ssh_through_netcat() {
    let scratch = Scratch::new();
    let (_daemon, address, user_key) = clients::sshd(&scratch);
    let gate = gate("allow_to = [\"127.0.0.1\"]", "");
    let content = Payload::new(22).take(1_000_000);
    let (sent, received) = (scratch.join("sent"), scratch.join("received"));
    fs::write(&sent, &content).expect("the folder is there");
    for protocol in ["5", "4", "connect"] {
        let proxy = format!("ProxyCommand=nc.openbsd -X {protocol} -x {} %h %p", gate.address());
        let mut ssh = clients::ssh(&user_key, address.port())
            .args(["-o", &proxy, "127.0.0.1", "cat"])
            .stdin(File::open(&sent).expect("it was written"))
            .stdout(File::create(&received).expect("the folder is there"))
            .spawn()
            .expect("ssh is missing; install it: ./test does");
        let status = ssh.wait().expect("our own child can be waited for");
        assert!(status.success(), "{protocol}: ssh ended with {status}");
        assert!(fs::read(&received).expect("it was written") == content, "{protocol}");
    }
}

#[test]
fn python_by_tunnel_and_by_url() {
    let server = Backend::bind().serve(http::serve);
    let gate = gate("users = \"alice:secret\", private = \"allow\"", "");
    let script = "
import base64, http.client, sys, urllib.request
gate, server = sys.argv[1:]
host, port = gate.split(':')
word = 'Basic ' + base64.b64encode(b'alice:secret').decode()
tunnel = http.client.HTTPConnection(host, int(port), timeout=20)
name, number = server.split(':')
tunnel.set_tunnel(name, int(number), headers={'Proxy-Authorization': word})
tunnel.request('GET', '/1000')
print(len(tunnel.getresponse().read()))
opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({'http': 'http://alice:secret@' + gate}))
print(len(opener.open('http://' + server + '/2000', timeout=20).read()))
";
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", script, &gate.address().to_string(), &server.address().to_string()]);
    assert_eq!(Program::run(&mut python), ["1000", "2000"]);
}
