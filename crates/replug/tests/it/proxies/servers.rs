//! Proxies as people run them: squid, dante, microsocks, tinyproxy, and haproxy for TLS. Each ends with its value.

use std::fs;
use std::process::Command;

use rig::wait::until;
use rig::{Address, Closed, Program, Scratch, figures};
use rustix::process::Signal;

/// What all of them take that ask for it.
pub(super) const USER: &str = "user";
pub(super) const PASSWORD: &str = "s@cret";

/// A proxy that runs.
pub(super) struct Server {
    program: Program,
    address: Address,
    _port: Closed,
    _scratch: Scratch,
}

impl Server {
    /// HTTP, for [`USER`].
    pub(super) fn squid() -> Self {
        Self::start(|port, scratch| {
            let users = scratch.join("users");
            let hash = Program::run(Command::new("openssl").args(["passwd", "-apr1", PASSWORD]));
            fs::write(&users, format!("{USER}:{}\n", hash[0])).expect("a new file");
            let config = scratch.join("squid.conf");
            let text = format!(
                "http_port 127.0.0.1:{port}\ncache deny all\naccess_log none\ncache_log /dev/null\n\
                 pid_filename none\npinger_enable off\nnetdb_filename none\nshutdown_lifetime 0\n\
                 coredump_dir none\ncache_store_log none\n\
                 auth_param basic program /usr/lib/squid/basic_ncsa_auth {users}\n\
                 auth_param basic children 1 startup=1\n\
                 acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n",
            );
            fs::write(&config, text).expect("a new file");
            let mut command = Command::new("/usr/sbin/squid");
            // By its name it knows what it has in shared memory from that of others.
            command.args(["-N", "-n", &format!("replug{port}"), "-f", &config]);
            command
        })
    }

    /// SOCKS 4, 4A and 5, for everybody.
    pub(super) fn dante() -> Self {
        Self::start(|port, scratch| {
            let config = scratch.join("danted.conf");
            let text = format!(
                "logoutput: stderr\ninternal: 127.0.0.1 port = {port}\nexternal: lo\n\
                 clientmethod: none\nsocksmethod: none\n\
                 user.privileged: root\nuser.unprivileged: nobody\n\
                 client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n\
                 socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 command: connect }}\n"
            );
            fs::write(&config, text).expect("a new file");
            let mut command = Command::new("/usr/sbin/danted");
            command.args(["-f", &config, "-p", &scratch.join("danted.pid")]);
            command
        })
    }

    /// SOCKS 5, for [`USER`].
    pub(super) fn microsocks() -> Self {
        Self::start(|port, _| {
            let mut command = Command::new("microsocks");
            let port = port.to_string();
            command.args(["-i", "127.0.0.1", "-p", &port, "-u", USER, "-P", PASSWORD]);
            command
        })
    }

    /// HTTP, for everybody.
    pub(super) fn tinyproxy() -> Self {
        Self::start(|port, scratch| {
            let config = scratch.join("tinyproxy.conf");
            let text = format!("Port {port}\nListen 127.0.0.1\nMaxClients 20\nAllow 127.0.0.1\n");
            fs::write(&config, text).expect("a new file");
            let mut command = Command::new("tinyproxy");
            command.args(["-d", "-c", &config]);
            command
        })
    }

    /// TLS with what is in `pem`, a certificate and its key; what is said within goes to `next`.
    pub(super) fn haproxy(pem: &str, next: &Address) -> Self {
        Self::haproxy_for(pem, "", next)
    }

    /// The same for clients of which `asked` is said.
    pub(super) fn haproxy_for(pem: &str, asked: &str, next: &Address) -> Self {
        Self::start(|port, scratch| {
            let config = scratch.join("haproxy.cfg");
            let text = format!(
                "defaults\n mode tcp\n timeout connect 30s\n timeout client 60s\n timeout server 60s\n\
                 listen gate\n bind 127.0.0.1:{port} ssl crt {pem} {asked}\n server next {next}\n"
            );
            fs::write(&config, text).expect("a new file");
            let mut command = Command::new("haproxy");
            command.args(["-db", "-f", &config]);
            command
        })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    fn start(command: impl FnOnce(u16, &Scratch) -> Command) -> Self {
        let scratch = Scratch::new();
        let port = Closed::bind();
        let address = port.address().clone();
        let program = Program::start(&mut command(address.port(), &scratch));
        until("a proxy to listen", || figures::is_listened_on(address.tcp()));
        Self { program, address, _port: port, _scratch: scratch }
    }

    /// Its URL with this scheme, without a user.
    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// Its URL with this scheme, and the user in it.
    pub(super) fn url_of_user(&self, scheme: &str) -> String {
        format!("{scheme}://{USER}:{}@{}", PASSWORD.replace('@', "%40"), self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Some have children, which would outlive a parent that is killed.
        if self.program.exit_status().is_none() {
            self.program.signal(Signal::TERM);
            let patience = rig::wait::Deadline::new();
            while self.program.exit_status().is_none() && !patience.is_over() {
                rig::wait::pause(std::time::Duration::from_millis(5));
            }
        }
    }
}
