//! Lines of clients and servers, as they are written and as they are not.

use super::*;
use proptest::prelude::*;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// What a client's line becomes with `ours`; the same line if it is none of an address.
fn sent(line: &[u8], ours: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match read_command(line) {
        Command::Active(active) => active.write(line, address(ours), &mut out),
        Command::Secure | Command::Other => out.extend_from_slice(line),
    }
    out
}

#[track_caller]
fn check_active(line: &str, expected: Option<&str>) {
    let read = match read_command(line.as_bytes()) {
        Command::Active(active) => Some(active.address),
        Command::Secure | Command::Other => None,
    };
    assert_eq!(read, expected.map(address), "{line:?}");
}

#[test]
fn addresses_of_clients() {
    check_active("PORT 10,0,0,9,195,80\r\n", Some("10.0.0.9:50000"));
    check_active("port  010,0,0,9,0,21  \n", Some("10.0.0.9:21"));
    check_active("EPRT |1|10.0.0.9|50000|\r\n", Some("10.0.0.9:50000"));
    check_active("eprt !2!2001:db8::9!50000!", Some("[2001:db8::9]:50000"));
    for line in [
        "PORT\r\n",
        "PORT 10,0,0,9,195\r\n",
        "PORT 10,0,0,9,195,80,1\r\n",
        "PORT 10,0,0,256,195,80\r\n",
        "PORT 10,0,0,9,0,0\r\n",
        "PORT 10, 0,0,9,195,80\r\n",
        "PORT 10.0.0.9:80\r\n",
        "EPRT |1|2001:db8::9|5|\r\n",
        "EPRT |3|10.0.0.9|5|\r\n",
        "EPRT |1|10.0.0.9|5\r\n",
        "EPRT |1|10.0.0.9|65536|\r\n",
        "EPRT |1|10.0.0.9|5|x|\r\n",
        "EPRT 1110.0.0.9151\r\n",
        "EPORT |1|10.0.0.9|5|\r\n",
        "RETR PORT 10,0,0,9,195,80\r\n",
        "",
    ] {
        check_active(line, None);
    }
}

#[test]
fn commands_are_written_with_all_around_them() {
    let cases: [(&[u8], &str, &[u8]); 6] = [
        (b"PORT 1,2,3,4,5,6\r\n", "10.0.0.1:258", b"PORT 10,0,0,1,1,2\r\n"),
        (b"port 1,2,3,4,5,6\n", "[::1]:258", b"EPRT |2|::1|258|\n"),
        (b"EPRT |1|1.2.3.4|5|\r\n", "10.0.0.1:258", b"EPRT |1|10.0.0.1|258|\r\n"),
        (b"EPRT |1|1.2.3.4|5|\r\n", "[::1]:258", b"EPRT |2|::1|258|\r\n"),
        (b"\xff\xf1PORT 1,2,3,4,5,6", "10.0.0.1:258", b"\xff\xf1PORT 10,0,0,1,1,2"),
        (b"\xff\xf4\xff\xf2ABOR\r\n", "10.0.0.1:258", b"\xff\xf4\xff\xf2ABOR\r\n"),
    ];
    for (line, ours, expected) in cases {
        assert_eq!(sent(line, ours), expected, "{line:?}");
    }
    let line = b"\xff\xfb\x01PORT 1,2,3,4,5,6\r\n";
    let Command::Active(active) = read_command(line) else { panic!("it is one") };
    let mut out = Vec::new();
    active.write_without(line, &mut out);
    assert_eq!(out, b"\xff\xfb\x01PORT\r\n");
    assert_eq!(read_command(b"auth tls\r\n"), Command::Secure);
    assert_eq!(read_command(b"EPSV ALL\r\n"), Command::Other);
}

/// What the lines of a server become for a client that is to connect to `ours`.
fn told(lines: &[&str], ours: &str) -> String {
    let mut replies = Replies::default();
    let mut out = Vec::new();
    for line in lines.iter().map(|line| line.as_bytes()) {
        match replies.read(line) {
            Reply::Passive(passive) => {
                if passive.write(line, address(ours), &mut out) == Written::Unsayable {
                    out.extend_from_slice(NO_DATA_CONNECTION);
                }
            }
            Reply::Secured => out.extend_from_slice(b"(secured)"),
            Reply::Other => out.extend_from_slice(line),
        }
    }
    String::from_utf8(out).expect("text")
}

