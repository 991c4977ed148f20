//! Remotes that do not answer, and what a script does about them.

use rig::{Backend, Closed};

use super::{Scripted, finish, goes_on};

#[test]
fn the_first_that_can_be_reached_is_taken() {
    let [dead, alive] = [Closed::bind(), Closed::bind()];
    let script = format!(
        "function route() return {{remote = {{'no-such-host.invalid:1', '{}', 'localhost:{}'}}}} end",
        dead.address(),
        alive.address().port()
    );
    let scripted = Scripted::start(&script, "timeouts.connect = \"500ms\"");
    let name = format!("localhost:{}", alive.address().port());
    let alive = alive.open();
    let client = scripted.connect();
    client.send(b"hello");
    goes_on(&client, &alive, b"hello");
    let record = scripted.forwarder.record();
    assert_eq!((record.reason(), record.backend()), ("done", Some(&*name)));
    let attempts = record.attempts();
    assert_eq!(attempts.len(), 2, "{attempts:?}");
}

#[test]
fn who_cannot_be_reached_is_told_to_the_script_which_decides_anew() {
    let [dead, other] = [Closed::bind(), Backend::bind().close()];
    let other = other.open();
    let script = format!(
        "function route() return {{remote = '{dead}', reply = 'wait '}} end
        function on_connect_error(remote, conn)
            assert(conn.attempt == 1 and remote == '{dead}')
            return {{remote = '{}'}}
        end",
        other.address(),
        dead = dead.address(),
    );
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.send(b"hello");
    client.expect(b"wait ");
    goes_on(&client, &other, b"hello");
    assert_eq!(scripted.forwarder.record().attempts().len(), 1);
}

#[test]
fn a_remote_is_told_who_the_client_is() {
    let backend = Backend::bind();
    let script =
        format!("function route() return {{remote = '{}', proxy = 'v1'}} end", backend.address());
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.send(b"hello");
    let ports = (client.local_address().port(), scripted.forwarder.address().port());
    let header = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", ports.0, ports.1);
    goes_on(&client, &backend, &[header.as_bytes(), b"hello"].concat());
}

#[test]
fn a_script_may_ask_others_before_it_decides() {
    let backend = Backend::bind();
    let script = format!(
        "function route(data, conn)
            log('warning', 'asks for ' .. data)
            local addresses = assert(dns(data))
            shared.incr('asked', 1)
            return {{remote = addresses[1] .. ':{}', reply = tostring(shared.get('asked'))}}
        end",
        backend.address().port()
    );
    let scripted = Scripted::start(&script, "");
    for count in 1..=3 {
        let client = scripted.connect();
        client.send(b"localhost");
        client.expect(count.to_string().as_bytes());
        goes_on(&client, &backend, b"localhost");
    }
    scripted.forwarder.messages().expect("asks for localhost");
    let client = scripted.connect();
    client.send(b"no host");
    client.expect_reset();
    scripted.forwarder.messages().expect("route.lua:3: ");
}

#[test]
fn a_client_is_told_why_it_is_not_served() {
    let dead = Closed::bind();
    let script = format!(
        "function route() return {{remote = '{}', retries = 2}} end
        function on_connect_error(remote) return '503 ' .. remote end",
        dead.address()
    );
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.send(b"hello");
    assert_eq!(client.receive_to_fin(), format!("503 {}", dead.address()).into_bytes());
    let record = scripted.forwarder.record();
    assert_eq!((record.reason(), record.attempts().len()), ("script", 3));
    assert!(record.bytes_to_client() > 4);
}

#[test]
fn a_remote_that_comes_up_meanwhile_is_reached() {
    let dead = Closed::bind();
    let script = format!(
        "function route() return {{remote = '{}', retries = 100, reply = 'wait'}} end",
        dead.address()
    );
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.send(b"hello");
    client.expect(b"wait");
    let backend = dead.open();
    goes_on(&client, &backend, b"hello");
}

#[test]
fn without_a_callback_the_session_ends_as_any_other() {
    let dead = Closed::bind();
    let script = format!("function route() return {{remote = '{}'}} end", dead.address());
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.send(b"hello");
    client.expect_reset();
    assert_eq!(scripted.reason(), "refused");
}

