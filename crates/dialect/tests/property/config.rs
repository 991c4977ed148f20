//! Every sound configuration, written as native TOML, reads back as the same.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use dialect::native;
use dialect::render::{Colour, render};
use model::acme::{Acme, Directory, ExternalAccount};
use model::backend_tls::{BackendTls, Pin, ServerName, Verify};
use model::log::{Facility, Sample, SyslogProtocol, SyslogSeverity, Tag};
use model::proxy::server::{Destination, Private, ProxyServer, ServedProtocol, Users};
use model::route::hours::Hours;
use model::route::pattern::{HeaderPattern, NamePattern, Prefix, TextPattern};
use model::starttls::StartTls;
use model::{
    AcceptProxy, Access, AddressPattern, Admin, AllDown, Authorize, Backend, BackendAddress,
    Backlog, Balance, Bandwidth, Bind, ByteRate, ByteSize, CertificateFiles, Children, ClientAuth,
    ClientProof, Clients, Compat, Config, Congestion, Credentials, Delay, Dscp, Ftp, FtpModes,
    HostPort, Http, HttpRequests, Idle, Interface, Io, Language, Limits, Listener, Log, LogFormat,
    LogTarget, MinVersion, Mptcp, OnError, OnRemoved, OnScriptError, Password, Pool, PortRange,
    Program, Protocol, Proxy, ProxyOthers, ProxyProtocol, ProxyTls, ProxyTlv, ProxyVersion, Queue,
    Rate, Refusal, Role, Route, Runtime, Script, Secret, SendProxy, ServerTls, Source, Sources,
    Spanned, Sticky, StickyKey, Syslog, SyslogLabel, SyslogServer, Tcp, Timeouts, TlsVersion,
    Transparent, UnknownName, Url, Verbosity, Weight, When, WhenFull,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Writes `config`, in short and in full, and reads it again.
pub(crate) fn reads_back(config: &Config) {
    let mut shown = config.clone();
    hide_secrets(&mut shown);
    let both = [(native::write(config), config), (native::write_effective(config), &shown)];
    for (text, config) in both {
        let mut sources = Sources::default();
        let file = sources.add("replug.toml", text.as_str());
        let reading = native::read(&[file], &mut sources, &|_| None, &|_| Err(String::new()));
        let told = render(&reading.diagnostics, &sources, Colour::Never);
        assert_eq!(&reading.config, config, "{text}\n{told}");
    }
}

/// Puts what is shown for them in the place of all secrets.
fn hide_secrets(config: &mut Config) {
    let proxies = config.pools.iter_mut().flat_map(|pool| &mut pool.via);
    for credentials in proxies.filter_map(|via| via.value.credentials.as_mut()) {
        credentials.password = credentials.password.take().map(|_| Password::new(Password::HIDDEN));
    }
    let servers = config.listeners.iter_mut().flat_map(|listener| &mut listener.tls);
    let accounts =
        servers.filter_map(|tls| tls.value.acme.as_mut()?.value.external_account.as_mut());
    for account in accounts {
        if let Secret::Text(words) = &mut account.key.value {
            Password::HIDDEN.clone_into(words);
        }
    }
    let servers = config.listeners.iter_mut().flat_map(|listener| &mut listener.tls);
    let certificates = servers.flat_map(|tls| &mut tls.value.certificates);
    let backends = config.pools.iter_mut().filter_map(|pool| pool.tls.as_mut());
    let certificates =
        certificates.chain(backends.filter_map(|tls| tls.value.certificate.as_mut()));
    for secret in certificates.flat_map(|files| &mut files.passphrase) {
        if let Secret::Text(words) = &mut secret.value {
            Password::HIDDEN.clone_into(words);
        }
    }
    let servers = config.listeners.iter_mut().filter_map(|listener| listener.proxy.as_mut());
    for users in servers.flat_map(|server| &mut server.value.users) {
        if let Users::One(user) = &mut users.value {
            user.password = Some(Password::new(Password::HIDDEN));
        }
    }
}

/// Configurations whose items are each sound.
pub(crate) fn any() -> impl Strategy<Value = Config> {
    let listeners = vec(listener(), 1..4);
    let pools = vec(pool(), 1..4);
    let admin = option::of(select(vec!["unix:/run/replug/admin.sock", "unix:@replug"]));
    let process = (access(), limits(), runtime(), admin);
    (listeners, pools, process, logs()).prop_map(|(listeners, pools, process, logs)| {
        let (access, limits, runtime, admin) = process;
        let admin = admin.map(|text| match Bind::parse(text) {
            Ok(Bind::Unix(name)) => unwritten(name),
            _ => unreachable!("these are legal unix binds"),
        });
        Config {
            // Names are taken once.
            listeners: listeners
                .into_iter()
                .enumerate()
                .map(|(at, listener)| Listener { name: format!("l.{at}"), ..listener })
                .collect(),
            pools: pools
                .into_iter()
                .enumerate()
                .map(|(at, pool)| Pool { name: unwritten(format!("p-{at}")), ..pool })
                .collect(),
            access,
            limits,
            runtime,
            logs,
            admin: Admin { bind: admin },
        }
    })
}

fn runtime() -> impl Strategy<Value = Runtime> {
    let io = select(Io::NAMES.map(|(_, io)| io).to_vec());
    (option::of(1usize..1024), io, proptest::bool::ANY).prop_map(|(shards, io, splice)| Runtime {
        shards: shards.and_then(NonZeroUsize::new),
        io,
        splice,
    })
}

fn unwritten<T>(value: T) -> Spanned<T> {
    Spanned::default_of(value)
}

fn time() -> impl Strategy<Value = Duration> {
    (1u64..2_000_000_000).prop_map(Duration::from_millis)
}

fn limits() -> impl Strategy<Value = Limits> {
    let rate = select(vec!["1/s", "100000/s", "100/m", "1000/h"]);
    let rate = rate.prop_map(|text| Rate::parse(text).expect("these are legal rates"));
    let counts = (option::of(1usize..1 << 29), option::of(1u32..=Limits::PER_CLIENT_MAX));
    let rates = (option::of(rate.clone()), option::of(rate));
    (counts, rates, bandwidth(), bandwidth()).prop_map(
        |((sessions, per_client), (rate, rate_per_client), bandwidth, session_bandwidth)| Limits {
            sessions: sessions.and_then(NonZeroUsize::new),
            per_client: per_client.and_then(NonZeroU32::new),
            rate,
            rate_per_client,
            bandwidth,
            session_bandwidth,
        },
    )
}

fn idle() -> impl Strategy<Value = Idle> {
    prop_oneof![Just(Idle::Usual), Just(Idle::Never), time().prop_map(Idle::After)]
}

fn listener() -> impl Strategy<Value = Listener> {
    let binds = ["0", ":80", "81", ":82", "10.0.0.1:5000", "10.0.0.1:5001", "[::1]:7", "[::1]:8"];
    let unix = ["unix:/run/a b", "unix:@\\\"", "unix:/run/${X}", "unix:/\u{1}é", ":65535", ":1"];
    let handed = ["systemd:web", "systemd:1-2", "systemd:\"\\${X}", "inetd"];
    let udp = ["udp://:53", "udp://:54", "udp://10.0.0.1:80", "udp://[::1]:7", "udp://:0"];
    let bind = select([&binds[..], &unix, &handed, &udp].concat());
    let bind = bind.prop_map(|text| unwritten(Bind::parse(text).expect("these are legal binds")));
    let timeouts = ((time(), time(), time()), idle(), option::of(time()), option::of(time()));
    let timeouts = timeouts.prop_map(|((sniff, tls, connect), idle, half_closed, lifetime)| {
        Timeouts { tls, sniff, connect, idle, half_closed, lifetime }
    });
    let refuse = select(Refusal::NAMES.map(|(_, refuse)| refuse).to_vec());
    let access = (access(), option::of(authorize()), option::of(accept_proxy()));
    let full = select(WhenFull::NAMES.map(|(_, full)| full).to_vec());
    let by = option::of(select(vec!["eth0", "br-lan.7"]));
    let transparent = option::of(select(Transparent::NAMES.map(|(_, mode)| mode).to_vec()));
    let shown = option::of(select(vec!["0:80", "a b:\"${X}"]));
    let streams = (option::of(http()), delay(), option::of(ftp()));
    let opened = (option::of(server_tls()), option::of(proxy_server()));
    let streams = (streams, opened);
    let backlog = select(vec![1, 128, Backlog::USUAL, Backlog::MAX]);
    let sizes = Listener::SNIFF_BYTES_MIN..=Listener::SNIFF_BYTES_MAX;
    let sniffing = (option::of(0usize..3), option::of(0usize..3), sizes);
    let sniffing = (sniffing, option::of(script()));
    let more = (tcp(), refuse, full, by, (shown, transparent), streams, (backlog, sniffing));
    (vec(bind, 1..9), vec(route(), 0..3), access, limits(), timeouts, more).prop_map(
        |(bind, routes, (access, authorize, accept), limits, timeouts, more)| {
            let (tcp, refuse, when_full, by, (shown_as, transparent), streams, numbers) = more;
            let (backlog, sniffing) = numbers;
            let ((http, delay, ftp), (tls, proxy)) = streams;
            let ((pool, on_silence, sniff_bytes), script) = sniffing;
            let pool_named = |pool| unwritten(format!("p-{pool}"));
            Listener {
                bind,
                shown_as: shown_as.map(str::to_owned),
                routes,
                proxy_protocol: accept.map(unwritten),
                access,
                authorize: authorize.map(unwritten),
                limits,
                timeouts,
                tcp,
                delay,
                ftp: ftp.map(unwritten),
                refuse,
                when_full,
                http: http.map(unwritten),
                tls: tls.map(unwritten),
                proxy: proxy.map(unwritten),
                backlog: Backlog::new(backlog).expect("a legal backlog"),
                interface: by.map(|name| unwritten(interface(name))),
                transparent: transparent.map(unwritten),
                pool: pool.map(pool_named),
                on_silence: on_silence.map(pool_named),
                script: script.map(unwritten),
                sniff_bytes: ByteSize::new(sniff_bytes).expect("it is not zero"),
                ..Listener::new("", pool_named(0))
            }
        },
    )
}

fn accept_proxy() -> impl Strategy<Value = AcceptProxy> {
    let from = subsequence(vec!["10.0.0.0/8", "::/0", "127.*.2"], 1..4);
    let from = from.prop_map(|texts| {
        let one = |text: &str| match text.parse() {
            Ok(range) => Clients::Range(range),
            Err(_) => Clients::Pattern(AddressPattern::parse(text).expect("a pattern")),
        };
        texts.into_iter().map(|text| unwritten(one(text))).collect()
    });
    let others = select(ProxyOthers::NAMES.map(|(_, others)| others).to_vec());
    (from, others, time()).prop_map(|(from, others, timeout)| AcceptProxy { from, others, timeout })
}

fn send_proxy() -> impl Strategy<Value = SendProxy> {
    let tlvs = subsequence(ProxyTlv::NAMES.map(|(_, tlv)| tlv).to_vec(), 0..5);
    let kind = SendProxy::CUSTOM_MIN..=SendProxy::CUSTOM_MAX;
    let text = select(vec!["", "blue", "${X} \"\\\n"]).prop_map(str::to_owned);
    let custom = proptest::collection::btree_map(kind, text, 0..3);
    let v2 = (tlvs, custom).prop_map(|(tlvs, custom)| SendProxy {
        tlvs: tlvs.into_iter().collect(),
        custom,
        ..SendProxy::new(ProxyVersion::V2)
    });
    prop_oneof![Just(SendProxy::new(ProxyVersion::V1)), v2]
}

fn script() -> impl Strategy<Value = Script> {
    let file = select(vec!["route.lua", "/etc/a b/${X}\".lua", "x/é.rb", "/etc/config"]);
    let on_error = select(OnScriptError::NAMES.map(|(_, on_error)| on_error).to_vec());
    let deadline = option::of((1u64..=1_000).prop_map(Duration::from_millis));
    let memory = option::of((Script::MEMORY_MIN..1 << 30).prop_map(ByteSize::new));
    let workers = option::of((1..=Script::WORKERS_MAX).prop_map(NonZeroU32::new));
    let ruby = (workers, select(Compat::NAMES.map(|(_, compat)| compat).to_vec()));
    (file, on_error, deadline, memory, ruby).prop_map(
        |(file, on_error, deadline, memory, (workers, compat))| {
            let language = Language::of(file).unwrap_or(Language::Ruby);
            let compat = if language == Language::Ruby { compat } else { Compat::default() };
            Script {
                on_error,
                deadline,
                memory: memory.flatten().filter(|_| language == Language::Lua),
                workers: workers.flatten().filter(|_| language == Language::Ruby),
                compat,
                ..Script::new(file, language)
            }
        },
    )
}

fn authorize() -> impl Strategy<Value = Authorize> {
    let words = select(vec!["/bin/check", "/a b", "/${X}\"\\", "/\u{1}é"]);
    let more = vec(select(vec!["-x", "", "${Y}", "two\nlines", "/"]), 0..3);
    let exec = (words, more).prop_map(|(path, more)| {
        std::iter::once(path).chain(more).map(str::to_owned).collect::<Vec<_>>()
    });
    let text = |of: &[&'static str]| option::of(select(of.to_vec()).prop_map(str::to_owned));
    let count = || option::of((1u32..=30).prop_map(|n| NonZeroU32::new(n).expect("not zero")));
    let children =
        (count(), count()).prop_map(|(min, max)| Children::new(min, max).unwrap_or(Children::ONE));
    let env = proptest::collection::btree_map(
        select(vec!["LANG", "a.b", "${Z}", "\"q\" r"]).prop_map(str::to_owned),
        select(vec!["", "C.UTF-8", "${HOME}", "a\tb"]).prop_map(str::to_owned),
        0..3,
    );
    let owners = (text(&["nobody", "1000"]), text(&["nogroup", "7"]), text(&["/var/empty", "."]));
    let names = (text(&["check", ""]), text(&["lab", "the \"lab\""]));
    let on_error = select(OnError::NAMES.map(|(_, on_error)| on_error).to_vec());
    let at_once = (1..=Program::AT_ONCE_MAX).prop_map(|n| NonZeroU32::new(n).expect("not zero"));
    (exec, children, at_once, env, owners, names, (time(), on_error)).prop_map(
        |(
            exec,
            children,
            at_once,
            env,
            (user, group, home),
            (arg0, realm),
            (timeout, on_error),
        )| {
            let program =
                Program { arg0, children, at_once, user, group, home, env, ..Program::new(exec) };
            Authorize { timeout, on_error, realm, ..Authorize::new(program) }
        },
    )
}

fn http() -> impl Strategy<Value = Http> {
    let url = select(vec!["http://www.example.com/", "x:///${A}\"\\?"]);
    let url = url.prop_map(|text| unwritten(Url::parse(text).expect("a legal URL")));
    let requests = select(HttpRequests::NAMES.map(|(_, requests)| requests).to_vec());
    (requests, option::of(url)).prop_map(|(requests, force_url)| Http { requests, force_url })
}

fn delay() -> impl Strategy<Value = Delay> {
    let pause = || option::of((1u64..=3_600_000).prop_map(Duration::from_millis));
    let size = (1u32..=1 << 30).prop_map(|size| ByteSize::new(size).expect("a size"));
    (pause(), pause(), size).prop_map(|(to_backend, to_client, chunk)| Delay {
        to_backend,
        to_client,
        chunk,
    })
}

fn server_tls() -> impl Strategy<Value = ServerTls> {
    let path =
        || select(vec!["a.pem", "/x y/\"b\\", "${C}"]).prop_map(|path| unwritten(path.to_owned()));
    let secrets = ["file:/run/${X}", "env:NAME", "text:p w\"\\"];
    let secrets = secrets.map(|text| Secret::parse(text).expect("a legal secret"));
    let secret = select(secrets.to_vec()).prop_map(unwritten);
    let certificate_secret = secret.clone();
    let names = subsequence(vec!["www.example", "*.shop.example", "x-1"], 0..=2);
    let names = names.prop_map(|names| {
        names.into_iter().map(|name| unwritten(name.to_owned())).collect::<Vec<_>>()
    });
    let certificate =
        (path(), option::of(path()), option::of(certificate_secret), option::of(path()), names)
            .prop_map(|(cert, key, passphrase, ocsp, names)| CertificateFiles {
                cert,
                key,
                passphrase,
                ocsp,
                names,
            });
    let need = select(ClientAuth::NAMES.map(|(_, need)| need).to_vec());
    let clients = (vec(path(), 1..3), vec(path(), 0..3), need)
        .prop_map(|(authorities, revoked, need)| ClientProof { authorities, revoked, need });
    let unknown = select(UnknownName::NAMES.map(|(_, unknown)| unknown).to_vec());
    let version = select(MinVersion::NAMES.map(|(_, version)| version).to_vec());
    let alpn = vec(select(vec!["h2", "${A}\u{1}"]).prop_map(str::to_owned), 0..3);
    let rest = (unknown, version, alpn, proptest::bool::ANY, starttls());
    // There is one or the other.
    let own = prop_oneof![
        (vec(certificate.clone(), 1..3), Just(None)),
        (vec(certificate, 0..3), acme(secret).prop_map(|acme| Some(unwritten(acme)))),
    ];
    (own, option::of(clients), rest).prop_map(|((certificates, acme), clients, rest)| {
        let (unknown_name, min_version, alpn, tickets, starttls) = rest;
        ServerTls {
            certificates,
            acme,
            unknown_name,
            clients,
            alpn,
            min_version,
            tickets,
            starttls,
        }
    })
}

fn acme(secret: impl Strategy<Value = Spanned<Secret>>) -> impl Strategy<Value = Acme> {
    let path = |text: &str| unwritten(text.to_owned());
    let texts = |texts: [&str; 2]| subsequence(texts.map(str::to_owned).to_vec(), 0..=2);
    let names = subsequence(vec!["www.example.org", "xn--4ca.example", "intranet"], 1..=3);
    let urls = ["letsencrypt", "staging", "https://localhost:14000/dir?x=${C}"];
    let directory = select(urls.map(|text| Directory::parse(text).expect("one")).to_vec());
    let account = (select(vec!["kid-1", "${K}\""]), secret)
        .prop_map(|(id, key)| ExternalAccount { id: id.to_owned(), key });
    let files = subsequence(vec!["ca.pem", "/x y/${A}"], 0..=2);
    let store = select(vec![Acme::STORE, "store", "/var/${S}"]);
    let contacts = texts(["ops@example.org", "a+b@c.example"]);
    let rest = (directory, files, option::of(account), store);
    (names, contacts, proptest::bool::ANY, rest).prop_map(
        move |(names, contacts, agrees_to_terms, (directory, files, external_account, store))| {
            Acme {
                names: names.into_iter().map(path).collect(),
                contacts,
                agrees_to_terms,
                directory,
                ca: files.into_iter().map(path).collect(),
                external_account,
                store: path(store),
            }
        },
    )
}

fn starttls() -> impl Strategy<Value = Option<StartTls>> {
    option::of(select(StartTls::NAMES.map(|(_, protocol)| protocol).to_vec()))
}

fn ftp() -> impl Strategy<Value = Ftp> {
    let modes = select(vec![FtpModes::Passive, FtpModes::Active, FtpModes::Both]);
    let ports = select(vec!["1-65535", "40000-40100", "21"]);
    let ports = option::of(ports.prop_map(|text| PortRange::parse(text).expect("a range")));
    (modes, ports).prop_map(|(modes, ports)| Ftp { modes, ports })
}

fn access() -> impl Strategy<Value = Access> {
    let range = select(vec!["10.0.0.0/8", "10.0.0.7/32", "::/0", "2001:db8::/32"]);
    let range = range.prop_map(|text| Clients::Range(text.parse().expect("a range")));
    let pattern = select(vec!["127.*.2", "10.0.0.?", "fe80:*", "*", "::ffff:1?.*"]);
    let pattern =
        pattern.prop_map(|text| Clients::Pattern(AddressPattern::parse(text).expect("a pattern")));
    let clients = prop_oneof![range, pattern].prop_map(unwritten);
    (vec(clients.clone(), 0..3), vec(clients, 0..3))
        .prop_map(|(allow, deny)| Access { allow, deny })
}

fn route() -> impl Strategy<Value = Route> {
    let client = subsequence(vec!["10.0.0.0/8", "10.0.0.7/32", "2001:db8::/32"], 0..3);
    let client = client.prop_map(|texts| {
        texts.iter().map(|text| unwritten(text.parse().expect("a range"))).collect()
    });
    let address = subsequence(vec!["10.0.0.1", "::1"], 0..2);
    let address = address
        .prop_map(|texts| texts.iter().map(|text| text.parse().expect("an address")).collect());
    let port = subsequence(vec![1u16, 8080, 65535], 1..3);
    let name = option::of(select(vec!["inner", "a.b-c_d"]));
    let inner = || vec(content(), 0..3);
    let nested = (inner(), inner(), inner());
    (name, (client, address, port), content(), nested, 0usize..3).prop_map(
        |(name, (client, address, port), content, (not, any, all), pool)| Route {
            name: name.map(str::to_owned),
            when: unwritten(When { client, address, port, not, any, all, ..content }),
            pool: unwritten(format!("p-{pool}")),
        },
    )
}

/// Conditions that ask for what clients say: at least one thing, at most all.
fn content() -> impl Strategy<Value = When> {
    fn some<T: Clone + std::fmt::Debug + 'static>(
        texts: &'static [&'static str],
        read: fn(&str) -> T,
    ) -> impl Strategy<Value = Vec<T>> {
        let most = texts.len() + 1;
        subsequence(texts.to_vec(), 0..most)
            .prop_map(move |texts| texts.into_iter().map(read).collect())
    }
    let name = |text: &str| NamePattern::parse(text).expect("a legal name");
    let text = |text: &str| TextPattern::parse(text).expect("a legal text");
    let plain = |text: &str| text.to_owned();
    let protocols = Protocol::NAMES.map(|(_, protocol)| protocol).to_vec();
    let versions = TlsVersion::NAMES.map(|(_, version)| version).to_vec();
    let names = &["a.example", "*.b.example", "*", "10.0.0.1", "2001:db8::1"];
    let tls = (some(names, name), some(&["h2", "\"x\u{1}"], plain), subsequence(versions, 0..3));
    let fields = some(&["upgrade", "x-a: b", "user-agent: curl/*"], |text| {
        HeaderPattern::parse(text).expect("a legal field")
    });
    let http = (some(names, name), some(&["/", "/a b*", "*"], text), some(&["GET"], plain), fields);
    let database = (some(&["alice", "${x}"], plain), some(&["shop"], plain));
    let prefix = some(&["SSH-", "hex:00ff", "hex:6865783a", "ä"], |text| {
        Prefix::parse(text).expect("a legal prefix")
    });
    let bytes = (some(&["/p.git", "/g/*"], text), prefix, some(&["a+", r"\x00[\d']"], plain));
    let hours = some(&["mon-fri 08:00-18:00", "sat", "22:00-06:00"], |text| {
        Hours::parse(text).expect("legal hours")
    });
    let protocol = subsequence(protocols, 0..3);
    let proof = (some(&["*", "a b*", "${x}"], text), some(&["spiffe://a/*", "::1"], text));
    (tls, http, database, bytes, (hours, protocol, proof)).prop_map(
        |(tls, http, (user, database), bytes, (time, mut protocol, proof))| {
            let (client_cert, san) = proof;
            let (sni, alpn, tls_version) = tls;
            let (host, path, method, header) = http;
            let (git_repository, prefix, regex) = bytes;
            if protocol.is_empty() {
                protocol.push(Protocol::Tls);
            }
            When {
                time,
                protocol,
                sni,
                alpn,
                tls_version,
                client_cert,
                san,
                host,
                path,
                method,
                header,
                user,
                database,
                git_repository,
                prefix,
                regex,
                ..When::default()
            }
        },
    )
}

