//! Which pool a session goes to.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use rig::{Address, Backend, Forwarder, Peer, Scratch};

use crate::named::{Named, ask_from, finish};
use crate::path::REPLUG;

/// Starts replug with a file of this text.
fn start(text: &str) -> Forwarder {
    let scratch = Scratch::new();
    let path = scratch.join("replug.toml");
    let log = "[log]\nformat = \"json\"\nto = \"-\"\n";
    fs::write(&path, format!("{text}{log}")).expect("a scratch file can be written");
    Forwarder::start_command(Command::new(REPLUG).args(["run", "-c", &path]), 1)
}

#[test]
fn clients_go_where_the_first_matching_route_says() {
    let [own, office, lab] = ['O', 'F', 'L'].map(Named::start);
    let forwarder = start(&format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\nto = \"{}\"\n\
         [[listener.web.route]]\nwhen = {{ client = [\"127.0.2.0/24\", \"127.0.0.2\"] }}\npool = \"office\"\n\
         [[listener.web.route]]\nwhen = {{ client = \"127.0.0.0/30\" }}\npool = \"lab\"\n\
         [pool.office]\nbackends = \"{}\"\n[pool.lab]\nbackends = \"{}\"\n",
        own.target(),
        office.target(),
        lab.target(),
    ));
    for (client, letter) in
        [("127.0.0.2", 'F'), ("127.0.2.9", 'F'), ("127.0.0.3", 'L'), ("127.0.0.4", 'O')]
    {
        assert_eq!(ask_from(client, &forwarder), letter, "{client}");
    }
    let mut routes: Vec<_> = forwarder
        .records(4)
        .iter()
        .map(|record| (record.field("pool").clone(), record.backend().map(str::to_owned)))
        .collect();
    routes.sort_by_key(|(route, _)| route.to_string());
    let expected = [("lab", &lab), ("office", &office), ("office", &office), ("web", &own)];
    let expected = expected.map(|(route, named)| (route.into(), Some(named.target())));
    assert_eq!(routes, expected);
}

#[test]
fn the_address_that_a_client_came_to_chooses() {
    let [own, other] = ['O', 'A'].map(Named::start);
    let forwarder = start(&format!(
        "[listener.web]\nbind = \":0\"\nto = \"{}\"\n\
         [[listener.web.route]]\nwhen = {{ address = \"127.0.0.5\" }}\npool = \"other\"\n\
         [[listener.web.route]]\nwhen = {{ port = 1 }}\npool = \"other\"\n\
         [pool.other]\nbackends = \"{}\"\n",
        own.target(),
        other.target(),
    ));
    let Address::Tcp(bound) = forwarder.address() else { panic!("a TCP listener") };
    let ask_at = |host: &str| {
        let ip = host.parse().expect("an address");
        finish(&Peer::connect(&Address::Tcp(SocketAddr::new(ip, bound.port()))))
    };
    assert_eq!(ask_at("127.0.0.5"), 'A');
    assert_eq!(ask_at("127.0.0.1"), 'O');
    assert_eq!(ask_at("::1"), 'O');
}

#[test]
fn flows_go_by_the_same_routes() {
    let [own, office, here] = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let address = |socket: &UdpSocket| socket.local_addr().expect("an address").to_string();
    let forwarder = start(&format!(
        "[listener.dns]\nbind = \"udp://:0\"\nto = \"{}\"\n\
         [[listener.dns.route]]\nwhen = {{ client = \"127.0.0.2\" }}\npool = \"office\"\n\
         [[listener.dns.route]]\nwhen = {{ address = \"127.0.0.5\" }}\npool = \"here\"\n\
         [pool.office]\nbackends = \"{}\"\n[pool.here]\nbackends = \"{}\"\n",
        address(&own),
        address(&office),
        address(&here),
    ));
    let port = forwarder.address().port();
    for (client, to, backend) in [
        ("127.0.0.2", "127.0.0.1", &office),
        ("127.0.0.3", "127.0.0.5", &here),
        ("127.0.0.3", "127.0.0.1", &own),
    ] {
        let socket = UdpSocket::bind((client, 0)).expect("a port");
        socket.send_to(b"where", (to, port)).expect("it can be sent");
        backend.set_read_timeout(Some(rig::PATIENCE)).expect("a timeout");
        let mut bytes = [0; 16];
        let (length, _) = backend.recv_from(&mut bytes).expect("the datagram arrives");
        assert_eq!(&bytes[..length], b"where", "{client} to {to}");
    }
}

#[test]
fn a_route_does_not_lead_through_the_proxy_of_another_pool() {
    let direct = Named::start('D');
    let proxy = Backend::bind();
    let forwarder = start(&format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\nto = \"own.example:1\"\nvia = \"http://{proxy}\"\n\
         [[listener.web.route]]\nwhen = {{ client = \"127.0.0.2\" }}\npool = \"direct\"\n\
         [[listener.web.route]]\nwhen = {{ client = \"127.0.0.3\" }}\npool = \"far\"\n\
         [pool.direct]\nbackends = \"{}\"\n\
         [pool.far]\nbackends = \"far.example:2\"\nvia = \"http://{proxy}\"\n",
        direct.target(),
        proxy = proxy.address(),
    ));
    assert_eq!(ask_from("127.0.0.2", &forwarder), 'D');
    assert_eq!(forwarder.record().field("pool"), "direct");
    for (client, backend) in [("127.0.0.1", "own.example:1"), ("127.0.0.3", "far.example:2")] {
        let source = client.parse().expect("an address");
        let client = Peer::connect_from(source, forwarder.address());
        let peer = proxy.accept();
        peer.expect(format!("CONNECT {backend} HTTP/1.1\r\nHost: {backend}\r\n\r\n").as_bytes());
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello");
        client.expect(b"hello");
    }
}
