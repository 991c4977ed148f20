//! A syslog daemon behind a `/dev/log` that only one program sees.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::scratch::Scratch;
use crate::wait::PATIENCE;

/// The daemon.
#[derive(Debug)]
pub struct DevLog {
    socket: UnixDatagram,
    scratch: Scratch,
}

impl DevLog {
    /// Listens. Needs root, as every new view of the file system does.
    ///
    /// # Panics
    /// Without root.
    #[track_caller]
    pub fn open() -> Self {
        assert!(rustix::process::geteuid().is_root(), "run this test as root: it replaces /dev");
        let scratch = Scratch::new();
        let dev = scratch.join("dev");
        std::fs::create_dir(&dev).expect("a new folder");
        std::fs::write(format!("{dev}/null"), "").expect("a new file");
        let socket = UnixDatagram::bind(format!("{dev}/log")).expect("a new socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a legal timeout");
        Self { socket, scratch }
    }

    /// Starts `program`, by the name of a link, where `/dev/log` is ours. `/dev` has nothing else
    /// then but `/dev/null`.
    ///
    /// # Panics
    /// When it is called a second time with the same name.
    #[track_caller]
    pub fn command(&self, program: &str, name: &str) -> Command {
        let link = self.scratch.join(name);
        std::os::unix::fs::symlink(program, &link).expect("a new link");
        let script =
            "mount --bind /dev/null \"$0/null\" && mount --rbind \"$0\" /dev && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, &self.scratch.join("dev"), &link]);
        command
    }

    /// The next message, with `[PID]` for the process `pid`.
    ///
    /// # Panics
    /// When none comes within [`PATIENCE`].
    #[track_caller]
    pub fn next(&self, pid: u32) -> String {
        let mut message = [0; 2048];
        let count = self.socket.recv(&mut message).expect("a message within PATIENCE");
        let text = String::from_utf8_lossy(&message[..count]);
        text.replace(&format!("[{pid}]"), "[PID]")
    }
}
