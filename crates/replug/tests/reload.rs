//! A configuration that changes while sessions run.

use std::fs;
use std::process::{Command, Output, Stdio};

use rig::{Address, Backend, Forwarder, Peer, Scratch, UdpBackend, UdpPeer};
use rustix::process::Signal;

#[path = "reload/load.rs"]
mod load;
#[path = "reload/storm.rs"]
mod storm;

/// A running replug and the file it was started with.
struct Rig {
    forwarder: Forwarder,
    scratch: Scratch,
}

impl Rig {
    /// Starts it with `text` and a socket for orders, and waits for `listeners` addresses.
    fn start(text: &str, listeners: usize) -> Self {
        Self::start_with(&[], text, listeners)
    }

    fn start_with(words: &[&str], text: &str, listeners: usize) -> Self {
        let scratch = Scratch::new();
        let path = scratch.join("replug.toml");
        write(&scratch, text);
        let mut command = Command::new(env!("CARGO_BIN_EXE_replug"));
        command.args(["run", "-c", &path]).args(words);
        let forwarder = Forwarder::start_command(&mut command, listeners);
        Self { forwarder, scratch }
    }

    fn write(&self, text: &str) {
        write(&self.scratch, text);
    }

    /// Has it read the file again, and waits until it says so.
    fn hang_up(&self, told: &str) -> String {
        self.forwarder.signal(Signal::HUP);
        self.forwarder.messages().expect(told)
    }

    fn reload(&self, words: &[&str]) -> Output {
        let path = self.scratch.join("replug.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_replug"));
        command.args(["reload", "-c", &path]).args(words).stdin(Stdio::null());
        command.output().expect("replug can be started")
    }

    /// Orders a reload; checks the exit code, and what stands on standard output and error.
    #[track_caller]
    fn check_reload(&self, words: &[&str], code: i32, stdout: &str, stderr: &[&str]) {
        let output = self.reload(words);
        let told = String::from_utf8(output.stderr).expect("messages are text");
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert_eq!(String::from_utf8(output.stdout).expect("data is text"), stdout, "{told}");
        for expected in stderr {
            assert!(told.contains(expected), "no {expected:?} in\n{told}");
        }
    }
}

/// Writes the file as editors do: no reader ever sees half of it.
fn write(scratch: &Scratch, text: &str) {
    let text = format!(
        "{text}\n[admin]\nbind = \"unix:{}\"\n[log]\nformat = \"json\"\nto = \"-\"\n",
        scratch.join("admin.sock")
    );
    let (draft, path) = (scratch.join("draft"), scratch.join("replug.toml"));
    fs::write(&draft, text).expect("a scratch file can be written");
    fs::rename(&draft, &path).expect("a scratch file can be renamed");
}

/// One listener that leads to `targets`; `more` stands in its table.
fn web(targets: &[&Backend], more: &str) -> String {
    let targets: Vec<_> = targets.iter().map(|backend| backend.address().to_string()).collect();
    format!("[listener.web]\nbind = \"127.0.0.1:0\"\nto = {targets:?}\n{more}\n")
}

/// A session from `from` to `to`, and that it carries bytes.
#[track_caller]
fn session(from: &Address, to: &Backend) -> (Peer, Peer) {
    let client = Peer::connect(from);
    let backend = to.accept();
    check_carries(&client, &backend);
    (client, backend)
}

#[track_caller]
fn check_carries(client: &Peer, backend: &Peer) {
    client.send(b"ask");
    backend.expect(b"ask");
    backend.send(b"answer");
    client.expect(b"answer");
}

#[test]
fn new_sessions_go_by_the_new_file_and_old_ones_go_on() {
    let [first, second] = [Backend::bind(), Backend::bind()];
    let rig = Rig::start(&web(&[&first], ""), 1);
    let address = rig.forwarder.address();
    let old = session(address, &first);
    rig.write(&web(&[&second], ""));
    let told = rig.hang_up("reloaded: ~ pool.web.backends");
    assert!(told.contains(&first.address().to_string()), "{told}");
    let new = session(address, &second);
    check_carries(&old.0, &old.1);
    check_carries(&new.0, &new.1);
    rig.hang_up("reloaded: nothing has changed");
}

