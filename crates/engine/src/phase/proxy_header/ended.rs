//! What backends are told of TLS that ends at replug, in the words that other proxies have for it.

use relay::Socket;
use tls::Facts;
use tls::session::Version;
use wire::proxy_header::{Kind, Ssl, TlvBuffer, ssl_value};

use super::TEXT_BYTES_MAX;

/// What was agreed on with a client.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The protocol that is spoken within.
    pub(super) alpn: Option<Box<[u8]>>,
    /// The rest, as it stands in a header.
    pub(super) ssl: Box<[u8]>,
}

impl Ended {
    /// With `client`, if it speaks TLS with us.
    pub(crate) fn of(client: &Socket) -> Option<Self> {
        let negotiated = tls::session::negotiated(client.cipher()?)?;
        let proof = negotiated.peer.first().map(|certificate| Proof {
            is_earlier: negotiated.is_resumed,
            common_name: Facts::read(certificate.as_der()).and_then(|facts| facts.common_name),
        });
        let ssl = ssl(negotiated.version, negotiated.suite, proof.as_ref()).into();
        Some(Self { alpn: negotiated.alpn, ssl })
    }
}

/// The certificate that a client has shown. One that does not hold would have ended the session.
struct Proof {
    /// Not in this connection, but in the one that this one resumes.
    is_earlier: bool,
    common_name: Option<String>,
}

fn ssl(version: Version, suite: &str, proof: Option<&Proof>) -> Vec<u8> {
    let (client, verify) = match proof {
        None => (Ssl::CLIENT_SSL, 1),
        Some(Proof { is_earlier: true, .. }) => (Ssl::CLIENT_SSL | Ssl::CLIENT_CERT_SESS, 0),
        Some(Proof { is_earlier: false, .. }) => {
            (Ssl::CLIENT_SSL | Ssl::CLIENT_CERT_CONN | Ssl::CLIENT_CERT_SESS, 0)
        }
    };
    let version = match version {
        Version::Tls12 => "TLSv1.2",
        Version::Tls13 => "TLSv1.3",
    };
    let name = proof.and_then(|proof| proof.common_name.as_deref());
    let name = name.filter(|name| !name.is_empty() && name.len() <= TEXT_BYTES_MAX);
    let cipher = cipher(suite);
    let told = [
        (Kind::SSL_VERSION, Some(version)),
        (Kind::SSL_CN, name),
        (Kind::SSL_CIPHER, Some(&*cipher)),
    ];
    let mut fields = TlvBuffer::default();
    for (kind, text) in told {
        // Each is short, so that there is room.
        let pushed = text.map(|text| fields.push(kind, text.as_bytes()));
        debug_assert!(pushed.is_none_or(|pushed| pushed.is_ok()), "what is told is bounded");
    }
    ssl_value(client, verify, &fields)
}

/// What OpenSSL calls a suite, and so do all who tell of one.
fn cipher(suite: &str) -> String {
    if let Some(rest) = suite.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let name = suite.strip_prefix("TLS_").unwrap_or(suite);
    let name = name.replace("_WITH_", "-").replace("AES_", "AES").replace('_', "-");
    match name.strip_suffix("-POLY1305-SHA256") {
        Some(rest) => format!("{rest}-POLY1305"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_called_as_everywhere() {
        for (suite, expected) in [
            ("TLS13_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
            ("TLS13_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
            ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
            ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
        ] {
            assert_eq!(cipher(suite), expected);
        }
    }

    #[test]
    fn a_certificate_is_told_of_where_it_was_shown() {
        let suite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        let proof = |is_earlier| Proof { is_earlier, common_name: Some("alice".to_owned()) };
        let told = |proof: Option<Proof>| ssl(Version::Tls12, suite, proof.as_ref());
        assert_eq!(told(None)[..5], [1, 0, 0, 0, 1]);
        assert_eq!(told(Some(proof(true)))[..5], [5, 0, 0, 0, 0]);
        let here = told(Some(proof(false)));
        assert_eq!(here[..5], [7, 0, 0, 0, 0]);
        let fields = b"\x21\0\x07TLSv1.2\x22\0\x05alice\x23\0\x1bECDHE-RSA-AES128-GCM-SHA256";
        assert_eq!(here[5..], fields[..]);
    }
}
