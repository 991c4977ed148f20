//! The command lines and configuration files of the candidates: two threads or processes each, no logs, no
//! timeout shorter than a run, and what their documentation recommends for throughput.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Candidate, Decider, Kind};
use crate::pattern::opening::{host, name};
use crate::scenario::{HOSTS, NAMES, Way};

/// Where Debian and most others keep the stream module of nginx when it is not built in.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// From where to where a candidate forwards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link<'a> {
    /// How.
    pub(super) way: Way,
    /// Where clients are.
    pub(super) listen: SocketAddr,
    /// Where the backend is.
    pub(super) backend: SocketAddr,
    /// Certificate and key in one file, if there are any.
    pub(super) certificate: Option<&'a Path>,
}

impl Link<'_> {
    /// The file of [`certificate`].
    fn certificate(&self) -> io::Result<String> {
        let file = self.certificate.ok_or_else(|| io::Error::other("there is no certificate"))?;
        Ok(file.display().to_string())
    }
}

/// Makes a certificate with its key in `directory`; both are in the one file.
///
/// # Errors
/// When `openssl` cannot be run or fails.
pub(super) fn certificate(directory: &Path) -> io::Result<PathBuf> {
    let (file, key) = (directory.join("site.pem"), directory.join("site.key"));
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    command.args(["-days", "30", "-subj", "/CN=bench.example", "-addext"]);
    command.arg(format!("subjectAltName=DNS:*.bench.example,DNS:{}", host(0)));
    let output = command.arg("-keyout").arg(&key).arg("-out").arg(&file).output();
    let output = output.map_err(|error| io::Error::other(format!("openssl: {error}")))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(io::Error::other(format!("openssl makes no certificate: {text}")));
    }
    let both = [fs::read(&file)?, fs::read(&key)?].concat();
    fs::write(&file, both)?;
    Ok(file)
}

