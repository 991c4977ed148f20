//! Programs that people use, through replug.
//!
//! They are installed by `./test`. One that is missing fails its test: a test that is left out
//! in silence tells nothing.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rig::wait::until;
use rig::{Address, Backend, Closed, Forwarder, Payload, Peer, Program, Scratch};

use crate::http;
use crate::path::REPLUG;

const GIB: usize = 1024 * 1024 * 1024;

#[test]
fn curl_downloads_and_uploads_a_gibibyte() {
    let server = Backend::bind().serve(http::serve);
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &server.address().to_string()]);
    let url = format!("http://{}/{GIB}", forwarder.address());

    let mut curl = piped(curl().arg(&url));
    let mut body = curl.stdout.take().expect("stdout is piped");
    expect_payload(&mut body, GIB);
    expect_success(curl, "curl");

    let mut curl = piped(curl_upload().arg(&url));
    let mut body = curl.stdin.take().expect("stdin is piped");
    thread::scope(|scope| {
        scope.spawn(move || write_payload(&mut body, GIB));
        let mut answer = String::new();
        let answers = curl.stdout.as_mut().expect("stdout is piped");
        answers.read_to_string(&mut answer).expect("curl answers in text");
        assert_eq!(answer, format!("{GIB} bytes as sent\n"));
    });
    expect_success(curl, "curl");

    for record in forwarder.records(2) {
        assert_eq!(record.reason(), "done");
    }
    let moved = forwarder.records(2);
    assert!(moved[0].bytes_to_client() > GIB as u64 && moved[1].bytes_to_backend() > GIB as u64);
}

pub(crate) fn curl() -> Command {
    let mut command = Command::new("curl");
    // No settings of the user, and nothing in between but replug.
    command.args(["--disable", "--silent", "--show-error", "--fail", "--noproxy", "*"]);
    command
}

fn curl_upload() -> Command {
    let mut command = curl();
    command.args(["--upload-file", "-"]);
    command
}

#[test]
fn git_clones() {
    let scratch = Scratch::new();
    let (served, repository, copy) =
        (scratch.join("served"), scratch.join("served/repository"), scratch.join("copy"));
    fs::create_dir(&served).expect("the folder is new");
    git(&scratch, &["init", "--quiet", &repository]);
    let content = Payload::new(20).take(20_000_000);
    fs::write(Path::new(&repository).join("content"), &content).expect("the folder is there");
    git(&scratch, &["-C", &repository, "add", "content"]);
    git(&scratch, &["-C", &repository, "commit", "--quiet", "--message", "content"]);

    let (_daemon, address) = git_daemon(&served);
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &address.to_string()]);
    let url = format!("git://{}/repository", forwarder.address());
    git(&scratch, &["clone", "--quiet", &url, &copy]);
    git(&scratch, &["-C", &copy, "fsck", "--full", "--strict"]);
    assert!(fs::read(Path::new(&copy).join("content")).expect("it was cloned") == content);
}

/// Serves the repositories in a folder.
pub(crate) fn git_daemon(served: &str) -> (Program, Address) {
    let folder = Program::run(Command::new("git").arg("--exec-path")).concat();
    let mut command = Command::new(Path::new(&folder).join("git-daemon"));
    command.args([
        "--export-all",
        "--reuseaddr",
        "--listen=127.0.0.1",
        &format!("--base-path={served}"),
    ]);
    start_server(command, |command, port| {
        command.arg(format!("--port={port}"));
    })
}

#[track_caller]
pub(crate) fn git(scratch: &Scratch, arguments: &[&str]) {
    let mut command = Command::new("git");
    // Whatever this machine's user has set, and whoever the repository belongs to.
    command.env("HOME", scratch.path()).env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "rig");
        command.env(format!("GIT_{role}_EMAIL"), "rig@localhost");
    }
    Program::run(command.args(arguments));
}

/// A server that lets its own user in, and the key for that. Needs root or an own user that may
/// log in.
pub(crate) fn sshd(scratch: &Scratch) -> (Program, Address, String) {
    let [host_key, user_key, config] = ["host", "user", "config"].map(|name| scratch.join(name));
    for key in [&host_key, &user_key] {
        Program::run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", key]));
    }
    let settings = format!(
        "HostKey {host_key}\nAuthorizedKeysFile {user_key}.pub\nListenAddress 127.0.0.1\n\
         PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n"
    );
    fs::write(&config, settings).expect("the folder is there");
    if rustix::process::geteuid().is_root() {
        // sshd(8) gives up its privileges into this folder.
        fs::create_dir_all("/run/sshd").expect("root may make it");
    }
    // It starts itself anew for each client, and wants to know where it is for that.
    let mut command = Command::new("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f", &config]);
    let (daemon, address) = start_server(command, |command, port| {
        command.args(["-p", &port.to_string()]);
    });
    (daemon, address, user_key)
}

