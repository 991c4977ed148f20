//! What a script decides by what the client says.

use std::time::Duration;

use rig::{Backend, Peer};

use super::{Scripted, finish, goes_on};

/// Time for the bytes of one packet to be read before the next ones come.
const PAUSE: Duration = Duration::from_millis(1);

#[test]
fn each_goes_where_its_first_line_says_however_it_comes() {
    let [a, b] = [Backend::bind(), Backend::bind()];
    let script = format!(
        "local to = {{a = '{}', b = '{}'}}
        function route(data)
            local name = data:match('^GO (%w+)\\r\\n')
            if name then return to[name] and {{remote = to[name]}} or {{close = 'who?\\n'}} end
            if #data > 20 then return {{close = true}} end
        end",
        a.address(),
        b.address()
    );
    let scripted = Scripted::start(&script, "");
    for (name, backend) in [("a", &a), ("b", &b)] {
        let hello = format!("GO {name}\r\nbody");
        for at in 0..hello.len() {
            let client = scripted.connect();
            client.send(&hello.as_bytes()[..at]);
            rig::wait::pause(PAUSE);
            client.send(&hello.as_bytes()[at..]);
            goes_on(&client, backend, hello.as_bytes());
        }
    }
    let client = scripted.connect();
    client.dribble(b"GO a\r\n", PAUSE);
    goes_on(&client, &a, b"GO a\r\n");
    let client = scripted.connect();
    client.send(b"GO nowhere\r\n");
    assert_eq!(client.receive_to_fin(), b"who?\n");
    let client = scripted.connect();
    client.send(b"something else entirely");
    client.expect_fin();
    let records = scripted.records(23);
    let ends = records[20..].iter().map(|record| (record.reason(), record.side()));
    let expected = [("done", "client"), ("script", "replug"), ("script", "replug")];
    assert_eq!(ends.collect::<Vec<_>>(), expected);
    assert_eq!(records[0].backend(), Some(&*a.address().to_string()));
    assert_eq!(records[0].field("pool"), "script");
    assert_eq!(records[22].backend(), None);
}

#[test]
fn data_replaces_what_was_said_and_a_reply_comes_first() {
    let backend = Backend::bind();
    let script = format!(
        "function route(data)
            if #data < 3 then return {{noop = true}} end
            return {{remote = '{}', data = data:gsub('%z', '<0>'), reply = 'ready\\0'}}
        end",
        backend.address()
    );
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.send(b"a\0b");
    client.expect(b"ready\0");
    client.send(b"later");
    goes_on(&client, &backend, b"a<0>blater");
    let nothing =
        format!("function route() return {{remote = '{}', data = ''}} end", backend.address());
    let scripted = Scripted::start(&nothing, "");
    let client = scripted.connect();
    client.send(b"CONNECT");
    let peer = backend.accept();
    peer.send(b"x");
    client.expect(b"x");
    finish(&client, &peer);
}

#[test]
fn every_byte_goes_through_a_script_unchanged() {
    let backend = Backend::bind();
    let script = format!(
        "function route(data) if #data >= 65536 then
            return {{remote = '{}', data = data, reply = data}} end end",
        backend.address()
    );
    let scripted = Scripted::start(&script, "sniff_bytes = \"64KiB\"");
    let all: Vec<u8> = (0..=255).collect();
    let hello = all.repeat(256);
    let client = scripted.connect();
    client.send(&hello);
    client.expect(&hello);
    goes_on(&client, &backend, &hello);
}

#[test]
fn a_greeting_comes_before_anybody_has_said_anything() {
    let backend = Backend::bind();
    let script = format!(
        "function on_connect(conn) conn.greeted = true return '220 ready\\r\\n' end
        function route(data, conn)
            assert(conn.greeted and conn.peer and conn.listener == 'in' and conn.id > 0)
            if data:find('\\n') then return {{remote = '{}'}} end
        end",
        backend.address()
    );
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.expect(b"220 ready\r\n");
    client.send(b"HELO\r\n");
    goes_on(&client, &backend, b"HELO\r\n");
    let at_once = format!(
        "function on_connect() return {{remote = '{}'}} end function route() end",
        backend.address()
    );
    let scripted = Scripted::start(&at_once, "");
    let client = scripted.connect();
    finish(&client, &backend.accept());
}

#[test]
fn without_a_decision_it_goes_where_it_would_go() {
    let [own, silent] = [Backend::bind(), Backend::bind()];
    let keys = format!(
        "to = \"{}\"\non_silence = \"silent\"\ntimeouts.sniff = \"400ms\"\n\
         [pool.silent]\nbackends = \"{}\"\n",
        own.address(),
        silent.address()
    );
    let script = "function route(data, conn)
            if data == 'pool' then return {pool = 'silent'} end
            if data == 'default' then return {default = true} end
            if conn.eof then assert(data == 'last') end
        end";
    let scripted = Scripted::start(script, &keys);
    let client = scripted.connect();
    client.send(b"pool");
    goes_on(&client, &silent, b"pool");
    let client = scripted.connect();
    client.send(b"default");
    goes_on(&client, &own, b"default");
    // Its stream has ended: there is nothing to wait for.
    let client = scripted.connect();
    client.send_with_fin(b"last");
    let peer = own.accept();
    peer.expect(b"last");
    peer.expect_fin();
    peer.send(b"answer");
    peer.half_close();
    assert_eq!(client.receive_to_fin(), b"answer");
    let client = scripted.connect();
    finish(&client, &silent.accept());
    let client = scripted.connect();
    client.send(b"never");
    client.expect_reset();
    assert_eq!(scripted.records(5)[4].reason(), "sniff_timeout");
}

#[test]
fn more_than_is_looked_at_goes_where_it_would_go() {
    let own = Backend::bind();
    let keys = format!("to = \"{}\"\nsniff_bytes = \"512B\"", own.address());
    let scripted = Scripted::start("function route() end", &keys);
    let client = scripted.connect();
    client.send(&[7; 600]);
    goes_on(&client, &own, &[7; 600]);
    let scripted = Scripted::start("function route() end", "sniff_bytes = \"512B\"");
    let client = scripted.connect();
    client.send(&[7; 512]);
    client.expect_reset();
    assert_eq!(scripted.reason(), "denied");
}

#[test]
fn routes_decide_first() {
    let [ssh, own] = [Backend::bind(), Backend::bind()];
    let keys = format!(
        "[[listener.in.route]]\nwhen = {{ client = \"127.0.0.9\" }}\npool = \"ssh\"\n\
         [[listener.in.route]]\nwhen = {{ protocol = \"ssh\" }}\npool = \"ssh\"\n\
         [pool.ssh]\nbackends = \"{}\"\n",
        ssh.address()
    );
    let script = format!(
        "function route(data) if #data > 7 then return {{remote = '{}'}} end end",
        own.address()
    );
    let scripted = Scripted::start(&script, &keys);
    let client = scripted.connect();
    client.dribble(b"SSH-2.0-x\r\n", PAUSE);
    goes_on(&client, &ssh, b"SSH-2.0-x\r\n");
    let client = scripted.connect();
    client.dribble(b"SSL?????", PAUSE);
    goes_on(&client, &own, b"SSL?????");
    let nine = "127.0.0.9".parse().expect("an address");
    let client = Peer::connect_from(nine, scripted.forwarder.address());
    finish(&client, &ssh.accept());
}
