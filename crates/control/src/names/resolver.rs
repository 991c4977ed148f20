//! One lookup: first `/etc/hosts`, then the name servers of `/etc/resolv.conf`.
//!
//! Both files are read again for each lookup, so a changed network is noticed
//! without a signal; the name servers' client is built anew only when
//! `resolv.conf` has changed. Where the hosts file knows a name, no server is
//! asked about it, not even for the other address family: an unreachable server
//! must not delay a name that needs none.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::journal::{Journal, Level, Notice};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::system_conf::parse_resolv_conf;

/// Addresses of one name that are used; a name server could send thousands.
const ADDRESSES_MAX: usize = 256;

/// How long an answer from the hosts file, or about `localhost`, is used.
const HOSTS_TTL: Duration = Duration::from_secs(30);

/// Port of name servers (RFC 1035 section 4.2); `resolv.conf` cannot name another.
const DNS_PORT: u16 = 53;

/// What is known about names, and where from.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// See resolv.conf(5).
    pub(crate) resolv_conf: Source,
    /// See hosts(5).
    pub(crate) hosts: Source,
    /// The port of the name servers.
    pub(crate) port: u16,
}

impl Sources {
    /// Those of the system.
    pub(crate) fn system() -> Self {
        let source = |path: &str| Source::from(PathBuf::from(path));
        let (resolv_conf, hosts) = (source("/etc/resolv.conf"), source("/etc/hosts"));
        Self { resolv_conf, hosts, port: DNS_PORT }
    }

    /// Reads both files now, to be used whenever they cannot be found: behind `--chroot` there
    /// may be none.
    pub(crate) fn keep(mut self) -> Self {
        for source in [&mut self.resolv_conf, &mut self.hosts] {
            source.kept = fs::read(&source.path).ok();
        }
        self
    }
}

/// A file that is read at each look-up.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    path: PathBuf,
    /// What stands for it while it is not there.
    kept: Option<Vec<u8>>,
}

impl Source {
    fn read(&self) -> io::Result<Vec<u8>> {
        match (fs::read(&self.path), &self.kept) {
            (Err(error), Some(kept)) if error.kind() == io::ErrorKind::NotFound => Ok(kept.clone()),
            (read, _) => read,
        }
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self { path, kept: None }
    }
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// At least one, none twice, IPv4 before IPv6.
    pub(crate) addresses: Vec<IpAddr>,
    /// How long they may be used.
    pub(crate) ttl: Duration,
}

/// See the head of this file.
pub(crate) struct Resolver {
    sources: Sources,
    journal: Journal,
    client: Mutex<Client>,
}

/// The client of the name servers.
#[derive(Default)]
struct Client {
    /// The `resolv.conf` that `servers` was built from.
    written: Vec<u8>,
    /// `None`: that text names no server, or could not be read.
    servers: Option<TokioResolver>,
    /// Whether it has been told that there are no servers.
    told: bool,
}

impl Resolver {
    pub(crate) fn new(sources: Sources, journal: Journal) -> Self {
        Self { sources, journal, client: Mutex::default() }
    }