fn tcp() -> impl Strategy<Value = Tcp> {
    let seconds = |most| option::of((1u64..=most).prop_map(Duration::from_secs));
    let size =
        || option::of((1u32..=1 << 30).prop_map(|size| ByteSize::new(size).expect("a size")));
    let names = select(vec!["bbr", "reno", "x_y-z"]);
    let congestion = option::of(names.prop_map(|name| Congestion::parse(name).expect("a name")));
    let dscp = option::of((0..=Dscp::MAX).prop_map(|class| Dscp::new(class).expect("a class")));
    let mptcp = select(Mptcp::NAMES.map(|(_, sides)| sides).to_vec());
    let times = (seconds(32_767), option::of(time()), seconds(600));
    let numbers = (any_u32(), any_u32().prop_map(|queue| queue.filter(|n| n.get() < 65_536)));
    let sizes = (size(), size(), size());
    (times, proptest::bool::ANY, sizes, numbers, dscp, congestion, mptcp).prop_map(
        |(times, nodelay, sizes, (mark, fastopen), dscp, congestion, mptcp)| Tcp {
            keepalive: times.0,
            user_timeout: times.1,
            nodelay,
            notsent_lowat: sizes.0,
            mark,
            dscp,
            congestion,
            fastopen,
            mptcp,
            defer_accept: times.2,
            send_buffer: sizes.1,
            receive_buffer: sizes.2,
        },
    )
}