#[test]
fn a_broken_file_changes_nothing_and_is_told() {
    let backend = Backend::bind();
    let rig = Rig::start(&web(&[&backend], ""), 1);
    // Once something has come through, all that stays open is open.
    drop(session(rig.forwarder.address(), &backend));
    rig.forwarder.record();
    let descriptors = rig.forwarder.descriptors();
    rig.write("[listener.web]\nbnid = \":1\"\nto = \"10.0.0.1:80000\"\n");
    let told = rig.hang_up("not reloaded, all is as it was");
    assert!(told.contains("replug.toml:"), "{told}");
    rig.check_reload(&[], 3, "", &["E0005", "did you mean `bind`?", "E0101"]);
    session(rig.forwarder.address(), &backend);
    rig.forwarder.expect_descriptors(descriptors);
}

#[test]
fn the_order_prints_the_difference() {
    let [first, second] = [Backend::bind(), Backend::bind()];
    let rig = Rig::start(&web(&[&first], ""), 1);
    rig.check_reload(&[], 0, "", &[]);
    rig.write(&web(&[&first, &second], "balance = \"first\""));
    let difference = format!(
        "~ pool.web.backends: + \"{}\"\n~ pool.web.balance: \"round-robin\" -> \"first\"\n",
        second.address()
    );
    rig.check_reload(&["--dry-run"], 0, &difference, &[]);
    rig.check_reload(&["--dry-run"], 0, &difference, &[]);
    rig.check_reload(&[], 0, &difference, &[]);
    rig.check_reload(&[], 0, "", &[]);
}

#[test]
fn an_address_that_cannot_be_had_changes_nothing() {
    let backend = Backend::bind();
    let rig = Rig::start(&web(&[&backend], ""), 1);
    let taken = Backend::bind();
    let other = format!(
        "[listener.other]\nbind = \"{}\"\nto = \"{}\"\n",
        taken.address(),
        backend.address()
    );
    rig.write(&(web(&[&backend], "balance = \"first\"") + &other));
    rig.check_reload(&["--dry-run"], 4, "", &["cannot listen on", "another process"]);
    rig.check_reload(&[], 4, "", &["cannot listen on", "another process"]);
    rig.write(&web(&[&backend], "balance = \"first\""));
    let difference = "~ pool.web.balance: \"round-robin\" -> \"first\"\n";
    rig.check_reload(&[], 0, difference, &[]);
    session(rig.forwarder.address(), &backend);
}

#[test]
fn listeners_come_and_go() {
    let backend = Backend::bind();
    let rig = Rig::start(&web(&[&backend], ""), 1);
    let scratch = rig.scratch.join("listener.sock");
    let unix = Address::parse(&format!("unix:{scratch}"));
    let both = web(&[&backend], "")
        + &format!("[listener.unix]\nbind = \"unix:{scratch}\"\npool = \"web\"\n");
    rig.write(&both);
    rig.check_reload(&[], 0, "+ listener.unix\n", &[]);
    let by_unix = session(&unix, &backend);
    session(rig.forwarder.address(), &backend);
    rig.write(&format!(
        "[listener.unix]\nbind = \"unix:{scratch}\"\nto = \"{}\"\n",
        backend.address()
    ));
    let output = rig.reload(&[]);
    assert_eq!(output.status.code(), Some(0));
    session(&unix, &backend);
    check_carries(&by_unix.0, &by_unix.1);
    assert!(Peer::try_connect(rig.forwarder.address()).is_err(), "nobody listens there");
    rig.write(&web(&[&backend], ""));
    assert_eq!(rig.reload(&[]).status.code(), Some(0));
    assert!(!fs::exists(&scratch).expect("the directory is there"), "the socket's file is gone");
    check_carries(&by_unix.0, &by_unix.1);
}

