//! vsftpd behind two replugs, with curl and lftp before them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Closed, Forwarder, Payload, Peer, Program, Scratch};

use crate::file;

/// Large enough to be spliced.
const BYTES: usize = 3_000_000;

/// A server with a file to get and a folder to put files into, and the way to it.
struct Server {
    /// Beside the client: the first replug.
    address: Address,
    first: Forwarder,
    second: Forwarder,
    scratch: Scratch,
    content: Vec<u8>,
    _program: Program,
    _port: Closed,
}

impl Server {
    #[track_caller]
    fn start(host: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "run this test as root: vsftpd wants to");
        let scratch = Scratch::new();
        let (root, inbox) = (scratch.join("ftp"), scratch.join("ftp/in"));
        for folder in [&root, &inbox, &scratch.join("empty")] {
            fs::create_dir(folder).expect("a new folder");
        }
        for folder in [scratch.path(), Path::new(&root), Path::new(&inbox)] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        let ftp = user("ftp");
        chown(&inbox, Some(ftp), Some(ftp)).expect("root may");
        let content = Payload::new(21).take(BYTES);
        fs::write(format!("{root}/file"), &content).expect("a new file");

        let port = Closed::bind_to(&Address::parse(&format!("{host}:0")));
        let listen = match host.starts_with('[') {
            false => "listen=YES\nlisten_address=127.0.0.1",
            true => "listen_ipv6=YES\nlisten_address6=::1",
        };
        // Without namespaces of its own for each client: they are dear where many are made, and what
        // it says about one that it did not get stands where its greeting should.
        let settings = scratch.join("vsftpd.conf");
        let text = format!(
            "{listen}\nlisten_port={}\nbackground=NO\nanonymous_enable=YES\nno_anon_password=YES\n\
             anon_root={root}\nanon_upload_enable=YES\nwrite_enable=YES\nanon_umask=022\n\
             anon_world_readable_only=NO\nconnect_from_port_20=NO\nseccomp_sandbox=NO\n\
             isolate=NO\nisolate_network=NO\n\
             secure_chroot_dir={}\n",
            port.address().port(),
            scratch.join("empty"),
        );
        fs::write(&settings, text).expect("a new file");
        let program = Program::start(Command::new("vsftpd").arg(&settings));
        until("vsftpd to listen", || Peer::try_connect(port.address()).is_ok());
        let before = |target: &Address| {
            let text =
                format!("[listener.ftp]\nbind = \"{host}:0\"\nto = \"{target}\"\nftp = {{}}\n");
            file::start(&text, 1)
        };
        let second = before(port.address());
        let first = before(second.address());
        let address = first.address().clone();
        Self { address, first, second, scratch, content, _program: program, _port: port }
    }

    fn url(&self, path: &str) -> String {
        format!("ftp://{}/{path}", self.address)
    }

    /// Runs a client; each of `files` is what it was to get or to put.
    #[track_caller]
    fn expect(&self, command: &mut Command, files: &[&str]) {
        let output = command.current_dir(self.scratch.path()).output();
        let output = output.expect("it is installed by ./test");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {told}");
        for file in files {
            let file = self.scratch.join(file);
            // The server may still be writing when the client has its answer.
            until(&file, || fs::read(&file).is_ok_and(|bytes| bytes == self.content));
            fs::remove_file(&file).expect("root may");
        }
    }

    #[track_caller]
    fn curl(&self, options: &[&str]) {
        let mut get = curl(options);
        self.expect(get.args(["--output", "got"]).arg(self.url("file")), &["got"]);
        let mut put = curl(options);
        let put = put.args(["--upload-file", "ftp/file"]).arg(self.url("in/put"));
        self.expect(put, &["ftp/in/put"]);
    }

    #[track_caller]
    fn lftp(&self, is_passive: bool) {
        let script = format!(
            "set net:max-retries 1; set net:timeout 10; set ftp:ssl-allow no; \
             set ftp:passive-mode {is_passive}; open {}; get file -o got; \
             put ftp/file -o in/put; bye",
            self.url("")
        );
        self.expect(Command::new("lftp").args(["--norc", "-c", &script]), &["got", "ftp/in/put"]);
    }
}

fn curl(options: &[&str]) -> Command {
    let mut command = Command::new("curl");
    // What both sides have said is shown if it fails.
    command.args(["--disable", "--verbose", "--no-progress-meter", "--noproxy", "*"]);
    command.args(["--max-time", "20"]);
    command.args(options);
    command
}

/// The number of a user, who has a group of the same.
fn user(name: &str) -> u32 {
    let text = Program::run(Command::new("id").args(["-u", name])).concat();
    text.trim().parse().expect("a number")
}

#[test]
fn clients_of_ipv4_get_and_put() {
    let server = Server::start("127.0.0.1");
    server.curl(&[]);
    server.curl(&["--disable-epsv"]);
    server.curl(&["--ftp-port", "127.0.0.1"]);
    server.curl(&["--ftp-port", "127.0.0.1", "--disable-eprt"]);
    server.lftp(true);
    server.lftp(false);
    for forwarder in [&server.first, &server.second] {
        let went = |line: &str| line.contains("\"bytes_to_client\":3000000,");
        let came = |line: &str| line.contains("\"bytes_to_backend\":3000000,");
        forwarder.program().stdout().expect_count(6, went);
        forwarder.program().stdout().expect_count(6, came);
    }
}

#[test]
fn clients_of_ipv6_get_and_put() {
    let server = Server::start("[::1]");
    server.curl(&[]);
    server.curl(&["--ftp-port", "::1"]);
    server.lftp(true);
    server.lftp(false);
}