fn interface(name: &str) -> Interface {
    Interface::parse(name).expect("a legal name")
}

/// Numbers of any size but 0.
fn any_u32() -> impl Strategy<Value = Option<NonZeroU32>> {
    (0u32..32, proptest::num::u32::ANY).prop_map(|(shift, bits)| NonZeroU32::new(bits >> shift))
}

fn bandwidth() -> impl Strategy<Value = Bandwidth> {
    let rate =
        || option::of((1_000u64..=1 << 40).prop_map(|rate| ByteRate::new(rate).expect("a rate")));
    (rate(), rate()).prop_map(|(to_backend, to_client)| Bandwidth { to_backend, to_client })
}

fn pool() -> impl Strategy<Value = Pool> {
    let address = prop_oneof![
        select(vec!["10.0.0.1:80", "[2001:db8::1]:22", "original:1", "unix:@x"])
            .prop_map(|text| BackendAddress::parse(text, None).expect("a legal address")),
        Just(BackendAddress::Original),
        Just(BackendAddress::Requested),
    ];
    let max = option::of((1u32..=1000).prop_map(|max| max.try_into().expect("not zero")));
    let backend = (address, 1u32..=Weight::MAX, max, proptest::bool::ANY).prop_map(
        |(address, weight, max, backup)| Backend {
            address: unwritten(address),
            weight: Weight::new(weight).expect("the range is that of weights"),
            max,
            role: if backup { Role::Backup } else { Role::Primary },
        },
    );
    let balance = select(Balance::NAMES.map(|(_, balance)| balance).to_vec());
    let by = select(vec![StickyKey::Client, StickyKey::Network]);
    let entries =
        (1..=Sticky::ENTRIES_MAX).prop_map(|count| NonZeroUsize::new(count).expect("positive"));
    let sticky = (time(), by, entries).prop_map(|(ttl, by, entries)| Sticky { ttl, by, entries });
    let sticky = option::of(sticky);
    let address = select(vec!["10.0.0.9", "::1", "10.0.0.10"]);
    let addresses = vec(address.prop_map(|text| text.parse().expect("an address")), 1..4);
    let source = option::of(prop_oneof![
        addresses.prop_map(|addresses| unwritten(Source::Addresses(addresses))),
        Just(unwritten(Source::Interface(interface("eth0")))),
        Just(unwritten(Source::Client)),
    ]);
    let retry = prop_oneof![Just(Duration::ZERO), time()];
    let on_removed =
        prop_oneof![Just(OnRemoved::Keep), Just(OnRemoved::Cut), time().prop_map(OnRemoved::Drain)];
    let queue = option::of((1usize..=Queue::LENGTH_MAX, time()).prop_map(|(length, wait)| {
        let length = length.try_into().expect("not zero");
        unwritten(Queue { length, wait })
    }));
    let rare = (option::of(time()), on_removed, queue);
    let tries = option::of((1u32..1000).prop_map(|tries| tries.try_into().expect("not zero")));
    let failing = (retry, tries, select(AllDown::NAMES.map(|(_, all_down)| all_down).to_vec()));
    let via = vec(proxy().prop_map(unwritten), 0..3);
    let tls = option::of(backend_tls().prop_map(unwritten));
    let ways = (source, via, option::of(send_proxy()), tls);
    (vec(backend, 1..5), balance, sticky, failing, rare, ways).prop_map(
        |(
            backends,
            balance,
            sticky,
            (retry_down, tries, all_down),
            (slow_start, on_removed, queue),
            (source, via, send, tls),
        )| Pool {
            on_removed,
            queue,
            balance,
            sticky,
            tries,
            retry_down,
            slow_start,
            all_down,
            source,
            via,
            send_proxy: send.map(unwritten),
            tls,
            ..Pool::new(unwritten(String::new()), backends)
        },
    )
}

