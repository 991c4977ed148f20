//! FTP: data connections follow what the control connection says, both ways, and nobody else does.
//!
//! The scripted cases have one control connection, in which server and client say line by line
//! what they like. In [`vsftpd`] real ones speak to each other.

mod vsftpd;

use std::net::SocketAddr;

use rig::wait::until;
use rig::{Address, Backend, Closed, Forwarder, Peer, figures};

use crate::file;

/// A control connection by way of replug.
struct Control {
    forwarder: Forwarder,
    client: Peer,
    server: Peer,
    _backend: Backend,
}

impl Control {
    #[track_caller]
    fn open(ftp: &str) -> Self {
        Self::open_at("127.0.0.1", ftp, "")
    }

    /// All addresses are `host`.
    #[track_caller]
    fn open_at(host: &str, ftp: &str, more: &str) -> Self {
        let backend = Backend::bind_to(&Address::parse(&format!("{host}:0")));
        let text = format!(
            "[listener.ftp]\nbind = \"{host}:0\"\nto = \"{}\"\nftp = {ftp}\n{more}\n",
            backend.address()
        );
        let forwarder = file::start(&text, 1);
        let client = Peer::connect(forwarder.address());
        let server = backend.accept();
        server.send(b"220 Here.\r\n");
        client.expect(b"220 Here.\r\n");
        Self { forwarder, client, server, _backend: backend }
    }

    /// The server waits at `data`; where the client is told to connect.
    #[track_caller]
    fn pasv(&self, data: &Address) -> SocketAddr {
        self.client.send(b"PASV\r\n");
        self.server.expect(b"PASV\r\n");
        self.server.send(format!("227 Entering Passive Mode ({}).\r\n", six(data)).as_bytes());
        let line = line(&self.client);
        let numbers = line.strip_prefix("227 Entering Passive Mode (").expect("a 227");
        of_six(numbers.strip_suffix(").\r\n").expect("the rest of the line"))
    }

    /// The client waits at `data`; where the server is told to connect.
    #[track_caller]
    fn port(&self, data: &Address) -> SocketAddr {
        self.client.send(format!("PORT {}\r\n", six(data)).as_bytes());
        let line = line(&self.server);
        of_six(line.strip_prefix("PORT ").expect("a PORT").trim_end())
    }

    /// Ends the control connection in good order.
    #[track_caller]
    fn quit(&self) {
        self.client.half_close();
        self.server.expect_fin();
        self.server.half_close();
        self.client.expect_fin();
    }
}

#[track_caller]
fn line(peer: &Peer) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\n") {
        bytes.extend(peer.receive(1));
    }
    String::from_utf8(bytes).expect("lines are text here")
}

fn six(address: &Address) -> String {
    let [high, low] = address.port().to_be_bytes();
    format!("127,0,0,1,{high},{low}")
}

#[track_caller]
fn of_six(text: &str) -> SocketAddr {
    let numbers: Vec<u8> = text.split(',').map(|n| n.parse().expect("a number")).collect();
    let [a, b, c, d, high, low] = numbers[..] else { panic!("six numbers, not {text}") };
    ([a, b, c, d], u16::from_be_bytes([high, low])).into()
}

fn connect(to: SocketAddr) -> Peer {
    Peer::connect(&Address::Tcp(to))
}

/// Bytes go both ways between `one` and `other`, and both end.
#[track_caller]
fn exchange(one: &Peer, other: &Peer) {
    one.send(b"there");
    other.expect(b"there");
    other.send(b"and back");
    one.expect(b"and back");
    one.half_close();
    other.expect_fin();
    other.half_close();
    one.expect_fin();
}

#[test]
fn a_client_reaches_the_data_port_of_the_server() {
    let control = Control::open("{}");
    let data = Backend::bind();
    let ours = control.pasv(data.address());
    assert_ne!(ours.port(), data.address().port());
    let client = connect(ours);
    let server = data.accept();
    // One connection was announced.
    until("the port to be closed", || !figures::is_listened_on(ours));
    assert!(Peer::try_connect(&Address::Tcp(ours)).is_err());
    exchange(&client, &server);
    let record = control.forwarder.record();
    assert_eq!((record.reason(), record.side()), ("done", "client"));
    assert_eq!((record.bytes_to_backend(), record.bytes_to_client()), (5, 8));
    assert_eq!(record.field("listener"), "ftp");
    control.quit();
    control.forwarder.records(2);
}

