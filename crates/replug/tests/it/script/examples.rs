//! The examples of the documents, as they stand there.

use std::time::Duration;

use rig::{Backend, Closed};

use super::{Scripted, goes_on};

const MANUAL: &str = include_str!("../../../../../docs/scripts.md");

/// Time for the bytes of one packet to be read before the next ones come.
const PAUSE: Duration = Duration::from_millis(1);

/// The script of this name, with other addresses.
fn example(name: &str, addresses: &[(&str, String)]) -> String {
    let begin = format!("```lua\n-- {name}: ");
    let text = MANUAL.split(&begin).nth(1).expect("the example is there");
    // What the first line says stands behind its name.
    let mut text = format!("-- {}", text.split("```").next().unwrap_or_default());
    for (shown, real) in addresses {
        assert!(text.contains(shown), "{shown} is not in {name}");
        text = text.replace(shown, real);
    }
    text
}

#[test]
fn git_repositories_on_two_servers() {
    let [one, two] = [Backend::bind(), Backend::bind()];
    let places = [
        ("10.0.0.21:9418", one.address().to_string()),
        ("10.0.0.22:9418", two.address().to_string()),
    ];
    let scripted = Scripted::start(&example("git.lua", &places), "");
    let request = |path: &str| {
        let text = format!("git-upload-pack {path}\0host=git.example.com\0");
        format!("{:04x}{text}", text.len() + 4).into_bytes()
    };
    for (path, backend) in [("/mojombo/bert.git", &one), ("/defunkt/cijoe", &two)] {
        let hello = request(path);
        for at in 0..hello.len() {
            let client = scripted.connect();
            client.send(&hello[..at]);
            rig::wait::pause(PAUSE);
            client.send(&hello[at..]);
            goes_on(&client, backend, &hello);
        }
    }
    for hello in [request("/nobody/x.git"), b"something else".to_vec()] {
        let client = scripted.connect();
        client.send(&hello);
        assert_eq!(client.receive_to_fin(), b"001bERR no such repository\n");
    }
}

#[test]
fn socks4() {
    let backend = Backend::bind();
    let scripted = Scripted::start(&example("socks4.lua", &[]), "");
    let port = backend.address().port().to_be_bytes();
    let request = [&[4, 1][..], &port, &[127, 0, 0, 1], b"somebody\0", b"payload"].concat();
    for at in 0..=request.len() {
        let client = scripted.connect();
        client.send(&request[..at]);
        rig::wait::pause(PAUSE);
        client.send(&request[at..]);
        client.expect(b"\0\x5a\0\0\0\0\0\0");
        goes_on(&client, &backend, b"payload");
    }
    let client = scripted.connect();
    client.dribble(&request, PAUSE);
    client.expect(b"\0\x5a\0\0\0\0\0\0");
    goes_on(&client, &backend, b"payload");
    let client = scripted.connect();
    client.send(&[5, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(client.receive_to_fin(), b"\0\x5b\0\0\0\0\0\0");
}

#[test]
fn words_when_nobody_is_there() {
    let [one, dead] = [Backend::bind(), Backend::bind()];
    let places =
        |other: String| [("10.0.0.31:80", one.address().to_string()), ("10.0.0.32:80", other)];
    let hello = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let dead = dead.close();
    let scripted = Scripted::start(&example("web.lua", &places(dead.address().to_string())), "");
    for _ in 0..4 {
        let client = scripted.connect();
        client.send(hello);
        goes_on(&client, &one, hello);
    }
    let lost = Closed::bind();
    let nobody = [
        ("10.0.0.31:80", lost.address().to_string()),
        ("10.0.0.32:80", dead.address().to_string()),
    ];
    let scripted = Scripted::start(&example("web.lua", &nobody), "");
    let client = scripted.connect();
    client.send(hello);
    let answer = client.receive_to_fin();
    assert!(answer.starts_with(b"HTTP/1.0 503 "), "{}", String::from_utf8_lossy(&answer));
}