fn proxy() -> impl Strategy<Value = Proxy> {
    let address = select(vec!["10.0.3.1:80", "[::1]:3128", "gate.example:8080"]);
    let protocol = select(ProxyProtocol::SCHEMES.map(|(_, protocol)| protocol).to_vec());
    let name = || select(vec!["user", "a b@c", "%41", "/é?#", "file!"]).prop_map(str::to_owned);
    let password = select(vec!["secret", "file:x", "@:/%${X}\\\"", "***"]).prop_map(Password::new);
    (address, protocol, option::of((name(), password)), proptest::bool::ANY).prop_map(
        |(address, protocol, credentials, bare)| {
            let address = BackendAddress::parse(address, None).expect("a legal address");
            let protocol = match protocol {
                ProxyProtocol::Http { .. } => {
                    ProxyProtocol::Http { bare: bare && credentials.is_none() }
                }
                protocol => protocol,
            };
            let is_by_name = matches!(protocol, ProxyProtocol::Socks4 | ProxyProtocol::Socks4a);
            let credentials = credentials.map(|(user, password)| {
                let password = Some(password).filter(|_| !is_by_name);
                Credentials { user, password }
            });
            let mut tls = ProxyTls::default();
            if protocol == ProxyProtocol::Https && bare {
                let path = |path: &str| unwritten(path.to_owned());
                let (ca, pins) = (path("/etc/my ca/é%.pem"), vec![Pin::new([7; 32]); 2]);
                let revoked = vec![path("/etc/a.crl"), path("/etc/b=.crl")];
                // By the length of something, so that there is one of each.
                tls.verify = match credentials.as_ref().map(|credentials| credentials.user.len()) {
                    None => Verify::Full { ca: Some(ca), pins, revoked },
                    Some(4) => Verify::Authority { ca, pins, revoked },
                    Some(_) => Verify::Pins(pins),
                };
                tls.name = Some(ServerName::Host("proxy.example".to_owned()));
                let ours = CertificateFiles::new(path("/etc/us 2.pem"));
                tls.certificate = Some(CertificateFiles { key: Some(path("/k")), ..ours });
            }
            Proxy { address, protocol, credentials, tls }
        },
    )
}