#[test]
fn sessions_of_a_removed_backend_end_as_the_pool_says() {
    for (on_removed, reason) in [("cut", "killed"), ("drain 50ms", "drained")] {
        let [first, second] = [Backend::bind(), Backend::bind()];
        let more = format!("on_removed = \"{on_removed}\"\nbalance = \"first\"\n");
        let rig = Rig::start(&web(&[&first, &second], &more), 1);
        let removed = session(rig.forwarder.address(), &first);
        rig.write(&web(&[&second], &more));
        assert_eq!(rig.reload(&[]).status.code(), Some(0));
        let stays = session(rig.forwarder.address(), &second);
        removed.0.expect_reset();
        removed.1.expect_reset();
        check_carries(&stays.0, &stays.1);
        assert_eq!(rig.forwarder.record().reason(), reason, "{on_removed}");
    }
}

#[test]
fn a_watched_file_is_read_again_by_itself() {
    let [first, second] = [Backend::bind(), Backend::bind()];
    let rig = Rig::start_with(&["--watch"], &web(&[&first], ""), 1);
    rig.write(&web(&[&second], ""));
    rig.forwarder.messages().expect("reloaded: ~ pool.web.backends");
    session(rig.forwarder.address(), &second);
    rig.write("[listener.web]\n");
    rig.forwarder.messages().expect("not reloaded");
    session(rig.forwarder.address(), &second);
}

#[test]
fn the_lists_of_a_file_are_read_again_too() {
    let backend = Backend::bind();
    let lists = Scratch::new();
    let list = lists.join("office.txt");
    let draft = lists.join("draft");
    let put = |text: &str| {
        fs::write(&draft, text).expect("a scratch file can be written");
        fs::rename(&draft, &list).expect("a scratch file can be renamed");
    };
    put("# The office.\n127.0.0.2 # one desk\n");
    let rig = Rig::start(&web(&[&backend], &format!("allow = \"file:{list}\"")), 1);
    let address = rig.forwarder.address();
    Peer::expect_turned_away(None, address);
    put("127.0.0.0/30\n");
    rig.hang_up("reloaded: ~ listener.web.allow: + \\\"127.0.0.0/30\\\" - \\\"127.0.0.2/32\\\"");
    session(address, &backend);
    put("127.0.0.0/33\n");
    let told = rig.hang_up("not reloaded, all is as it was");
    assert!(told.contains("office.txt:1:11"), "{told}");
    put("");
    rig.hang_up("names no range");
    session(address, &backend);
}

#[test]
fn a_list_of_clients_is_read_again_when_it_changes() {
    let backend = Backend::bind();
    let scratch = Scratch::new();
    let list = scratch.join("office.txt");
    fs::write(&list, "10.0.0.0/8\n").expect("a scratch file can be written");
    let rig = Rig::start(&web(&[&backend], &format!("allow = \"file:{list}\"")), 1);
    Peer::expect_turned_away(None, rig.forwarder.address());
    fs::write(&list, "10.0.0.0/8\n127.0.0.0/8\n").expect("a scratch file can be written");
    rig.forwarder.messages().expect("reloaded: ~ listener.web.allow");
    session(rig.forwarder.address(), &backend);
}

#[test]
fn orders_find_nobody_or_nothing_to_do() {
    let scratch = Scratch::new();
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_replug"));
        let output = command.args(words).output().expect("replug can be started");
        let told = String::from_utf8(output.stderr).expect("messages are text");
        (output.status.code(), told)
    };
    let path = scratch.join("replug.toml");
    write(&scratch, "[listener.a]\nbind = \":1\"\nto = \"10.0.0.1:80\"\n");
    let (code, told) = run(&["reload", "-c", &path]);
    assert!(code == Some(5) && told.contains("no replug runs with this socket"), "{told}");
    fs::write(&path, "[listener.a]\nbind = \":1\"\nto = \"10.0.0.1:80\"\n").expect("written");
    let (code, told) = run(&["reload", "-c", &path]);
    assert!(code == Some(5) && told.contains("has no [admin]"), "{told}");
    let (code, told) = run(&["reload", "--socket", "127.0.0.1:1"]);
    assert!(code == Some(2) && told.contains("not a unix socket"), "{told}");
    let (code, _) = run(&["reload", "-c", &scratch.join("missing")]);
    assert_eq!(code, Some(3));
}