#[test]
fn a_server_reaches_the_data_port_of_the_client() {
    let control = Control::open("{}");
    let data = Backend::bind();
    let ours = control.port(data.address());
    assert_ne!(ours.port(), data.address().port());
    control.server.send(b"200 PORT command successful.\r\n");
    control.client.expect(b"200 PORT command successful.\r\n");
    let server = connect(ours);
    let client = data.accept();
    exchange(&server, &client);
    // Whoever has connected, bytes of the server are bytes to the client.
    let record = control.forwarder.record();
    assert_eq!((record.reason(), record.side()), ("done", "backend"));
    assert_eq!((record.bytes_to_backend(), record.bytes_to_client()), (8, 5));
    assert_eq!(record.client(), format!("127.0.0.1:{}", data.address().port()));
}

#[test]
fn both_sides_have_addresses_of_ipv6() {
    let control = Control::open_at("[::1]", "{}", "");
    let data = Backend::bind_to(&Address::parse("[::1]:0"));
    let port = data.address().port();
    control.server.send(format!("229 Extended (|||{port}|)\r\n").as_bytes());
    let told = line(&control.client);
    let ours = told.strip_prefix("229 Extended (|||").expect("a 229");
    let ours = ours.strip_suffix("|)\r\n").expect("the rest").parse().expect("a port");
    let client = connect(SocketAddr::new([0, 0, 0, 0, 0, 0, 0, 1].into(), ours));
    exchange(&client, &data.accept());

    control.client.send(format!("EPRT |2|::1|{port}|\r\n").as_bytes());
    let told = line(&control.server);
    let ours = told.strip_prefix("EPRT |2|::1|").expect("an EPRT");
    let ours = ours.strip_suffix("|\r\n").expect("the rest").parse().expect("a port");
    let server = connect(SocketAddr::new([0, 0, 0, 0, 0, 0, 0, 1].into(), ours));
    exchange(&server, &data.accept());
    control.forwarder.records(2);
}

#[test]
fn all_other_lines_stay_in_their_order_however_they_are_cut() {
    let control = Control::open("{}");
    let data = Backend::bind();
    let six = six(data.address());
    control.client.send(format!("NOOP\r\nPORT {six}\r\nLIST\r\nRET").as_bytes());
    control.server.expect(b"NOOP\r\nPORT ");
    let ours = of_six(line(&control.server).trim_end());
    control.server.expect(b"LIST\r\n");
    control.client.dribble(b"R a\r\n", std::time::Duration::from_millis(1));
    control.server.expect(b"RETR a\r\n");
    exchange(&connect(ours), &data.accept());

    let replies = format!("211-x\r\n227 ({six})\r\n211 y\r\n227 ({six})\r\n226 Done.\r\n");
    control.server.dribble(replies.as_bytes(), std::time::Duration::from_micros(100));
    control.client.expect(format!("211-x\r\n227 ({six})\r\n211 y\r\n227 (").as_bytes());
    let told = line(&control.client);
    exchange(&connect(of_six(told.strip_suffix(")\r\n").expect("the rest"))), &data.accept());
    control.client.expect(b"226 Done.\r\n");

    // What is no address of anybody is for the other side to judge.
    control.client.send(b"PORT\r\nPORT 1,2\r\nport\n");
    control.server.expect(b"PORT\r\nPORT 1,2\r\nport\n");
    control.server.send(b"227 Entering Passive Mode\r\n227 (1,2,3\r\n22");
    control.client.expect(b"227 Entering Passive Mode\r\n227 (1,2,3\r\n");
    control.server.half_close();
    control.client.expect(b"22");
    control.client.expect_fin();
}

#[test]
fn one_mode_leaves_the_other_alone() {
    let passive = Control::open("{ modes = [\"passive\"] }");
    let data = Backend::bind();
    assert_eq!(passive.port(data.address()).port(), data.address().port());
    assert_ne!(passive.pasv(data.address()).port(), data.address().port());
    let active = Control::open("{ modes = [\"active\"] }");
    assert_eq!(active.pasv(data.address()).port(), data.address().port());
    assert_ne!(active.port(data.address()).port(), data.address().port());
}