fn proxy_server() -> impl Strategy<Value = ProxyServer> {
    let protocols = ServedProtocol::NAMES.map(|(_, protocol)| protocol).to_vec();
    let names = select(vec!["alice", "b c", "é@", "file!"]).prop_map(str::to_owned);
    let password = select(vec!["secret", "a:b", "file:x", "${X}\\\"", " "]).prop_map(Password::new);
    let user = (names, password).prop_map(|(user, password)| {
        unwritten(Users::One(Credentials { user, password: Some(password) }))
    });
    let to = vec!["*.a.example", "b.example:443", "*:25", "10.0.0.0/8:1-9", "[::1/128]:80", "::/0"];
    let to = || {
        let destination = |text: &str| Destination::parse(text).expect("a destination");
        vec(select(to.clone()).prop_map(move |text| unwritten(destination(text))), 0..3)
    };
    let private = select(Private::NAMES.map(|(_, private)| private).to_vec());
    (subsequence(protocols, 1..=3), vec(user, 0..3), to(), to(), private).prop_map(
        |(protocols, users, allow_to, deny_to, private)| ProxyServer {
            protocols,
            users,
            allow_to,
            deny_to,
            private,
        },
    )
}

fn backend_tls() -> impl Strategy<Value = BackendTls> {
    let path =
        || select(vec!["ca.pem", "/etc/a b/${X}\"\\"]).prop_map(|path| unwritten(path.into()));
    let pins = vec(proptest::array::uniform32(proptest::num::u8::ANY).prop_map(Pin::new), 1..3);
    let parts = (option::of(path()), pins, vec(path(), 0..3), 0..5);
    let verify = parts.prop_map(|(ca, pins, revoked, which)| match (which, ca) {
        (0, ca) => Verify::Full { ca, pins: Vec::new(), revoked },
        (1, ca) => Verify::Full { ca, pins, revoked },
        (2, Some(ca)) => Verify::Authority { ca, pins, revoked },
        (2 | 3, _) => Verify::Pins(pins),
        _ => Verify::None,
    });
    let name = select(vec!["db.example", "10.0.0.1", "::1"]);
    let name =
        option::of(name.prop_map(|name| unwritten(ServerName::parse(name).expect("a legal name"))));
    let secret = select(vec!["file:/x y", "env:PASS", "text:p w\\${A}"]);
    let secret = option::of(
        secret.prop_map(|secret| unwritten(Secret::parse(secret).expect("a legal secret"))),
    );
    let certificate =
        option::of((path(), option::of(path()), secret).prop_map(|(cert, key, passphrase)| {
            CertificateFiles { key, passphrase, ..CertificateFiles::new(cert) }
        }));
    let alpn = vec(select(vec!["h2", "http/1.1", "\"x\u{1}"]).prop_map(str::to_owned), 0..3);
    let min_version = select(MinVersion::NAMES.map(|(_, version)| version).to_vec());
    (verify, name, certificate, alpn, min_version, starttls()).prop_map(
        |(verify, name, certificate, alpn, min_version, starttls)| BackendTls {
            verify,
            name,
            certificate,
            alpn,
            min_version,
            starttls,
        },
    )
}