/// A command line cannot be read again; the signal does what else it means.
#[test]
fn a_command_line_survives_a_hang_up() {
    let backend = Backend::bind();
    let target = backend.address().to_string();
    let forwarder = Forwarder::start(env!("CARGO_BIN_EXE_replug"), &["127.0.0.1:0", &target]);
    forwarder.signal(Signal::HUP);
    forwarder.messages().expect("SIGHUP: names are resolved again");
    session(forwarder.address(), &backend);
}

/// One UDP listener that leads to `target`; `more` stands in its table.
fn dns(target: &UdpBackend, more: &str) -> String {
    let target = target.target();
    format!("[listener.dns]\nbind = \"udp://127.0.0.1:0\"\nto = \"{target}\"\n{more}\n")
}

#[track_caller]
fn ask(client: &UdpPeer, rig: &Rig) -> Vec<u8> {
    client.ask(rig.forwarder.address().udp(), b"who?")
}

#[test]
fn flows_keep_their_backend_and_new_ones_get_the_new_one() {
    let [a, b] = ['A', 'B'].map(UdpBackend::named);
    let rig = Rig::start(&dns(&a, "on_removed = \"keep\""), 1);
    let client = UdpPeer::bind();
    assert_eq!(ask(&client, &rig), b"A");
    rig.write(&dns(&b, ""));
    rig.hang_up("reloaded: ");
    assert_eq!(ask(&client, &rig), b"A");
    assert_eq!(ask(&UdpPeer::bind(), &rig), b"B");
}

#[test]
fn flows_of_a_removed_backend_are_cut_if_so_wished() {
    let [a, b] = ['A', 'B'].map(UdpBackend::named);
    let rig = Rig::start(&dns(&a, "on_removed = \"cut\""), 1);
    let client = UdpPeer::bind();
    assert_eq!(ask(&client, &rig), b"A");
    rig.write(&dns(&b, ""));
    rig.hang_up("reloaded: ");
    assert_eq!(rig.forwarder.record().reason(), "killed");
    assert_eq!(ask(&client, &rig), b"B", "a client whose flow was cut has a new one");
}

#[test]
fn a_udp_listener_that_is_removed_serves_its_flows_until_they_end() {
    let (a, web_backend) = (UdpBackend::named('A'), Backend::bind());
    let both = format!("{}{}", dns(&a, "timeouts = { idle = \"1s\" }"), web(&[&web_backend], ""));
    let rig = Rig::start(&both, 2);
    let client = UdpPeer::bind();
    assert_eq!(ask(&client, &rig), b"A");
    rig.write(&web(&[&web_backend], ""));
    rig.hang_up("reloaded: ");
    assert_eq!(ask(&client, &rig), b"A");
    let late = UdpPeer::bind();
    late.send(rig.forwarder.address().udp(), b"who?");
    assert_eq!(rig.forwarder.record().reason(), "done");
    assert!(!late.has_something(), "a new flow began");
}

