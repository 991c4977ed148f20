//! What scripts may call: against real servers, through a listener and on the command line.

use std::fs;
use std::process::Command;

use rig::wait::until;
use rig::{Backend, Forwarder, Peer, Program, Scratch};
use rustix::process::Signal;

use crate::clients::{redis, start_server};
use crate::path::REPLUG;

/// A replug whose listener has this script; files it names lie beside it.
fn start(scratch: &Scratch, script: &str) -> Forwarder {
    let path = scratch.join("replug.toml");
    // The processor is shared with other tests.
    let text = "[listener.in]\nbind = \"127.0.0.1:0\"\n\
                script = { file = \"route.lua\", deadline = \"1s\" }\n\
                [runtime]\nshards = 2\n";
    fs::write(&path, text).expect("a scratch file can be written");
    fs::write(scratch.join("route.lua"), script).expect("a scratch file can be written");
    Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1)
}

/// A client that says this line, and the backend that gets it.
#[track_caller]
fn expect_at(forwarder: &Forwarder, line: &str, backend: &Backend) {
    let client = Peer::connect(forwarder.address());
    client.send(line.as_bytes());
    let peer = backend.accept();
    peer.expect(line.as_bytes());
    client.half_close();
    peer.expect_fin();
    peer.half_close();
    client.expect_fin();
}

#[test]
fn a_redis_knows_where_clients_go() {
    let scratch = Scratch::new();
    let (_server, address) = redis(&scratch);
    let (one, two) = (Backend::bind(), Backend::bind());
    let port = address.port().to_string();
    for (name, backend) in [("one", &one), ("two", &two)] {
        let target = backend.address().to_string();
        let set = ["-p", &port, "hset", "routes", name, &target];
        Program::run(Command::new("redis-cli").args(set));
    }
    let script = format!(
        r#"
        function route(data, conn)
            local name = re.match([[^(\w+)\n]], data)
            if not name then return end
            local remote, why = redis("{address}", "HGET", "routes", name)
            if remote == nil then return {{ close = why }} end
            if not remote then return {{ close = "nobody is called " .. name }} end
            return {{ remote = remote }}
        end
        "#
    );
    let forwarder = start(&scratch, &script);
    expect_at(&forwarder, "one\n", &one);
    expect_at(&forwarder, "two\n", &two);
    let stranger = Peer::connect(forwarder.address());
    stranger.send(b"three\n");
    stranger.expect(b"nobody is called three");
    // Who waits for an answer keeps nobody from theirs: both are under way on any shard.
    let clients: Vec<_> = (0..8).map(|_| Peer::connect(forwarder.address())).collect();
    clients.iter().for_each(|client| client.send(b"one\n"));
    let peers: Vec<_> = clients.iter().map(|_| one.accept()).collect();
    peers.iter().for_each(|peer| peer.expect(b"one\n"));
}

#[test]
fn a_page_says_where_clients_go() {
    let scratch = Scratch::new();
    let backend = Backend::bind();
    fs::create_dir(scratch.join("pages")).expect("a scratch folder");
    let page = backend.address().to_string();
    fs::write(scratch.join("pages/one"), &page).expect("a scratch file can be written");
    let pages = scratch.join("pages");
    let mut command = Command::new("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory", &pages]);
    let (_server, address) = start_server(command, |command, port| {
        command.arg(port.to_string());
    });
    let script = format!(
        r#"
        function route(data, conn)
            local name = re.match([[^(\w+)\n]], data)
            if not name then return end
            local page, why = http_get("http://{address}/" .. name, {{ timeout = 20, max = 1000 }})
            if not page then return {{ close = why }} end
            if page.status ~= 200 then return {{ close = "status " .. page.status }} end
            return {{ remote = page.body }}
        end
        "#
    );
    let forwarder = start(&scratch, &script);
    expect_at(&forwarder, "one\n", &backend);
    let stranger = Peer::connect(forwarder.address());
    stranger.send(b"two\n");
    stranger.expect(b"status 404");
    fs::write(scratch.join("pages/long"), [b'a'; 1_001]).expect("a scratch file can be written");
    let greedy = Peer::connect(forwarder.address());
    greedy.send(b"long\n");
    greedy.expect(b"the body is longer than 1000 bytes");
}

#[test]
fn shards_count_together_and_a_reload_goes_on() {
    let scratch = Scratch::new();
    let script = |word: &str| {
        format!(
            "function on_connect(conn) return {{ close = '{word} ' .. shared.incr('n') .. '\\n' }} end function route() end"
        )
    };
    let forwarder = start(&scratch, &script("one"));
    let ask = || {
        let client = Peer::connect(forwarder.address());
        let said = client.receive_to_fin();
        String::from_utf8_lossy(&said).trim().to_owned()
    };
    let said: Vec<_> = (0..20).map(|_| ask()).collect();
    let expected: Vec<_> = (1..=20).map(|n| format!("one {n}")).collect();
    assert_eq!(said, expected, "whichever shard took the client");
    fs::write(scratch.join("route.lua"), script("two")).expect("a scratch file can be written");
    forwarder.signal(Signal::HUP);
    let mut last = 20;
    until("the new script answers", || {
        let said = ask();
        last += 1;
        let (word, n) = said.split_once(' ').expect("two words");
        assert_eq!(n, last.to_string(), "{said}");
        word == "two"
    });
}

