//! Scripts that fail, and that nobody else suffers.

use rig::Backend;

use super::{Scripted, finish, goes_on};

/// A script whose clients say which of its faults they want to see.
fn faulty(backend: &Backend) -> String {
    format!(
        "local hoard = {{}}
        local function deep() return 1 + deep() end
        function route(data)
            if data == 'loop' then while true do end end
            if data == 'caught' then while true do pcall(function() while true do end end) end end
            if data == 'pattern' then return ('a'):rep(60000):find('.-.-.-.-b') end
            if data == 'memory' then while true do hoard[#hoard + 1] = ('x'):rep(9999) .. #hoard end end
            if data == 'deep' then return deep() end
            if data == 'error' then error('what a pity') end
            if data == 'nothing' then return {{}} end
            if data == 'pool' then return {{pool = 'nowhere'}} end
            return {{remote = '{}'}}
        end",
        backend.address()
    )
}

const FAULTS: [(&str, &str); 8] = [
    ("error", "route.lua:9: what a pity"),
    ("nothing", "decides nothing"),
    ("pool", "there is no pool `nowhere`"),
    ("loop", "it works for more than 300ms"),
    ("caught", "it works for more than 300ms"),
    ("pattern", "it works for more than 300ms"),
    ("memory", "it needs more than 16 MiB of memory"),
    ("deep", "stack overflow"),
];

#[test]
fn a_fault_ends_its_session_and_no_other() {
    let backend = Backend::bind();
    let scripted = Scripted::start(&faulty(&backend), "");
    let other = scripted.connect();
    other.send(b"hello");
    let peer = backend.accept();
    peer.expect(b"hello");
    for (fault, _) in FAULTS {
        let client = scripted.connect();
        client.send(fault.as_bytes());
        client.expect_reset();
        other.send(b"ping");
        peer.expect(b"ping");
        let next = scripted.connect();
        next.send(b"hello");
        goes_on(&next, &backend, b"hello");
    }
    finish(&other, &peer);
    let records = scripted.records(2 * FAULTS.len() + 1);
    let failed = records.iter().filter(|record| record.reason() == "script");
    assert!(failed.clone().all(|record| record.side() == "replug"));
    assert_eq!(failed.count(), FAULTS.len());
    let told = scripted.forwarder.messages().expect("fails");
    assert!(told.contains("its clients are turned away (1 times)"), "{told}");
    assert!(told.contains("what a pity"), "{told}");
}

#[test]
fn what_is_wrong_is_told() {
    let backend = Backend::bind();
    for (fault, expected) in FAULTS {
        let scripted = Scripted::start(&faulty(&backend), "");
        let client = scripted.connect();
        client.send(fault.as_bytes());
        client.expect_reset();
        scripted.forwarder.messages().expect(expected);
    }
}

#[test]
fn clients_may_go_on_without_a_script_that_fails() {
    let [backend, own] = [Backend::bind(), Backend::bind()];
    let keys = format!("script.on_error = \"default\"\nto = \"{}\"", own.address());
    let scripted = Scripted::start(&faulty(&backend), &keys);
    for fault in ["error", "loop", "memory"] {
        let client = scripted.connect();
        client.send(fault.as_bytes());
        goes_on(&client, &own, fault.as_bytes());
    }
    scripted.forwarder.messages().expect("its clients go on as without it");
}

#[test]
fn a_callback_that_fails_changes_nothing() {
    let dead = rig::Closed::bind();
    let script = format!(
        "function route() return {{remote = '{}'}} end
        function on_connect_error() error('oh') end",
        dead.address()
    );
    let scripted = Scripted::start(&script, "");
    let client = scripted.connect();
    client.send(b"hello");
    client.expect_reset();
    assert_eq!(scripted.reason(), "refused");
    scripted.forwarder.messages().expect("route.lua:2: oh");
}
