//! 13, 14, 23: syslog, the session file, debug lines.

use std::fs;

use rig::wait::until;
use rig::{Peer, Scratch};

use crate::start::{Logged, Plug, count, name};

/// 13: facility daemon, severity notice.
#[test]
fn t13_syslog() {
    let a = name('A');
    let logged = Logged::start(&["-l"], &[&a.address().to_string()]);
    assert_eq!(logged.plug.ask(), 'A');
    for expected in ["Plugdaemon started.", "Connect from 127.0.0.1 to 127.0.0.1", "Complete."] {
        assert_eq!(logged.next(), format!("<29>plug[PID]: (127.0.0.1 PORT): {expected}"));
    }
}

/// Sends 5,000 bytes and hears that they came.
#[track_caller]
fn send_5000(plug: &Plug) {
    let client = Peer::connect(&plug.address);
    client.send(&[b'x'; 5_000]);
    client.half_close();
    assert_eq!(client.receive_to_fin(), b"GOT 5000");
}

/// The line without what differs from run to run: its time, and how long the session took.
#[track_caller]
fn stable(line: &str, plug: &Plug) -> String {
    let (time, rest) = line.split_at(21);
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "[0000-00-00 00:00:00]", "{line}");
    let (rest, duration) = rest.rsplit_once(' ').expect("several fields");
    let micros: u64 = duration.parse().expect("the last field is a number");
    assert!((1..60_000_000).contains(&micros), "{line}");
    rest.replace(&format!("[{}]", plug.program.pid()), "[PID]")
}

/// 14: field by field.
#[test]
fn t14_the_session_file() {
    let scratch = Scratch::new();
    let file = scratch.join("sessions");
    let backend = count();
    let target = backend.address().to_string();
    let plug = Plug::start(&["-S", &file], &[&target]);
    send_5000(&plug);
    until("the line", || fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    let text = fs::read_to_string(&file).expect("the file");
    let expected = format!(" plug[PID] {} 127.0.0.1 {target} 5000 8", plug.address);
    assert_eq!(stable(text.trim_end(), &plug), expected);
}

/// 14: plug opens the file for each line, so whoever renames it need not tell.
#[test]
fn t14_a_session_file_that_is_renamed() {
    let scratch = Scratch::new();
    let (file, old) = (scratch.join("sessions"), scratch.join("old"));
    let backend = count();
    let plug = Plug::start(&["-S", &file], &[&backend.address().to_string()]);
    let lines = |file: &str| fs::read_to_string(file).unwrap_or_default().lines().count();
    send_5000(&plug);
    until("the first line", || lines(&file) == 1);
    fs::rename(&file, &old).expect("the file can be renamed");
    send_5000(&plug);
    until("the second line, in a new file", || lines(&file) == 1);
    fs::remove_file(&file).expect("the file can be removed");
    send_5000(&plug);
    until("the third line, in a new file", || lines(&file) == 1);
    assert_eq!(lines(&old), 1);
}

/// 13, 14: with both, each is told its part.
#[test]
fn t14_the_session_file_beside_syslog() {
    let scratch = Scratch::new();
    let file = scratch.join("sessions");
    let a = name('A');
    let logged = Logged::start(&["-l", "-S", &file], &[&a.address().to_string()]);
    assert_eq!(logged.plug.ask(), 'A');
    for expected in ["Plugdaemon started.", "Connect from 127.0.0.1 to 127.0.0.1", "Complete."] {
        assert_eq!(logged.next(), format!("<29>plug[PID]: (127.0.0.1 PORT): {expected}"));
    }
    until("the line", || fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    let text = fs::read_to_string(&file).expect("the file");
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// Without a session nothing is said at the terminal, syslog daemon or not.
#[test]
fn a_plug_that_has_nothing_to_say_says_nothing() {
    let a = name('A');
    let plug = Plug::start(&[], &[&a.address().to_string()]);
    assert_eq!(plug.ask(), 'A');
    assert_eq!(plug.program.stderr().so_far(), [""; 0]);
}

/// 14: without an address, a port stands for all.
#[test]
fn t14_to_standard_output() {
    let backend = count();
    let target = backend.address().to_string();
    let plug = Plug::start(&["-S", "-", "-i", "0.0.0.0"], &[&target]);
    send_5000(&plug);
    let line = plug.program.stdout().expect("plug[");
    let port = plug.address.port();
    let expected = format!(" plug[PID] {port} 127.0.0.1 {target} 5000 8");
    assert_eq!(stable(&line, &plug), expected);
}

/// 14: a session that reached no backend has no line.
#[test]
fn t14_what_has_no_line() {
    let backend = count();
    let dead = rig::Closed::bind();
    let targets = [dead.address().to_string(), backend.address().to_string()];
    let plug = Plug::start(&["-S-", "--no-retry"], &targets.each_ref().map(String::as_str));
    assert_eq!(plug.ask(), '-');
    send_5000(&plug);
    let line = plug.program.stdout().expect("plug[");
    assert!(line.contains(&targets[1]), "{line}");
    assert_eq!(plug.program.stdout().so_far().len(), 1);
}

/// 23.
#[test]
fn t23_debug_lines() {
    let a = name('A');
    let target = a.address().to_string();
    let plug = Plug::start(&["-dd"], &[&target]);
    assert_eq!(plug.ask(), 'A');
    let lines = plug.program.stderr();
    lines.expect("listening for new connections");
    lines.expect(&format!("to {target}."));
    lines.expect(&format!("connected proxy to {target}."));
    let end = lines.expect("completed");
    assert!(end.contains("died, status is 0"), "{end}");
}
