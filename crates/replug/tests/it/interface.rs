//! Clients that come by one network interface only.

use rig::{Address, Backend, Namespace, Peer, Program, Scratch};

use crate::file;
use crate::path::exchange;

/// Exit code: cannot listen, or not permitted.
const CANNOT_LISTEN: i32 = 4;

/// Two machines with two cables between them.
struct Machines {
    ours: Namespace,
    theirs: Namespace,
}

impl Machines {
    /// Ours is 10.77.0.1 by `a0` and 10.77.1.1 by `a1`; theirs are 10.77.0.2 and 10.77.1.2.
    #[track_caller]
    fn new() -> Self {
        let (ours, theirs) = (Namespace::new(), Namespace::new());
        for at in 0..2 {
            let other = theirs.name();
            ours.ip(&format!("link add a{at} type veth peer name b{at} netns {other}"));
            for (namespace, name, host) in [(&ours, "a", 1), (&theirs, "b", 2)] {
                namespace.ip(&format!("address add 10.77.{at}.{host}/24 dev {name}{at}"));
                namespace.ip(&format!("link set {name}{at} up"));
            }
        }
        Self { ours, theirs }
    }
}

/// Connects to `address` from there and exchanges some bytes.
#[track_caller]
fn check_served(from: &Namespace, address: &str, backend: &Backend) {
    from.inside(|| {
        let client = Peer::connect(&Address::parse(address));
        exchange(&client, &backend.accept(), 100_000);
    });
}

#[track_caller]
fn check_refused(from: &Namespace, address: &str) {
    from.inside(|| {
        let refused = Peer::try_connect(&Address::parse(address)).map(drop);
        let error = refused.expect_err("nobody listens there");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{address}: {error}");
    });
}

#[test]
fn clients_come_by_the_interface_that_was_given_and_by_no_other() {
    let Machines { ours, theirs } = Machines::new();
    let (backend, _forwarder) = ours.inside(|| {
        let backend = Backend::bind();
        let config = format!(
            "[listener.a]\nbind = \":8080\"\ninterface = \"a0\"\nto = \"{}\"\n",
            backend.address()
        );
        (backend, file::start(&config, 1))
    });
    check_served(&theirs, "10.77.0.1:8080", &backend);
    check_refused(&theirs, "10.77.1.1:8080");
    check_refused(&ours, "127.0.0.1:8080");
    check_refused(&ours, "10.77.1.1:8080");
}

#[test]
fn listeners_share_a_port_if_their_interfaces_differ() {
    let Machines { ours, theirs } = Machines::new();
    let (first, second, _forwarder) = ours.inside(|| {
        let (first, second) = (Backend::bind(), Backend::bind());
        let listener = |name: &str, backend: &Backend| {
            format!(
                "[listener.{name}]\nbind = \":8080\"\ninterface = \"{name}\"\nto = \"{}\"\n",
                backend.address()
            )
        };
        let config = format!("{}{}", listener("a0", &first), listener("a1", &second));
        let forwarder = file::start(&config, 2);
        (first, second, forwarder)
    });
    check_served(&theirs, "10.77.0.1:8080", &first);
    check_served(&theirs, "10.77.1.1:8080", &second);
}

#[test]
fn an_interface_that_is_not_there_is_told_at_the_start() {
    let scratch = Scratch::new();
    let config = "[listener.a]\nbind = [\"127.0.0.1:0\", \"[::1]:0\"]\ninterface = \"no-such-if\"\n\
                  to = \"127.0.0.1:1\"\n";
    let mut program = Program::start(&mut file::command(&scratch, config));
    program.expect_exit(CANNOT_LISTEN);
    let told = program.stderr().all_once_closed();
    let [line] = &*told else { panic!("one line: {told:#?}") };
    assert!(line.contains("there is no interface `no-such-if`; there are: lo"), "{line}");
}
