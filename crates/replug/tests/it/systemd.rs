//! The service manager: what it is told, and the sockets that it hands over.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;

use rig::wait::until;
use rig::{Address, Closed, Forwarder, PATIENCE, Peer, Program, Scratch};
use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::named::{Named, ask, ask_times, finish};
use crate::path::REPLUG;

/// The manager's end of the protocol.
struct Manager {
    socket: UnixDatagram,
    scratch: Scratch,
}

impl Manager {
    fn start() -> Self {
        let scratch = Scratch::new();
        let socket = UnixDatagram::bind(scratch.join("notify")).expect("a new socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
        Self { socket, scratch }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(REPLUG);
        command.env("NOTIFY_SOCKET", self.scratch.join("notify"));
        command
    }

    /// The next thing that it is told.
    #[track_caller]
    fn next(&self) -> Vec<String> {
        let mut told = [0; 4096];
        let length = self.socket.recv(&mut told).expect("to be told something");
        let text = String::from_utf8(told[..length].to_vec()).expect("it is text");
        text.lines().map(str::to_owned).collect()
    }

    /// The next thing but pings.
    #[track_caller]
    fn expect(&self, line: &str) -> Vec<String> {
        loop {
            let told = self.next();
            if told != ["WATCHDOG=1"] {
                assert_eq!(told[0], line, "{told:?}");
                return told;
            }
        }
    }
}

#[test]
fn the_manager_is_told_how_things_are() {
    let manager = Manager::start();
    let a = Named::start('A');
    let mut command = manager.command();
    let mut forwarder = Forwarder::start_command(command.args(["127.0.0.1:0", &a.target()]), 1);
    let told = manager.expect("READY=1");
    assert!(told[1].starts_with("STATUS=") && told.len() == 2, "{told:?}");
    assert_eq!(ask(&forwarder), 'A');

    forwarder.signal(Signal::HUP);
    let told = manager.expect("RELOADING=1");
    let time = told[1].strip_prefix("MONOTONIC_USEC=").and_then(|time| time.parse::<u64>().ok());
    assert!(time.is_some(), "{told:?}");
    manager.expect("READY=1");

    forwarder.signal(Signal::TERM);
    manager.expect("STOPPING=1");
    forwarder.program_mut().expect_exit(0);
}

#[test]
fn the_watchdog_is_pinged_twice_in_its_time() {
    let manager = Manager::start();
    let a = Named::start('A');
    let mut command = manager.command();
    command.env("WATCHDOG_USEC", "100000").args(["127.0.0.1:0", &a.target()]);
    let forwarder = Forwarder::start_command(&mut command, 1);
    manager.expect("READY=1");
    for _ in 0..5 {
        assert_eq!(manager.next(), ["WATCHDOG=1"]);
    }
    assert_eq!(ask(&forwarder), 'A');
}

#[test]
fn a_daemon_tells_the_manager_who_it_is() {
    let manager = Manager::start();
    let a = Named::start('A');
    let (pid, log) = (manager.scratch.join("pid"), manager.scratch.join("log"));
    let reserved = Closed::bind();
    let listen = reserved.address().to_string();
    let mut command = manager.command();
    command.args(["--daemon", "--pidfile", &pid, "--log-to", &log, &listen, &a.target()]);
    Program::run(&mut command);
    let daemon = Daemon::of(&pid);
    let told = manager.expect("READY=1");
    assert_eq!(told[1], format!("MAINPID={}", daemon.pid()));
}

#[test]
fn a_manager_that_cannot_be_told_is_no_reason_not_to_serve() {
    let a = Named::start('A');
    let mut command = Command::new(REPLUG);
    command.env("NOTIFY_SOCKET", "/no/such/socket").args(["127.0.0.1:0", &a.target()]);
    let forwarder = Forwarder::start_command(&mut command, 1);
    forwarder.messages().expect("NOTIFY_SOCKET");
    assert_eq!(ask(&forwarder), 'A');
}

/// Starts replug with `socket` as what a manager hands over, under each of `names`.
#[track_caller]
fn activated(socket: impl Into<OwnedFd>, names: &[&str], words: &[&str]) -> Program {
    const SCRIPT: &str = "exec 3<&0 4<&0 </dev/null; \
                          LISTEN_PID=$$ LISTEN_FDS=$1 LISTEN_FDNAMES=$2; \
                          export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES; shift 2; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh", &names.len().to_string(), &names.join(":"), REPLUG]);
    Program::start_on(command.args(words), socket.into())
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    (listener, address)
}

#[test]
fn sockets_are_found_by_name_and_shared_by_all_shards() {
    let (socket, address) = listener();
    let a = Named::start('A');
    let words = ["--shards", "3", "systemd:web", &a.target()];
    let mut forwarder = Forwarder::of(activated(socket, &["web"], &words), 1);
    assert_eq!(forwarder.address().to_string(), address);
    assert_eq!(ask_times(20, &forwarder), "A".repeat(20));
    forwarder.signal(Signal::TERM);
    forwarder.program_mut().expect_exit(0);
}

#[test]
fn a_bind_of_the_same_address_takes_the_socket() {
    let (socket, address) = listener();
    let a = Named::start('A');
    // Bound anew it would be refused: the test holds that socket as a manager does.
    let held = socket.try_clone().expect("a descriptor is left");
    let forwarder =
        Forwarder::of(activated(socket, &["replug.socket"], &[&address, &a.target()]), 1);
    assert_eq!(ask(&forwarder), 'A');
    drop(forwarder);
    // Not closed with replug: who comes now waits for the next one.
    let client = Peer::connect(&Address::parse(&address));
    let forwarder = Forwarder::of(activated(held, &["replug.socket"], &[&address, &a.target()]), 1);
    assert_eq!(finish(&client), 'A');
    drop(forwarder);
}