    /// The addresses of `host`.
    ///
    /// # Errors
    /// Why there are none, in a few words.
    pub(crate) async fn resolve(&self, host: &str) -> Result<Answer, String> {
        if let Some(addresses) = self.known_here(host) {
            return Ok(Answer { addresses, ttl: HOSTS_TTL });
        }
        let servers = self.servers()?;
        // Names are asked for when their time is over, or when an operator wants to know anew.
        servers.clear_cache();
        let found = servers.lookup_ip(host).await.map_err(|error| why(&error))?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.iter() {
            if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match addresses.is_empty() {
            true => Err("it has no address".to_owned()),
            false => Ok(Answer {
                addresses,
                ttl: found.valid_until().saturating_duration_since(Instant::now()),
            }),
        }
    }

    /// What the hosts file says, and `localhost` in any case (RFC 6761 section 6.3).
    fn known_here(&self, host: &str) -> Option<Vec<IpAddr>> {
        // Without that file there is nothing in it.
        let hosts = self.sources.hosts.read().unwrap_or_default();
        let addresses = in_hosts(&String::from_utf8_lossy(&hosts), host);
        if !addresses.is_empty() {
            return Some(addresses);
        }
        let last_label = host.rsplit('.').next().unwrap_or(host);
        last_label
            .eq_ignore_ascii_case("localhost")
            .then(|| vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
    }

    /// The client for what `resolv.conf` says now.
    fn servers(&self) -> Result<TokioResolver, String> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let built = self.sources.resolv_conf.read().map_err(|error| error.to_string());
        let built = built.and_then(|written| match &client.servers {
            Some(servers) if client.written == written => Ok(servers.clone()),
            _ => {
                let servers = build(&written, self.sources.port).map_err(|error| error.to_string());
                client.written = written;
                servers
            }
        });
        match built {
            Ok(servers) => {
                client.servers = Some(servers.clone());
                client.told = false;
                Ok(servers)
            }
            Err(error) => {
                client.servers = None;
                let path = self.sources.resolv_conf.path.display();
                if !std::mem::replace(&mut client.told, true) {
                    self.journal.notice(Notice::Remark {
                        level: Level::Warning,
                        text: format!(
                            "no name server can be asked, only names of {} are known: {path}: {error}",
                            self.sources.hosts.path.display()
                        ),
                    });
                }
                Err(format!("no name server is known ({path}: {error})"))
            }
        }
    }
}

fn build(resolv_conf: &[u8], port: u16) -> Result<TokioResolver, NetError> {
    let (config, mut options) = parse_resolv_conf(resolv_conf)?;
    let (domain, search, servers) = config.into_parts();
    let servers = servers.into_iter().map(|server| with_port(server, port));
    let config = ResolverConfig::from_parts(domain, search, servers.collect());
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
}

fn with_port(mut server: NameServerConfig, port: u16) -> NameServerConfig {
    for connection in &mut server.connections {
        connection.port = port;
    }
    server
}

/// The addresses that a hosts file has for `host`, in its order, IPv4 first.
fn in_hosts(hosts: &str, host: &str) -> Vec<IpAddr> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or(line));
    let mut addresses: Vec<IpAddr> = Vec::new();
    for line in lines {
        let mut words = line.split_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse) else {
            continue;
        };
        let named =
            words.any(|word| word.strip_suffix('.').unwrap_or(word).eq_ignore_ascii_case(host));
        if named && addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses
}

/// What went wrong, for people.
fn why(error: &NetError) -> String {
    match error {
        NetError::Timeout => "the name servers do not answer".to_owned(),
        NetError::NoConnections => "the name servers cannot be reached".to_owned(),
        NetError::Io(error) => io_words(error),
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => "there is no such name (NXDOMAIN)".to_owned(),
            ResponseCode::NoError => "it has no address".to_owned(),
            code => format!("the name server answers {code}"),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => format!("the name server answers {code}"),
        error => error.to_string(),
    }
}

fn io_words(error: &io::Error) -> String {
    format!("the name servers cannot be reached ({error})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: &[&str]) {
        let hosts = "\
            127.0.0.1 localhost\n\
            ::1\tlocalhost ip6-localhost # not-this\n\
            # 10.0.0.1 commented\n\
            2001:db8::5 db.example\n\
            10.0.0.5   Db.Example. db\n\
            10.0.0.5 db.example\n\
            fe80::1%eth0 scoped\n\
            nonsense here\n";
        let found: Vec<_> = in_hosts(hosts, host).iter().map(IpAddr::to_string).collect();
        assert_eq!(found, expected, "{host}");
    }

    #[test]
    fn hosts_files() {
        check("localhost", &["127.0.0.1", "::1"]);
        check("db.example", &["10.0.0.5", "2001:db8::5"]);
        check("DB", &["10.0.0.5"]);
        check("not-this", &[]);
        check("commented", &[]);
        check("scoped", &[]);
        check("here", &[]);
    }
}
