//! Sound native TOML and the configuration it makes.

use dialect::native;
use dialect::render::{Colour, render};
use model::Sources;

fn read(text: &str) -> native::Reading {
    let mut sources = Sources::default();
    let file = sources.add("replug.toml", text);
    let reading = native::read(
        &[file],
        &mut sources,
        &|name| (name == "PORT").then(|| "8080".to_owned()),
        &|_| Err(String::new()),
    );
    assert_eq!(render(&reading.diagnostics, &sources, Colour::Never), "", "{text}");
    reading
}

/// Checks that `text` is read, and means what `expected` says in the fullest form.
#[track_caller]
fn check(text: &str, expected: &str) {
    let config = read(text).config;
    let written = native::write(&config);
    assert_eq!(written, expected);
    assert_eq!(read(&written).config, config);
    assert_eq!(read(&native::write_effective(&config)).config, config);
}

#[test]
fn a_listener_with_its_own_pool() {
    check(
        "[listener.web]\nbind = \":${PORT}\"\nto = [\"10.0.0.1\", \"b.example:81 weight=2 backup\"]\n\
         balance = \"first\"\nsticky = { by = \"client\" }",
        "[listener.\"web\"]\nbind = [\":8080\"]\npool = \"web\"\n\n[pool.\"web\"]\n\
         backends = [\"10.0.0.1:8080\", \"b.example:81 weight=2 backup\"]\nbalance = \"first\"\n\
         sticky = { by = \"client\", ttl = \"1h\" }\n",
    );
}

#[test]
fn several_listeners_share_a_pool() {
    check(
        "[log]\nformat = \"json\"\nto = \"-\"\n[limits]\nsessions = 9_000\n\
         [runtime]\nsplice = false\n\
         [listener.a]\nbind = [\"5000-5002\", \"unix:/run/a\"]\npool = \"p\"\nallow = \"10.0.0.0/8\"\n\
         [listener.b]\nbind = \"[::1]:1\"\npool = \"p\"\ntimeouts = { idle = \"0\" }\n\
         [pool.p]\nbackends = \"10.0.0.1:80\"\nsource = \"eth0\"",
        "[listener.\"a\"]\nbind = [\":5000-5002\", \"unix:/run/a\"]\npool = \"p\"\n\
         allow = [\"10.0.0.0/8\"]\n\n[listener.\"b\"]\nbind = [\"[::1]:1\"]\npool = \"p\"\n\
         timeouts.idle = \"0\"\n\n[pool.\"p\"]\nbackends = [\"10.0.0.1:80\"]\nsource = \"eth0\"\n\n\
         [limits]\nsessions = 9000\n\n[log]\nformat = \"json\"\nto = \"-\"\n\n\
         [runtime]\nsplice = false\n",
    );
}

#[test]
fn a_difference_names_each_key_that_changes() {
    let old = "[listener.web]\nbind = [\":8080\", \":9000\"]\nto = \"10.0.0.1:80\"\n\
               [listener.old]\nbind = \":1\"\npool = \"db\"\n\
               [pool.db]\nbackends = [\"10.0.0.2:1\", \"10.0.0.3:1\"]\n";
    let new = "[listener.web]\nbind = [\":8081\", \":9000\"]\nto = \"10.0.0.1:80\"\n\
               timeouts = { idle = \"5m\" }\n\
               [listener.new]\nbind = \":1\"\npool = \"db\"\n\
               [pool.db]\nbackends = [\"10.0.0.3:1\", \"10.0.0.2:1\"]\nbalance = \"maglev\"\n\
               sticky = { by = \"client\" }\n\
               [limits]\nsessions = 100\n";
    let (old, new) = (read(old).config, read(new).config);
    assert_eq!(native::difference(&old, &old), Vec::<String>::new());
    assert_eq!(
        native::difference(&old, &new),
        [
            "~ limits.sessions: unset -> 100",
            "+ listener.new",
            "~ listener.web.bind: + \":8081\" - \":8080\"",
            "~ listener.web.timeouts.idle: unset -> \"5m\"",
            "~ pool.db.backends: in another order",
            "~ pool.db.balance: \"round-robin\" -> \"maglev\"",
            "~ pool.db.sticky.by: unset -> \"client\"",
            "~ pool.db.sticky.entries: unset -> 32768",
            "~ pool.db.sticky.ttl: unset -> \"1h\"",
            "- listener.old",
        ]
    );
}