#[test]
fn a_unix_socket_stays_where_it_is() {
    let scratch = Scratch::new();
    let path = scratch.join("socket");
    let socket = UnixListener::bind(&path).expect("a new socket");
    let a = Named::start('A');
    let words = [&format!("unix:{path}"), &*a.target()];
    let mut forwarder = Forwarder::of(activated(socket, &["x"], &words), 1);
    assert_eq!(ask(&forwarder), 'A');
    forwarder.signal(Signal::TERM);
    forwarder.program_mut().expect_exit(0);
    assert!(fs::exists(&path).expect("the folder is there"), "it is the manager's to remove");
}

#[test]
fn sockets_that_nobody_uses_are_told() {
    let (socket, address) = listener();
    let a = Named::start('A');
    let words = ["systemd:web", &*a.target()];
    let forwarder = Forwarder::of(activated(socket, &["web", "spare"], &words), 1);
    forwarder.messages().expect(&format!("`spare` ({address})"));
    assert_eq!(ask(&forwarder), 'A');
}

#[test]
fn sockets_that_cannot_be_used_are_refused() {
    let refuses = |program: &mut Program, code, told: &str| {
        program.expect_exit(code);
        program.stderr().expect(told);
    };
    let mut program = Program::start(Command::new(REPLUG).args(["systemd:web", "127.0.0.1:1"]));
    refuses(&mut program, 4, "cannot listen on systemd:web: no socket was handed over");

    let words = ["systemd:web", "127.0.0.1:1"];
    let mut program = activated(listener().0, &["wbe"], &words);
    refuses(&mut program, 4, "those there are: wbe");

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    refuses(&mut activated(socket, &["web"], &words), 4, "datagrams");

    let (socket, _) = listener();
    let client = TcpStream::connect(socket.local_addr().expect("it is bound"));
    let client = client.expect("somebody listens");
    refuses(&mut activated(client, &["web"], &words), 4, "Accept=no");

    let words = ["--daemon", "--log-to", "/dev/null", "systemd:web", "127.0.0.1:1"];
    refuses(&mut activated(listener().0, &["web"], &words), 2, "--daemon");
}

/// systemd's own launcher, with two sockets of one name and one of another.
#[test]
fn systemd_itself_hands_its_sockets_over() {
    let scratch = Scratch::new();
    let [a, b] = ['A', 'B'].map(Named::start);
    let ports = [Closed::bind(), Closed::bind(), Closed::bind()];
    let [one, two, three] = ports.map(|port| port.address().to_string());
    let path = scratch.join("replug.toml");
    let text = format!(
        "[listener.a]\nbind = \"systemd:a\"\nto = \"{}\"\n\
         [listener.b]\nbind = \"{three}\"\nto = \"{}\"\n",
        a.target(),
        b.target()
    );
    fs::write(&path, text).expect("a scratch file can be written");
    let mut command = Command::new("systemd-socket-activate");
    command.args(["-l", &one, "-l", &two, "-l", &three, "--fdname=a:a:b"]);
    let program = Program::start(command.args([REPLUG, "run", "-c", &path]));
    until("it to listen", || rig::figures::is_listened_on(Address::parse(&three).tcp()));
    // The first client is what starts replug.
    assert_eq!(finish(&Peer::connect(&Address::parse(&one))), 'A');
    let forwarder = Forwarder::of(program, 3);
    assert_eq!(finish(&Peer::connect(&Address::parse(&two))), 'A');
    assert_eq!(finish(&Peer::connect(&Address::parse(&three))), 'B');
    drop(forwarder);
}

#[test]
fn a_reload_takes_sockets_that_were_not_used_before() {
    let scratch = Scratch::new();
    let (socket, address) = listener();
    let [a, b] = ['A', 'B'].map(Named::start);
    let path = scratch.join("replug.toml");
    let write = |bind: &str, backend: &Named| {
        let text = format!("[listener.a]\nbind = \"{bind}\"\nto = \"{}\"\n", backend.target());
        fs::write(&path, text).expect("a scratch file can be written");
    };
    write("127.0.0.1:0", &a);
    let forwarder = Forwarder::of(activated(socket, &["web"], &["run", "-c", &path]), 1);
    forwarder.messages().expect("no listener uses it");
    write("systemd:web", &b);
    forwarder.signal(Signal::HUP);
    forwarder.messages().expect(&format!("listens on {address}"));
    let socket = Address::parse(&address);
    assert_eq!(finish(&Peer::connect(&socket)), 'B');
    // The same socket under its other name.
    write(&address, &a);
    forwarder.signal(Signal::HUP);
    forwarder.messages().expect_count(2, |line| line.contains(&format!("listens on {address}")));
    until("the new backend to serve", || finish(&Peer::connect(&socket)) == 'A');
}

#[test]
fn the_units_are_sound() {
    let units = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging");
    let scratch = Scratch::new();
    let [service, socket] = ["replug.service", "replug.socket"].map(|unit| {
        let text = fs::read_to_string(format!("{units}/{unit}")).expect("the unit is there");
        let path = scratch.join(unit);
        // What is verified is whether that program is there, too.
        fs::write(&path, text.replace("/usr/bin/replug", REPLUG)).expect("it is ours");
        path
    });
    let mut command = Command::new("systemd-analyze");
    command.args(["verify", "--man=no", "--recursive-errors=no", &service, &socket]);
    let mut program = Program::start(&mut command);
    program.expect_exit(0);
    assert_eq!(program.stderr().all_once_closed(), [""; 0]);
}