#[track_caller]
fn check_told(line: &str, expected: &str) {
    assert_eq!(told(&[line], "10.0.0.1:258"), expected);
}

#[test]
fn addresses_of_servers() {
    check_told(
        "227 Entering Passive Mode (1,2,3,4,5,6).\r\n",
        "227 Entering Passive Mode (10,0,0,1,1,2).\r\n",
    );
    check_told("227 =1,2,3,4,5,6\n", "227 =10,0,0,1,1,2\n");
    check_told("227 use 1,2 or 1,2,3,4,5,6", "227 use 1,2 or 10,0,0,1,1,2");
    check_told("229 Ok (|||50001|)\r\n", "229 Ok (|||258|)\r\n");
    check_told("229 Ok (!!!50001!)\r\n", "229 Ok (!!!258!)\r\n");
    check_told("234 AUTH TLS OK.\r\n", "(secured)");
    for line in [
        "227 Entering Passive Mode\r\n",
        "227 (1,2,3,4,5)\r\n",
        "227 (1,2,3,4,0,0)\r\n",
        "229 (|||0|)\r\n",
        "229 (|||65536|)\r\n",
        "229 (|||5)\r\n",
        "229 (||5|)\r\n",
        "229 |||5|\r\n",
        "229 (",
        "226 see (1,2,3,4,5,6)\r\n",
        " 227 (1,2,3,4,5,6)\r\n",
        "22",
        "",
    ] {
        check_told(line, line);
    }
    let passive = "227 (1,2,3,4,5,6)\r\n";
    assert_eq!(told(&[passive], "[::1]:258").as_bytes(), NO_DATA_CONNECTION);
    assert_eq!(told(&["229 (|||5|)"], "[::1]:258"), "229 (|||258|)");
}

#[test]
fn lines_within_a_reply_are_left_alone() {
    let lines = [
        "211-Features:\r\n",
        " EPSV\r\n",
        "227 (1,2,3,4,5,6)\r\n",
        "211-227 (1,2,3,4,5,6)\r\n",
        "234 no\r\n",
        "211 End\r\n",
    ];
    let passive = "227 (1,2,3,4,5,6)\r\n";
    let all: Vec<_> = lines.into_iter().chain([passive]).collect();
    let expected = lines.concat() + "227 (10,0,0,1,1,2)\r\n";
    assert_eq!(told(&all, "10.0.0.1:258"), expected);
}

proptest! {
    /// Whatever is written reads back as what was meant.
    #[test]
    fn what_is_written_reads_back(ip in any::<IpAddr>(), port in 1u16.., bytes in "\\PC{0,9}") {
        let ours = SocketAddr::new(ip, port);
        for line in ["PORT 1,2,3,4,5,6\r\n", "EPRT |2|::1|5|\n"] {
            let sent = sent(line.as_bytes(), &ours.to_string());
            let Command::Active(active) = read_command(&sent) else { panic!("{sent:?}") };
            prop_assert_eq!(active.address, ours);
        }
        let line = format!("229 {} (|||5|){bytes}\r\n", bytes.replace('(', ""));
        let mut out = Vec::new();
        let Reply::Passive(passive) = Replies::default().read(line.as_bytes()) else {
            panic!("{line:?}")
        };
        prop_assert_eq!(passive.write(line.as_bytes(), ours, &mut out), Written::Whole);
        prop_assert_eq!(String::from_utf8(out), Ok(line.replace("(|||5|)", &format!("(|||{port}|)"))));
    }

    #[test]
    fn any_line_is_read(line in prop::collection::vec(any::<u8>(), 0..60), text in "(227|229|PORT|EPRT) [(|0-9,]{0,24}") {
        for line in [&line[..], text.as_bytes()] {
            let mut replies = Replies::default();
            let _ = (replies.read(line), read_command(line));
        }
    }
}