#[test]
fn a_difference_of_logs_names_them_by_where_they_go() {
    let head = "[listener.a]\nbind = \":1\"\nto = \"10.0.0.1:80\"\n";
    let [one, two, other] = [
        "[log]\nformat = \"json\"\n",
        "[[log]]\n[[log]]\nto = \"/var/log/a\"\n",
        "[[log]]\nstart = true\n[[log]]\nto = \"syslog\"\n",
    ]
    .map(|logs| read(&format!("{head}{logs}")).config);
    assert_eq!(
        native::difference(&one, &two),
        ["+ log.\"/var/log/a\"", "+ log.\"stderr\"", "- log"]
    );
    assert_eq!(
        native::difference(&two, &other),
        ["~ log.\"stderr\".start: false -> true", "+ log.\"syslog\"", "- log.\"/var/log/a\""]
    );
}

#[test]
fn every_key_of_a_log() {
    check(
        "[listener.a]\nbind = \":80\"\npool = \"p\"\n[pool.p]\nbackends = \"10.0.0.1:80\"\n\
         [[log]]\nto = \"syslog+tcp://loghost\"\nformat = \"haproxy-tcp\"\nfacility = \"local0\"\n\
         tag = \"edge\"\nprotocol = \"rfc3164\"\nstart = true\nevery = \"10m\"\nsample = \"1/10\"\n\
         [[log]]\nto = \"journald\"\nverbosity = \"verbose\"\n",
        "[listener.\"a\"]\nbind = [\":80\"]\npool = \"p\"\n\n[pool.\"p\"]\n\
         backends = [\"10.0.0.1:80\"]\n\n\
         [[log]]\nformat = \"haproxy-tcp\"\nto = \"syslog+tcp://loghost:601\"\n\
         start = true\nevery = \"10m\"\nsample = \"1/10\"\nfacility = \"local0\"\n\
         tag = \"edge\"\nprotocol = \"rfc3164\"\n\n\
         [[log]]\nto = \"journald\"\nverbosity = \"verbose\"\n",
    );
}

#[test]
fn a_queue_of_a_pool() {
    check(
        "[listener.a]\nbind = \":80\"\nto = \"10.0.0.1:80 max=5\"\nqueue = { length = 100 }",
        "[listener.\"a\"]\nbind = [\":80\"]\npool = \"a\"\n\n[pool.\"a\"]\n\
         backends = [\"10.0.0.1:80 max=5\"]\nqueue = { length = 100, wait = \"5s\" }\n",
    );
}

#[test]
fn limits_of_the_process_and_of_a_listener() {
    check(
        "[limits]\nper_client = 50\nrate = \"500/s\"\n\
         [listener.a]\nbind = \":80\"\npool = \"p\"\ntimeouts = { lifetime = \"24h\" }\n\
         limits = { sessions = 2000, rate_per_client = \"20/m\" }\n\
         [pool.p]\nbackends = \"10.0.0.1:80\"\nslow_start = \"30s\"",
        "[listener.\"a\"]\nbind = [\":80\"]\npool = \"p\"\nlimits.sessions = 2000\n\
         limits.rate_per_client = \"20/m\"\ntimeouts.lifetime = \"1d\"\n\n[pool.\"p\"]\n\
         backends = [\"10.0.0.1:80\"]\nslow_start = \"30s\"\n\n\
         [limits]\nper_client = 50\nrate = \"500/s\"\n",
    );
}