/// The command that has `candidate` forward along `link`; writes files into `directory`.
pub(super) fn command(
    candidate: &Candidate,
    link: Link<'_>,
    directory: &Path,
) -> io::Result<Command> {
    let Link { way, listen, backend, .. } = link;
    let mut command = Command::new(&candidate.program);
    let file = directory.join(format!("{}-{way}-{}.conf", candidate.name, listen.port()));
    match &candidate.kind {
        Kind::Direct | Kind::Nat => return Err(io::Error::other("has no program")),
        Kind::Replug { arguments, decider } => match way {
            Way::Tcp => {
                command.args(["-q", "--shards", "2"]).args(arguments);
                command.args([listen.to_string(), backend.to_string()]);
            }
            Way::Udp => {
                command.args(["-q", "--shards", "2"]).args(arguments);
                command.args([format!("udp://{listen}"), backend.to_string()]);
            }
            Way::Sni | Way::Host | Way::Tls => {
                fs::write(&file, replug(link, *decider, &file)?)?;
                command.arg("run").args(arguments).arg("-c").arg(file);
            }
        },
        Kind::Haproxy { splice } => {
            fs::write(&file, haproxy(link, *splice, &file)?)?;
            command.arg("-db").arg("-f").arg(file);
        }
        Kind::Nginx => {
            fs::write(&file, nginx(link, directory)?)?;
            command.arg("-p").arg(directory).arg("-c").arg(file);
        }
        Kind::Rinetd => {
            fs::write(&file, rinetd(link, directory))?;
            command.arg("-f").arg("-c").arg(file);
        }
        Kind::Stunnel => {
            let text = format!(
                "foreground = yes\npid =\nsyslog = no\ndebug = err\nsocket = l:TCP_NODELAY=1\n\
                 socket = r:TCP_NODELAY=1\n[bench]\naccept = {listen}\nconnect = {backend}\n\
                 cert = {}\n",
                link.certificate()?
            );
            fs::write(&file, text)?;
            command.arg(file);
        }
        Kind::Hitch => {
            let text = format!(
                "frontend = \"[{}]:{}\"\nbackend = \"[{}]:{}\"\npem-file = \"{}\"\nworkers = 2\n\
                 backlog = 8192\nkeepalive = 3600\nsyslog = off\nlog-level = 0\nuser = \"root\"\n",
                listen.ip(),
                listen.port(),
                backend.ip(),
                backend.port(),
                link.certificate()?
            );
            fs::write(&file, text)?;
            command.arg("--config").arg(file);
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

/// A configuration file of replug; what it names stands in files beside `file`.
fn replug(link: Link<'_>, decider: Decider, file: &Path) -> io::Result<String> {
    let Link { way, listen, backend, .. } = link;
    let mut text = format!(
        "[runtime]\nshards = 2\n[log]\nverbosity = \"quiet\"\n[listener.bench]\nbind = \"{listen}\"\n"
    );
    match (way, decider) {
        (Way::Tls, _) => {
            let certificate = link.certificate()?;
            let _ = writeln!(text, "tls = {{ cert = \"{certificate}\", key = \"{certificate}\" }}");
            text += "pool = \"even\"\n";
        }
        (_, Decider::Routes) => {
            let (key, even, odd) = match way {
                Way::Sni => ("sni", names(NAMES, 0, name), names(NAMES, 1, name)),
                _ => ("host", names(HOSTS, 0, host), names(HOSTS, 1, host)),
            };
            text += "otherwise = \"close\"\n";
            for (pool, list) in [("even", even), ("odd", odd)] {
                let _ = write!(
                    text,
                    "[[listener.bench.route]]\nwhen = {{ {key} = [{}] }}\npool = \"{pool}\"\n",
                    list.join(", ")
                );
            }
        }
        (_, Decider::Lua) => {
            let script = file.with_extension("lua");
            fs::write(&script, LUA)?;
            let _ = write!(text, "script = \"{}\"\notherwise = \"close\"\n", script.display());
        }
        (_, Decider::Ruby) => {
            let script = file.with_extension("rb");
            fs::write(&script, RUBY.replace("BACKEND", &backend.to_string()))?;
            let _ = write!(text, "script = \"{}\"\notherwise = \"close\"\n", script.display());
        }
    }
    let pools: &[&str] = if way == Way::Tls { &["even"] } else { &["even", "odd"] };
    for pool in pools {
        let _ = write!(text, "[pool.{pool}]\nbackends = \"{backend}\"\n");
    }
    Ok(text)
}

/// The quoted names of every other server or host, from number `first` on.
fn names(count: u64, first: usize, of: fn(u64) -> String) -> Vec<String> {
    (0..count).skip(first).step_by(2).map(|number| format!("\"{}\"", of(number))).collect()
}

/// What the routes of `host` say, in Lua: a request to an even host goes to one pool, to an odd one to the other.
const LUA: &str = r#"
local pools = {}
for number = 0, 99 do
    pools[string.format("host-%05d.bench.example", number)] = number % 2 == 0 and "even" or "odd"
end

function route(data, conn)
    local host = string.match(data, "\r\nHost: ([^\r]+)\r\n")
    if not host then return nil end
    local pool = pools[host]
    return pool and { pool = pool } or { close = true }
end
"#;

/// The same in Ruby.
const RUBY: &str = r#"
HOSTS = (0..99).to_h { |number| [format("host-%05d.bench.example", number), "BACKEND"] }

proxy do |data|
  if data =~ /\r\nHost: ([^\r]+)\r\n/
    remote = HOSTS[$1]
    remote ? { :remote => remote } : { :close => true }
  else
    { :noop => true }
  end
end
"#;

fn haproxy(link: Link<'_>, splice: bool, file: &Path) -> io::Result<String> {
    let Link { way, listen, backend, .. } = link;
    let (pipes, option) = match splice {
        true => ("  tune.pipesize 524288\n", "  option splice-request\n  option splice-response\n"),
        false => ("", ""),
    };
    // More than 7,000 connections need more than the 20,000 descriptors that many systems allow.
    let mut text = format!(
        "global\n  nbthread 2\n  maxconn 7000\n{pipes}\
         defaults\n  mode tcp\n  maxconn 7000\n  backlog 8192\n\
         \x20 timeout connect 1h\n  timeout client 1h\n  timeout server 1h\n{option}"
    );
    text += &match way {
        Way::Sni => {
            let map = file.with_extension("map");
            let line = |number| {
                let pool = if number % 2 == 0 { "even" } else { "odd" };
                format!("{} {pool}\n", name(number))
            };
            fs::write(&map, (0..NAMES).map(line).collect::<String>())?;
            format!(
                "frontend bench\n  bind {listen} shards by-thread\n  tcp-request inspect-delay 3s\n\
                 \x20 tcp-request content accept if {{ req.ssl_hello_type 1 }}\n\
                 \x20 use_backend %[req.ssl_sni,lower,map_str({},none)]\n\
                 backend even\n  server backend {backend}\nbackend odd\n  server backend {backend}\n\
                 backend none\n  tcp-request content reject\n",
                map.display()
            )
        }
        Way::Tls => format!(
            "listen bench\n  bind {listen} shards by-thread ssl crt {}\n  server backend {backend}\n",
            link.certificate()?
        ),
        Way::Tcp | Way::Udp | Way::Host => {
            format!("listen bench\n  bind {listen} shards by-thread\n  server backend {backend}\n")
        }
    };
    Ok(text)
}

fn nginx(link: Link<'_>, directory: &Path) -> io::Result<String> {
    let Link { way, listen, backend, .. } = link;
    let module = match Path::new(STREAM_MODULE).exists() {
        true => format!("load_module {STREAM_MODULE};\n"),
        false => String::new(),
    };
    // A flow of UDP is one session until its timeout, which also clears away those of earlier samples; with
    // `proxy_responses 1` every datagram would be a session, with a socket of its own.
    let (timeout, options) = match way {
        Way::Udp => ("1m", "udp reuseport rcvbuf=4m"),
        Way::Tls => ("1h", "ssl reuseport backlog=8192"),
        Way::Tcp | Way::Sni | Way::Host => ("1h", "reuseport backlog=8192"),
    };
    let (before, within, to) = match way {
        Way::Sni => {
            let line = |number| format!("    {} {backend};\n", name(number));
            let map = (0..NAMES).map(line).collect::<String>();
            let map = format!(
                "  map_hash_max_size 65536;\n  map_hash_bucket_size 128;\n\
                 \x20 map $ssl_preread_server_name $to {{\n{map}  }}\n"
            );
            (map, "ssl_preread on;".to_owned(), "$to".to_owned())
        }
        Way::Tls => {
            let certificate = link.certificate()?;
            let session = "ssl_session_cache shared:bench:10m; ssl_session_tickets on;";
            let within = format!(
                "ssl_certificate {certificate}; ssl_certificate_key {certificate}; {session}"
            );
            (String::new(), within, backend.to_string())
        }
        Way::Tcp | Way::Udp | Way::Host => (String::new(), String::new(), backend.to_string()),
    };
    Ok(format!(
        "{module}daemon off;\nworker_processes 2;\npid {pid};\nerror_log stderr error;\n\
         events {{ worker_connections 9000; }}\n\
         stream {{\n  access_log off;\n  proxy_buffer_size 64k;\n  proxy_timeout {timeout};\n\
         \x20 proxy_half_close on;\n{before}\
         \x20 server {{ listen {listen} {options}; {within} proxy_pass {to}; }}\n}}\n",
        pid = directory.join(format!("nginx-{way}-{}.pid", listen.port())).display(),
    ))
}

fn rinetd(Link { way, listen, backend, .. }: Link<'_>, directory: &Path) -> String {
    // Flows of earlier samples cost time as long as it remembers them.
    let options = if way == Way::Udp { " [timeout=5]" } else { "" };
    format!(
        "pidlogfile {}\n{} {}/{way} {} {}/{way}{options}\n",
        directory.join(format!("rinetd-{way}-{}.pid", listen.port())).display(),
        listen.ip(),
        listen.port(),
        backend.ip(),
        backend.port(),
    )
}