#[test]
fn a_script_that_decides_again_and_again_is_stopped() {
    let dead = Closed::bind();
    let script = format!(
        "function route() return {{remote = '{dead}'}} end
        function on_connect_error() return {{remote = '{dead}'}} end",
        dead = dead.address()
    );
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.send(b"hello");
    client.expect_reset();
    let record = scripted.forwarder.record();
    assert_eq!((record.reason(), record.attempts().len()), ("script", 16));
    scripted.forwarder.messages().expect("it decides again and again");
}

#[test]
fn who_does_not_answer_in_time_is_replaced() {
    let [mute, other] = [Backend::bind(), Backend::bind()];
    let script = format!(
        "function route() return {{remote = '{}', inactivity_timeout = 0.05}} end
        function on_inactivity(remote, conn)
            assert(remote == '{}' and conn.attempt == 1)
            return {{remote = '{}', inactivity_timeout = 60}}
        end",
        mute.address(),
        mute.address(),
        other.address()
    );
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.send(b"hello");
    let peer = mute.accept();
    peer.expect(b"hello");
    goes_on(&client, &other, b"hello");
    peer.expect_reset();
    let record = scripted.forwarder.record();
    assert_eq!(record.backend(), Some(&*other.address().to_string()));
}

#[test]
fn nothing_that_came_later_goes_to_two_backends() {
    let mute = Backend::bind();
    let script = format!(
        "function route() return {{remote = '{}', inactivity_timeout = 0.3}} end
        function on_inactivity(remote) return {{remote = remote}} end",
        mute.address()
    );
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.send(b"hello");
    let peer = mute.accept();
    peer.expect(b"hello");
    client.send(b"more");
    peer.expect(b"more");
    client.expect_reset();
    peer.expect_reset();
    assert_eq!(scripted.reason(), "script");
    scripted.forwarder.messages().expect("`data` says what it gets");
}

#[test]
fn the_first_byte_ends_the_wait_for_it() {
    let backend = Backend::bind();
    let script = format!(
        "function route() return {{remote = '{}', inactivity_timeout = 0.1}} end
        function on_inactivity() return 'late' end",
        backend.address()
    );
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.send(b"hello");
    let peer = backend.accept();
    peer.expect(b"hello");
    assert_eq!(client.receive_to_fin(), b"late");
    peer.expect_reset();
    let client = scripted.connect();
    client.send(b"hello");
    let peer = backend.accept();
    peer.expect(b"hello");
    peer.send(b"x");
    client.expect(b"x");
    rig::wait::pause(std::time::Duration::from_millis(300));
    finish(&client, &peer);
    let reasons: Vec<_> =
        scripted.records(2).iter().map(|record| record.reason().to_owned()).collect();
    assert_eq!(reasons, ["script", "done"]);
}

#[test]
fn silence_without_a_callback_ends_the_session() {
    let backend = Backend::bind();
    let script = format!(
        "function route() return {{remote = '{}', inactivity_timeout = 0.1}} end",
        backend.address()
    );
    let scripted = Scripted::start(&script, "refuse = \"close\"");
    let client = scripted.connect();
    client.send(b"hello");
    let peer = backend.accept();
    peer.expect(b"hello");
    client.expect_fin();
    assert_eq!(scripted.reason(), "idle");
}

#[test]
fn a_remote_that_ends_before_its_first_byte_is_told_to_the_script() {
    let [short, told] = [Backend::bind(), Backend::bind()];
    let script = format!(
        "local count = 0
        function route(data)
            if data == 'count' then return {{close = tostring(count)}} end
            return {{remote = '{}'}}
        end
        function on_connect_error(remote) count += 1 return {{remote = '{}'}} end",
        short.address(),
        told.address()
    );
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.send(b"hello");
    let peer = short.accept();
    peer.expect(b"hello");
    peer.close();
    client.expect_fin();
    client.close();
    let client = scripted.connect();
    client.send(b"hello");
    let peer = short.accept();
    peer.expect(b"hello");
    peer.reset();
    client.expect_reset();
    let client = scripted.connect();
    client.send(b"count");
    assert_eq!(client.receive_to_fin(), b"2");
    assert!(!told.somebody_waits(), "it is too late for another");
}