#[test]
fn a_map_is_read_again_and_lines_are_told() {
    let scratch = Scratch::new();
    let (one, two) = (Backend::bind(), Backend::bind());
    let map = scratch.join("map.txt");
    fs::write(&map, format!("a {}\n", one.address())).expect("a scratch file can be written");
    let script = r#"
        local map = tables.load("map.txt")
        function route(data, conn)
            if not data:find("\n") then return end
            log("warning", "says " .. data)
            return { remote = map.a }
        end
        "#;
    let forwarder = start(&scratch, script);
    expect_at(&forwarder, "x\u{7}\n", &one);
    let line = forwarder.messages().expect("says x");
    assert!(line.contains("in: says x\\u{7}\\n"), "{line}");
    assert!(line.contains("session "), "{line}");
    // As an editor writes it: whole or not at all.
    let next = scratch.join("map.next");
    fs::write(&next, format!("a {}\n", two.address())).expect("a scratch file can be written");
    fs::rename(&next, &map).expect("a scratch file can be renamed");
    until("the new map is in use", || {
        let client = Peer::connect(forwarder.address());
        client.send(b"y\n");
        let mut is_new = false;
        until("somebody gets it", || {
            is_new = two.somebody_waits();
            is_new || one.somebody_waits()
        });
        is_new
    });
}

/// Runs `replug script test` with these words; its exit code, standard output and standard error.
fn try_script(scratch: &Scratch, script: &str, words: &[&str]) -> (i32, String, String) {
    let path = scratch.join("tried.lua");
    fs::write(&path, script).expect("a scratch file can be written");
    let ran = Command::new(REPLUG).args(["script", "test", &path]).args(words).output();
    let ran = ran.expect("replug runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ran.status.code().unwrap_or(-1), text(&ran.stdout), text(&ran.stderr))
}

#[test]
fn a_script_is_tried_on_the_command_line() {
    let scratch = Scratch::new();
    let script = "function route(data, conn)\n\
                  if #data < 4 then return end\n\
                  log('info', data .. ' for ' .. conn.listener .. ' from ' .. conn.peer)\n\
                  if data == 'fail' then error('oh') end\n\
                  if data == 'wait' then return end\n\
                  if data == 'name' then return { remote = dns('localhost')[1] .. ':80' } end\n\
                  return { pool = 'web', reply = '\\0', connect_timeout = 1 }\n\
                  end\n";
    let run = |words: &[&str]| try_script(&scratch, script, words);
    let place = ["--peer", "10.0.0.1:7", "--listener", "front"];
    let (code, out, log) = run(&[&["--data", r"\x61bcd\r", "--split", "1"][..], &place].concat());
    assert_eq!(code, 0, "{out}{log}");
    assert!(out.contains("decision            pool web\nreply               \\x00\n"), "{out}");
    assert!(out.contains("connect_timeout     1s\n"), "{out}");
    assert!(out.contains("after               4 of 5 bytes, asked 4 times\n"), "{out}");
    assert_eq!(log, "info: abcd for front from 10.0.0.1:7\n");
    let (code, out, _) = run(&["--data", "fail"]);
    assert_eq!(code, 1);
    assert!(out.starts_with("failure             ") && out.contains("tried.lua:4: oh\n"), "{out}");
    let (code, out, _) = run(&["--data", "wait", "--eof"]);
    assert_eq!(code, 1);
    assert!(out.contains("none: the client goes where it would go without a script"), "{out}");
    let (code, out, _) = run(&["--data", "wai"]);
    assert_eq!(code, 1);
    assert!(out.contains("none yet: the script waits for more"), "{out}");
    let (code, out, _) = run(&["--data", "name"]);
    assert_eq!(code, 0);
    assert!(out.contains("remote 127.0.0.1:80\n"), "{out}");
    let (code, out, _) = run(&["--data", "abcd", "--json"]);
    assert_eq!(code, 0);
    let start = r#"{"decision":"pool","pool":"web","reply":"\\x00","connect_timeout":"1s","bytes":4,"of":4,"#;
    assert!(out.starts_with(start) && out.contains(r#""level":"info""#), "{out}");
}

#[test]
fn what_cannot_be_tried() {
    let scratch = Scratch::new();
    let (code, _, told) = try_script(&scratch, "function route(", &[]);
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("tried.lua:1: "), "{told}");
    let (code, _, told) = try_script(&scratch, "tables.load('none')\nfunction route() end", &[]);
    assert_eq!(code, 3, "{told}");
    assert!(told.contains("tried.lua:1: tables.load: none: No such file"), "{told}");
    let (code, _, told) = try_script(&scratch, "function route() end", &["--data", r"\q"]);
    assert_eq!(code, 2, "{told}");
    let (code, _, told) = try_script(&scratch, "function route() end", &["--data-file", "/none"]);
    assert_eq!(code, 1, "{told}");
    for (name, words) in [("route.py", "ends in .lua or .rb"), ("none.rb", "No such file")] {
        let refused = Command::new(REPLUG).args(["script", "test", name]).output();
        let refused = refused.expect("replug runs");
        assert_eq!(refused.status.code(), Some(3), "{name}");
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(told.contains(words), "{told}");
    }
}
