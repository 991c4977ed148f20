//! The command lines and configuration files of the candidates: two threads or processes each, no logs, no
//! timeout shorter than a run, and what their documentation recommends for throughput.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Candidate, Kind};
use crate::scenario::Transport;

/// Where Debian and most others keep the stream module of nginx when it is not built in.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// From where to where a candidate forwards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    /// TCP or UDP.
    pub(super) transport: Transport,
    /// Where clients are.
    pub(super) listen: SocketAddr,
    /// Where the backend is.
    pub(super) backend: SocketAddr,
}

/// The command that has `candidate` forward along `link`; writes files into `directory`.
pub(super) fn command(candidate: &Candidate, link: Link, directory: &Path) -> io::Result<Command> {
    let Link { transport, listen, backend } = link;
    let mut command = Command::new(&candidate.program);
    let file = directory.join(format!("{}-{transport}-{}.conf", candidate.name, listen.port()));
    match &candidate.kind {
        Kind::Direct | Kind::Nat => return Err(io::Error::other("has no program")),
        Kind::Replug(arguments) => {
            command.args(["-q", "--shards", "2"]).args(arguments);
            command.arg(match transport {
                Transport::Tcp => listen.to_string(),
                Transport::Udp => format!("udp://{listen}"),
            });
            command.arg(backend.to_string());
        }
        Kind::Haproxy { splice } => {
            fs::write(&file, haproxy(listen, backend, *splice))?;
            command.arg("-db").arg("-f").arg(file);
        }
        Kind::Nginx => {
            fs::write(&file, nginx(link, directory))?;
            command.arg("-p").arg(directory).arg("-c").arg(file);
        }
        Kind::Rinetd => {
            fs::write(&file, rinetd(link, directory))?;
            command.arg("-f").arg("-c").arg(file);
        }
        Kind::Redir => {
            command.args(["-n", "-l", "none", &listen.to_string(), &backend.to_string()]);
        }
        Kind::Socat => {
            let options = "fork,reuseaddr,nodelay,backlog=1024";
            command.args(["-b", "65536"]);
            command.arg(format!("TCP-LISTEN:{},bind={},{options}", listen.port(), listen.ip()));
            command.arg(format!("TCP:{backend},nodelay"));
        }
    }
    Ok(command)
}

fn haproxy(listen: SocketAddr, backend: SocketAddr, splice: bool) -> String {
    let (pipes, option) = match splice {
        true => ("  tune.pipesize 524288\n", "  option splice-request\n  option splice-response\n"),
        false => ("", ""),
    };
    // More than 7,000 connections need more than the 20,000 descriptors that many systems allow.
    format!(
        "global\n  nbthread 2\n  maxconn 7000\n{pipes}\
         defaults\n  mode tcp\n  maxconn 7000\n  backlog 8192\n\
         \x20 timeout connect 1h\n  timeout client 1h\n  timeout server 1h\n{option}\
         listen bench\n  bind {listen} shards by-thread\n  server backend {backend}\n"
    )
}

fn nginx(Link { transport, listen, backend }: Link, directory: &Path) -> String {
    let module = match Path::new(STREAM_MODULE).exists() {
        true => format!("load_module {STREAM_MODULE};\n"),
        false => String::new(),
    };
    // A flow of UDP is one session until its timeout, which also clears away those of earlier samples; with
    // `proxy_responses 1` every datagram would be a session, with a socket of its own.
    let (timeout, options) = match transport {
        Transport::Tcp => ("1h", "reuseport backlog=8192"),
        Transport::Udp => ("1m", "udp reuseport rcvbuf=4m"),
    };
    format!(
        "{module}daemon off;\nworker_processes 2;\npid {pid};\nerror_log stderr error;\n\
         events {{ worker_connections 9000; }}\n\
         stream {{\n  access_log off;\n  proxy_buffer_size 64k;\n  proxy_timeout {timeout};\n\
         \x20 proxy_half_close on;\n\
         \x20 server {{ listen {listen} {options}; proxy_pass {backend}; }}\n}}\n",
        pid = directory.join(format!("nginx-{transport}-{}.pid", listen.port())).display(),
    )
}

fn rinetd(Link { transport, listen, backend }: Link, directory: &Path) -> String {
    // Flows of earlier samples cost time as long as it remembers them.
    let options = match transport {
        Transport::Tcp => "",
        Transport::Udp => " [timeout=5]",
    };
    format!(
        "pidlogfile {}\n{} {}/{transport} {} {}/{transport}{options}\n",
        directory.join(format!("rinetd-{transport}-{}.pid", listen.port())).display(),
        listen.ip(),
        listen.port(),
        backend.ip(),
        backend.port(),
    )
}
