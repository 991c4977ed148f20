//! Clients that prove who they are.

use rig::wait;

use super::authority::{Authority, Valid};
use super::{Site, expect_alert, expect_served};

/// Both versions: in 1.3 the client believes that all is well before it is looked at.
const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

struct Clients {
    authority: Authority,
    other: Authority,
    own: String,
}

impl Clients {
    fn new() -> Self {
        let (authority, other) = (Authority::new(), Authority::named("another"));
        authority.sign("site", "site", "DNS:site.example", Valid::Now);
        authority.sign("good", "pay 7", "DNS:pay.example,URI:spiffe://prod/pay", Valid::Now);
        authority.sign("expired", "expired", "DNS:old.example", Valid::InThePast);
        authority.sign("revoked", "revoked", "DNS:gone.example", Valid::Now);
        authority.revoke(Some("revoked"));
        other.sign("stranger", "pay 7", "DNS:pay.example", Valid::Now);
        let [cert, key] = ["site.pem", "site.key"].map(|name| authority.path(name));
        Self { own: format!("cert = \"{cert}\", key = \"{key}\""), authority, other }
    }

    /// A listener that asks for certificates.
    fn asking(&self, need: &str) -> String {
        let [ca, crl] = ["ca.pem", "ca.crl"].map(|name| self.authority.path(name));
        let own = &self.own;
        format!(
            "tls = {{ {own}, client_ca = \"{ca}\", crl = \"{crl}\", client_auth = \"{need}\" }}"
        )
    }

    /// What a client has to say that shows this certificate, if any.
    fn show(&self, site: &Site, listener: usize, who: &str, words: &[&str]) -> String {
        let authority = if who == "stranger" { &self.other } else { &self.authority };
        let [cert, key] = ["pem", "key"].map(|kind| authority.path(&format!("{who}.{kind}")));
        let shown = ["-cert", &cert, "-key", &key];
        let shown = if who == "nobody" { &[][..] } else { &shown };
        site.client(listener, &[words, shown].concat())
    }
}

#[test]
fn who_is_served_that_shows_what() {
    let clients = Clients::new();
    let plain = format!("tls = {{ {} }}", clients.own);
    let site = Site::start(
        &clients.authority,
        &[&plain, &clients.asking("optional"), &clients.asking("required")],
    );
    let alerts = [
        ("nobody", [None, None, Some("certificate required")]),
        ("good", [None, None, None]),
        ("stranger", [None, Some("unknown ca"), Some("unknown ca")]),
        ("expired", [None, Some("certificate expired"), Some("certificate expired")]),
        ("revoked", [None, Some("certificate revoked"), Some("certificate revoked")]),
    ];
    let mut count = 0;
    for (who, alerts) in alerts {
        for (listener, alert) in alerts.into_iter().enumerate() {
            for version in VERSIONS {
                let said = clients.show(&site, listener, who, &[version]);
                count += 1;
                match alert {
                    None => expect_served(&said),
                    // TLS 1.2 has no alert for a certificate that is missing.
                    Some("certificate required") => expect_alert(&said, "alert"),
                    Some(alert) => expect_alert(&said, alert),
                }
            }
        }
    }
    let records = site.forwarder.records(count);
    let refused = records.iter().filter(|record| record.reason() == "tls_error");
    assert_eq!(refused.count(), 14);
    let named = records.iter().filter(|record| record.field("client_cert") == "pay 7");
    assert_eq!(named.count(), 4, "where nobody is asked, nobody has proven anything");
}

#[test]
fn routes_go_by_what_was_proven() {
    let clients = Clients::new();
    let routes = "\
        [[route]]\nwhen = { san = [\"spiffe://prod/*\"], client_cert = \"pay*\" }\npool = \"pay\"\n";
    let asking = format!("{}\n{routes}", clients.asking("optional"));
    let site = Site::start(&clients.authority, &[&asking]);
    clients.authority.sign("site", "pay 7", "DNS:pay.example", Valid::Now);
    for (at, (who, pool)) in
        [("good", "pay"), ("site", "all"), ("nobody", "all")].iter().enumerate()
    {
        expect_served(&clients.show(&site, 0, who, &[]));
        assert_eq!(site.forwarder.records(at + 1)[at].field("pool"), *pool, "{who}");
    }
}

#[test]
fn nobody_resumes_what_is_revoked_meanwhile() {
    let clients = Clients::new();
    let site = Site::start(&clients.authority, &[&clients.asking("required")]);
    for version in VERSIONS {
        let session = clients.authority.path("session");
        let first = clients.show(&site, 0, "good", &[version, "-sess_out", &session]);
        expect_served(&first);
        let again = clients.show(&site, 0, "good", &[version, "-sess_in", &session]);
        expect_served(&again);
        assert!(again.contains("Reused, "), "{again}");
    }
    clients.authority.revoke(Some("good"));
    site.forwarder.messages().expect("certificates read again");
    let session = clients.authority.path("session");
    for version in VERSIONS {
        let said = clients.show(&site, 0, "good", &[version, "-sess_in", &session]);
        expect_alert(&said, "certificate revoked");
    }
    wait::until("the log has everything", || site.forwarder.records(6).len() == 6);
}