/// One to three logs, each to a place of its own.
fn logs() -> impl Strategy<Value = Vec<Log>> {
    vec(log(), 1..4).prop_map(|mut logs| {
        let mut places = Vec::new();
        logs.retain(|log| {
            let is_new = !places.contains(&log.to);
            places.push(log.to.clone());
            is_new
        });
        logs
    })
}

fn log() -> impl Strategy<Value = Log> {
    let format = select(LogFormat::NAMES.map(|(_, format)| format).to_vec());
    let verbosity = select(Verbosity::NAMES.map(|(_, verbosity)| verbosity).to_vec());
    let every = option::of((1_000u64..1_000_000).prop_map(Duration::from_millis));
    let sample = (1u32..=1000).prop_map(|count| count.try_into().map(Sample::one_in));
    let records = (proptest::bool::ANY, every, sample, proptest::bool::ANY);
    (format, target(), verbosity, records).prop_map(
        |(format, to, verbosity, (start, every, sample, requests))| {
            let log = Log { format, verbosity, ..Log::to(to) };
            match verbosity {
                // It has no records for these to say anything about.
                Verbosity::Quiet => log,
                _ if !format.has_records() => log,
                _ => Log {
                    start: start && format.has_events(),
                    every: every.filter(|_| format.has_events()),
                    sample: sample.expect("not zero"),
                    requests: requests && format.has_requests(),
                    ..log
                },
            }
        },
    )
}