/// A client with that key.
pub(crate) fn ssh(user_key: &str, port: u16) -> Command {
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-i", user_key, "-p", &port.to_string()]);
    for option in ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes"] {
        command.args(["-o", option]);
    }
    command
}

#[test]
fn ssh_copies() {
    let scratch = Scratch::new();
    let (_daemon, address, user_key) = sshd(&scratch);
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &address.to_string()]);

    let content = Payload::new(21).take(20_000_000);
    let (sent, received) = (scratch.join("sent"), scratch.join("received"));
    fs::write(&sent, &content).expect("the folder is there");
    let mut ssh = ssh(&user_key, forwarder.address().port())
        .args(["127.0.0.1", "cat"])
        .stdin(File::open(&sent).expect("it was written"))
        .stdout(File::create(&received).expect("the folder is there"))
        .spawn()
        .expect("ssh is missing; install it: ./test does");
    let status = ssh.wait().expect("our own child can be waited for");
    assert!(status.success(), "ssh ended with {status}");
    assert!(fs::read(&received).expect("it was written") == content);
}

#[test]
fn redis_serves_its_benchmark() {
    let scratch = Scratch::new();
    let (_server, address) = redis(&scratch);
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &address.to_string()]);
    let port = forwarder.address().port().to_string();
    let lines = Program::run(
        Command::new("redis-benchmark")
            .args(["-h", "127.0.0.1", "-p", &port, "-n", "20000", "-c", "50", "-P", "4"])
            .args(["-q", "-t", "set,get"]),
    );
    let results = lines.iter().filter(|line| line.contains("requests per second"));
    assert!(results.count() >= 2, "{lines:#?}");
}

/// A server that keeps nothing.
pub(crate) fn redis(scratch: &Scratch) -> (Program, Address) {
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.current_dir(scratch.path());
    start_server(command, |command, port| {
        command.args(["--port", &port.to_string()]);
    })
}

#[test]
fn iperf3_measures_both_directions() {
    let mut command = Command::new("iperf3");
    command.args(["--server", "--bind", "127.0.0.1"]);
    let (_server, address) = start_server(command, |command, port| {
        command.args(["--port", &port.to_string()]);
    });
    let forwarder = Forwarder::start(REPLUG, &["127.0.0.1:0", &address.to_string()]);
    let port = forwarder.address().port().to_string();
    for direction in [&["--parallel", "4"][..], &["--parallel", "4", "--reverse"]] {
        let mut command = Command::new("iperf3");
        command.args(["--client", "127.0.0.1", "--port", &port, "--bytes", "400M", "--json"]);
        let report = Program::run(command.args(direction)).concat();
        let report: serde_json::Value = serde_json::from_str(&report).expect("iperf3 tells JSON");
        let received = report["end"]["sum_received"]["bytes"].as_u64();
        // The server does not wait for what is still on its way when the client has sent all.
        assert!(received > Some(200_000_000), "{direction:?}: {received:?}");
    }
}

/// Starts a server that has to be told its port, and waits until it accepts.
#[track_caller]
pub(crate) fn start_server(
    mut command: Command,
    port: impl Fn(&mut Command, u16),
) -> (Program, Address) {
    let address = Closed::bind().address().clone();
    port(&mut command, address.port());
    let mut server = Program::start(&mut command);
    until("the server to accept", || {
        let ended = server.exit_status();
        assert!(ended.is_none(), "{server} ended: {ended:?}");
        Peer::try_connect(&address).is_ok()
    });
    (server, address)
}

fn piped(command: &mut Command) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is missing; install it: ./test does")
}

#[track_caller]
fn expect_success(mut child: Child, name: &str) {
    let status = child.wait().expect("our own child can be waited for");
    assert!(status.success(), "{name} ended with {status}");
}

#[track_caller]
fn expect_payload(from: &mut impl Read, length: usize) {
    let mut payload = Payload::new(http::SEED);
    let mut piece = vec![0; 256 * 1024];
    loop {
        match from.read(&mut piece).expect("a pipe can be read") {
            0 => break,
            count => payload.check(&piece[..count]).expect("each byte as it was sent"),
        }
    }
    assert_eq!(payload.position(), length as u64);
}

fn write_payload(to: &mut impl Write, length: usize) {
    let mut payload = Payload::new(http::SEED);
    let mut piece = vec![0; 256 * 1024];
    for _ in 0..length / piece.len() {
        payload.fill(&mut piece);
        to.write_all(&piece).expect("curl takes all of it");
    }
}
