//! Where sessions go that speak TLS here: by the handshake, and by what is said within.

use rig::Backend;

use super::Site;

#[test]
fn routes_ask_what_was_agreed_on_and_what_is_said_within() {
    let names = ["sni", "alpn", "version", "http", "rest"];
    let backends: Vec<_> = names.iter().map(|name| (*name, Backend::bind())).collect();
    let pools: Vec<_> = backends.iter().map(|(name, backend)| (*name, backend)).collect();
    let routes = r#"
pool = "rest"
timeouts = { sniff = "1m" }
on_silence = "rest"
[[route]]
when = { sni = "b.example" }
pool = "sni"
[[route]]
when = { alpn = "h2" }
pool = "alpn"
[[route]]
when = { tls_version = "1.2" }
pool = "version"
[[route]]
when = { protocol = "http", host = "a.example" }
pool = "http"
"#;
    let site = Site::with_pools(", alpn = [\"h2\", \"http/1.1\"]", routes, &pools);
    let http = "send=GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    for (pool, options, say) in [
        ("sni", &["name=b.example", "alpn=http/1.1"][..], "send=x"),
        ("alpn", &["name=a.example", "alpn=http/1.1,h2"], "send=x"),
        ("version", &["version=1.2", "alpn=http/1.1"], http),
        ("http", &["version=1.3", "alpn=http/1.1"], http),
        ("rest", &["version=1.3"], "send=SSH-2.0-x\r\n"),
    ] {
        let client = site.client(options, &[say, "end", "all"]);
        let at = names.iter().position(|name| *name == pool).expect("it is there");
        let peer = backends[at].1.accept();
        peer.expect(&say.as_bytes()["send=".len()..]);
        peer.expect_fin();
        peer.send(pool.as_bytes());
        peer.half_close();
        assert_eq!(client.said(), [format!("{pool}<end>")]);
    }
    let mut records = site.forwarder.records(5);
    records.sort_by_key(|record| record.field("id").as_u64());
    let of = |at: usize, field: &str| records[at].field(field).clone();
    assert_eq!((of(0, "sni"), of(0, "alpn")), ("b.example".into(), "http/1.1".into()));
    assert_eq!((of(1, "sni"), of(1, "alpn")), ("a.example".into(), "h2".into()));
    assert!(of(4, "sni").is_null() && of(4, "alpn").is_null());
}