/// Neither can a stranger come in place of the client, nor is anybody sent to a stranger.
#[test]
fn a_third_party_has_no_part_in_it() {
    let control = Control::open("{}");
    let data = Backend::bind();
    let ours = control.pasv(data.address());
    let stranger = "127.0.0.2".parse().expect("an address");
    Peer::expect_turned_away(Some(stranger), &Address::Tcp(ours));
    exchange(&connect(ours), &data.accept());

    let [high, low] = data.address().port().to_be_bytes();
    control.client.send(format!("PORT 192,0,2,1,{high},{low}\r\n").as_bytes());
    let told = line(&control.server);
    let ours = of_six(told.strip_prefix("PORT ").expect("a PORT").trim_end());
    exchange(&connect(ours), &data.accept());
}

#[test]
fn a_data_port_that_nobody_comes_to_is_closed_with_its_session() {
    let control = Control::open("{}");
    let data = Backend::bind();
    let first = control.pasv(data.address());
    let second = control.pasv(data.address());
    until("the first to be given up", || !figures::is_listened_on(first));
    assert!(figures::is_listened_on(second));
    control.quit();
    until("the second to be given up", || !figures::is_listened_on(second));
}

#[test]
fn a_data_connection_outlives_its_control_connection() {
    let control = Control::open("{}");
    let data = Backend::bind();
    let client = connect(control.pasv(data.address()));
    let server = data.accept();
    control.quit();
    exchange(&client, &server);
}

#[test]
fn ports_are_of_the_range_and_there_may_be_none() {
    let (one, two) = (Closed::bind(), Closed::bind());
    let port = one.address().port();
    drop(one);
    let control = Control::open(&format!("{{ ports = \"{port}\" }}"));
    let data = Backend::bind();
    assert_eq!(control.pasv(data.address()).port(), port);
    // The next one takes the place of the one before.
    assert_eq!(control.pasv(data.address()).port(), port);

    let taken = two.open();
    let control = Control::open(&format!("{{ ports = \"{}\" }}", taken.address().port()));
    control.server.send(format!("227 ({})\r\n226 x\r\n", six(data.address())).as_bytes());
    control.client.expect(b"425 Can't open data connection.\r\n226 x\r\n");
    control.client.send(format!("PORT {}\r\nQUIT\r\n", six(data.address())).as_bytes());
    control.server.expect(b"PORT\r\nQUIT\r\n");
    control.forwarder.messages().expect("nothing can be opened for data connections of ftp");
}

#[test]
fn what_is_encrypted_passes_as_it_is() {
    let control = Control::open("{}");
    let data = Backend::bind();
    let passive = format!("227 ({})\r\n", six(data.address()));
    control.server.send(b"234 not asked for\r\n");
    control.client.expect(b"234 not asked for\r\n");
    control.client.send(b"AUTH TLS\r\n");
    control.server.expect(b"AUTH TLS\r\n");
    control.server.send(format!("234 Go.\r\n{passive}\x16no line").as_bytes());
    control.client.expect(format!("234 Go.\r\n{passive}\x16no line").as_bytes());
    let active = format!("PORT {}\r\nno line", six(data.address()));
    control.client.send(active.as_bytes());
    control.server.expect(active.as_bytes());
    control.forwarder.messages().expect("a control connection of ftp is encrypted");

    let implicit = Control::open("{}");
    implicit.client.send(b"\x16\x03\x01no line");
    implicit.server.expect(b"\x16\x03\x01no line");
    implicit.server.send(b"\x16no line");
    implicit.client.expect(b"\x16no line");
}

#[test]
fn a_data_connection_that_leads_nowhere_is_turned_away_and_told() {
    let control = Control::open("{}");
    let dead = Closed::bind();
    let ours = control.pasv(dead.address());
    Peer::expect_turned_away(None, &Address::Tcp(ours));
    let record = control.forwarder.record();
    assert_eq!((record.reason(), record.side()), ("refused", "backend"));
}

/// Each data connection is a session of its listener.
#[test]
fn limits_of_the_listener_hold_for_data_connections() {
    let control = Control::open_at("127.0.0.1", "{}", "limits = { per_client = 2 }");
    let data = Backend::bind();
    let client = connect(control.pasv(data.address()));
    let server = data.accept();
    let ours = control.pasv(data.address());
    Peer::expect_turned_away(None, &Address::Tcp(ours));
    assert_eq!(control.forwarder.record().reason(), "limited");
    exchange(&client, &server);
}