#[test]
fn lists_are_read_from_where_they_are_named_and_once() {
    let mut sources = Sources::default();
    let name = "/etc/replug/replug.toml";
    let listener = |name: &str, port: u16, allow: &str| {
        format!("[listener.{name}]\nbind = \":{port}\"\nto = \"10.0.0.1:80\"\nallow = {allow}\n")
    };
    let text = listener("a", 1, "[\"file:lists/a\", \"10.9.0.0/16\"]")
        + &listener("b", 2, "[\"/srv/b\", \"file:lists/a\"]");
    let file = sources.add(name, text);
    let asked = std::cell::RefCell::new(Vec::new());
    let list = |path: &std::path::Path| {
        asked.borrow_mut().push(path.display().to_string());
        Ok("# ten thousand\n".to_owned()
            + &(0..10_000).fold(String::new(), |text, n| {
                format!("{text}10.{}.{}.0/24 # {n}\n", n / 256, n % 256)
            }))
    };
    let reading = native::read(&[file], &mut sources, &|_| None, &list);
    assert_eq!(render(&reading.diagnostics, &sources, Colour::Never), "");
    let expected = ["/etc/replug/lists/a", "/srv/b"];
    assert_eq!(*asked.borrow(), expected);
    assert_eq!(reading.lists, expected);
    let lengths = reading.config.listeners.iter().map(|listener| listener.access.allow.len());
    assert_eq!(lengths.collect::<Vec<_>>(), [10_001, 20_000]);
    let last = &reading.config.listeners[0].access.allow[9_999];
    assert_eq!(sources.words(last.span.expect("it is written there")), "10.39.15.0/24");
}

#[test]
fn proxies_one_behind_the_other() {
    check(
        "[listener.web]\nbind = \":1\"\nto = \"a.example:80\"\n\
         via = [\"socks5h://10.0.3.1\", \"http://[::1]:3128 bare\", \"socks4a://us%65r@b.example\"]",
        "[listener.\"web\"]\nbind = [\":1\"]\npool = \"web\"\n\n[pool.\"web\"]\n\
         backends = [\"a.example:80\"]\n\
         via = [\"socks5h://10.0.3.1:1080\", \"http://[::1]:3128 bare\", \
         \"socks4a://user@b.example:1080\"]\n",
    );
}

#[test]
fn passwords_are_read_from_files_and_shown_nowhere() {
    let read = |url: &str| {
        let mut sources = Sources::default();
        let text = format!(
            "[listener.web]\nbind = \":1\"\nto = \"a.example:80\"\nvia = \"socks5://{url}@b.example\"\n"
        );
        let file = sources.add("/etc/replug/replug.toml", text);
        let reading = native::read(&[file], &mut sources, &|_| None, &|path| match path.to_str() {
            Some("/etc/replug/gate/secret") => Ok("from file\n".to_owned()),
            _ => Err("it is not there".to_owned()),
        });
        assert_eq!(render(&reading.diagnostics, &sources, Colour::Never), "");
        reading
    };
    let reading = read("user:file:gate/secret");
    assert_eq!(reading.lists, ["/etc/replug/gate/secret"]);
    let credentials = reading.config.pools[0].via[0].value.credentials.as_ref();
    let secret = credentials.and_then(|credentials| credentials.password.as_ref());
    let secret = secret.expect("it has a password");
    assert_eq!((secret.reveal(), secret.file()), ("from file", Some("gate/secret")));
    let via = |text: String| text.lines().find(|line| line.starts_with("via")).map(str::to_owned);
    let shown = "via = \"socks5://user:file:gate/secret@b.example:1080\"";
    assert_eq!(via(native::write(&reading.config)).as_deref(), Some(shown));

    let [old, new] = ["user:one%40", "user:two%40"].map(|user| read(user).config);
    let written = "via = \"socks5://user:one%40@b.example:1080\"";
    assert_eq!(via(native::write(&old)).as_deref(), Some(written));
    let shown = "via = \"socks5://user:***@b.example:1080\"";
    assert_eq!(via(native::write_effective(&old)).as_deref(), Some(shown));
    assert!(!format!("{old:?}").contains("one@"), "{old:?}");
    let hidden = "\"socks5://user:***@b.example:1080\"";
    let difference = format!("~ pool.web.via: {hidden} -> {hidden}");
    assert_eq!(native::difference(&old, &new), [difference]);
    assert_eq!(native::difference(&old, &old), Vec::<String>::new());
}