#[test]
fn logs_change_with_the_file_or_all_stays() {
    let backend = Backend::bind();
    let rig = Rig::start(&web(&[&backend], ""), 1);
    let (client, peer) = session(rig.forwarder.address(), &backend);
    let [new, path] = ["new.log", "replug.toml"].map(|name| rig.scratch.join(name));
    let before = fs::read_to_string(&path).expect("the file is there");
    let with = |logs: &str| {
        let head = before.split("[log]").next().expect("the log comes last");
        fs::write(&path, format!("{head}{logs}")).expect("a scratch file can be written");
    };

    with("[log]\nto = \"/no/such/directory/log\"\n");
    let told =
        "not reloaded, all is as it was: cannot open the log /no/such/directory/log: No such";
    assert!(rig.hang_up(told).contains("\"error\""));

    // What was there goes on, and another comes.
    with(&format!(
        "[[log]]\nformat = \"json\"\nto = \"-\"\n\
         [[log]]\nformat = \"json\"\nto = \"{new}\"\nstart = true\n",
    ));
    let difference = format!("+ log.\"-\"\n+ log.{new:?}\n- log\n");
    rig.check_reload(&["--dry-run"], 0, &difference, &[]);
    assert!(!std::path::Path::new(&new).exists(), "a dry run opens no log");
    rig.check_reload(&[], 0, &difference, &[]);
    let log = || fs::read_to_string(&new).unwrap_or_default();
    rig::wait::until("the new log", || log().contains("reloaded: + log"));
    let (second, other) = session(rig.forwarder.address(), &backend);
    rig::wait::until("a start", || log().contains("\"event\":\"start\""));
    for (client, peer) in [(client, peer), (second, other)] {
        client.half_close();
        peer.expect_fin();
        peer.half_close();
        client.expect_fin();
    }
    rig.forwarder.records(2);
    rig::wait::until("both ends", || log().matches("\"reason\":\"done\"").count() == 2);
}

/// Connections at a port of this machine, each with its class of traffic.
fn classes(port: u16) -> usize {
    let filter = format!("sport = :{port}");
    let shown = Command::new("ss")
        .args(["-HOtie", "--tos", "state", "established", &filter])
        .output()
        .expect("ss is there");
    let text = String::from_utf8(shown.stdout).expect("ss writes text");
    text.lines().filter(|line| line.contains("tos:0xb8")).count()
}

#[test]
fn options_of_sockets_change_on_the_port_that_there_is() {
    let backend = Backend::bind();
    let rig = Rig::start(&web(&[&backend], ""), 1);
    let port = rig.forwarder.address().port();
    let connect = || (Peer::connect(rig.forwarder.address()), backend.accept());
    let before = connect();
    rig.write(&web(&[&backend], "tcp.dscp = \"ef\""));
    rig.hang_up("reloaded: ~ listener.web.tcp.dscp");
    // Every shard has sockets with the new options, and none with the old.
    let after: Vec<_> = (0..8).map(|_| connect()).collect();
    assert_eq!(classes(port), after.len());
    for (client, peer) in after.iter().chain([&before]) {
        client.send(b"still here");
        peer.expect(b"still here");
    }
    rig.write(&web(&[&backend], "tcp.congestion = \"no-such\""));
    rig.check_reload(&[], 4, "", &["no congestion control `no-such`"]);
    let (client, peer) = connect();
    client.send(b"as before");
    peer.expect(b"as before");
    assert_eq!(classes(port), after.len() + 1);
}

#[test]
fn bandwidth_changes_for_sessions_that_come() {
    let backend = Backend::bind();
    let rig = Rig::start(&web(&[&backend], "limits.bandwidth = \"1KB/s\""), 1);
    let slow = (Peer::connect(rig.forwarder.address()), backend.accept());
    rig.write(&web(&[&backend], "limits.bandwidth = \"1GiB/s\""));
    rig.hang_up("reloaded: ~ listener.web.limits.bandwidth.to_backend");
    let fast = (Peer::connect(rig.forwarder.address()), backend.accept());
    // At the old rate this would take hours.
    std::thread::scope(|scope| {
        scope.spawn(|| fast.0.send_payload(&mut rig::Payload::new(1), 16 << 20));
        fast.1.expect_payload(&mut rig::Payload::new(1), 16 << 20);
    });
    slow.0.send(b"slow");
    slow.1.expect(b"slow");
}