fn target() -> impl Strategy<Value = LogTarget> {
    let file = |path: &str| LogTarget::File(path.to_owned());
    let server = |text| HostPort::parse(text, 99).expect("a legal server");
    let servers = select(vec![
        SyslogServer::Local,
        SyslogServer::Udp(server("10.0.0.5:514")),
        SyslogServer::Udp(server("[2001:db8::5]:5140")),
        SyslogServer::Tcp(server("log-host.example:601")),
        SyslogServer::Tcp(server("x")),
    ]);
    let protocol = select(SyslogProtocol::NAMES.map(|(_, protocol)| protocol).to_vec());
    let facility = select(Facility::NAMES.to_vec());
    let tag = select(vec!["replug", "edge-1/a_b.c"]);
    let severity = option::of(select(SyslogSeverity::NAMES.map(|(_, severity)| severity).to_vec()));
    let label = (facility, tag, severity).prop_map(|(facility, tag, severity)| SyslogLabel {
        facility: Facility::named(facility).expect("one of its names"),
        tag: Tag::new(tag).expect("a legal tag"),
        severity,
    });
    let syslog = (servers, protocol, label.clone()).prop_map(|(server, protocol, label)| Syslog {
        server,
        protocol,
        label,
    });
    let plain = [LogTarget::Stderr, LogTarget::Stdout, file("/var/log/a b"), file("$${a}\\\t'\"")];
    prop_oneof![
        select(plain.to_vec()),
        syslog.prop_map(LogTarget::Syslog),
        label.prop_map(LogTarget::Journald),
    ]
}
