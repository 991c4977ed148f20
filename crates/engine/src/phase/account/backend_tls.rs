//! Why there is no TLS with a backend.

use std::fmt;

use tls::Distrust;

/// Why there is no TLS with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsFailure {
    /// It was asked for TLS in the clear, and refused.
    NotOffered,
    /// What it said in the clear is of another protocol.
    OtherProtocol,
    /// It said more in the clear than it may, which would have been taken for said within TLS.
    OutOfTurn,
    /// It is not who it should be.
    Distrust(Distrust),
    /// It refused us, with this alert (RFC 8446, 6.2).
    Alert(u8),
    /// What it sends is no TLS, or both have nothing in common.
    Broken,
    /// It ended the connection before both had agreed.
    Closed,
}

impl TlsFailure {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotOffered => "no_tls",
            Self::OtherProtocol | Self::OutOfTurn => "tls_opening",
            Self::Distrust(Distrust::UnknownAuthority) => "tls_unknown_authority",
            Self::Distrust(Distrust::OtherName) => "tls_other_name",
            Self::Distrust(Distrust::Expired) => "tls_expired",
            Self::Distrust(Distrust::NotValidYet) => "tls_not_valid_yet",
            Self::Distrust(Distrust::Revoked) => "tls_revoked",
            Self::Distrust(Distrust::OtherKey) => "tls_other_key",
            Self::Distrust(Distrust::Authority | Distrust::Unsound) => "tls_certificate",
            Self::Alert(_) => "tls_refused",
            Self::Broken => "tls_error",
            Self::Closed => "tls_closed",
        }
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOffered => "it does not offer TLS",
            Self::OtherProtocol => "it speaks another protocol than `starttls` says",
            Self::OutOfTurn => "it said more before TLS than it may",
            Self::Distrust(Distrust::UnknownAuthority) => {
                "its certificate is of an authority that is not believed"
            }
            Self::Distrust(Distrust::OtherName) => "its certificate is for another name",
            Self::Distrust(Distrust::Expired) => "its certificate has expired",
            Self::Distrust(Distrust::NotValidYet) => "its certificate is not valid yet",
            Self::Distrust(Distrust::Revoked) => "its certificate was revoked",
            Self::Distrust(Distrust::OtherKey) => "its key is not the one that is pinned",
            Self::Distrust(Distrust::Authority) => "its certificate is that of an authority",
            Self::Distrust(Distrust::Unsound) => "its certificate is not sound",
            Self::Alert(alert) => return write!(f, "it refused TLS: {}", alert_name(*alert)),
            Self::Broken => "what it sends is not TLS, or no version of it that both speak",
            Self::Closed => "it closed the connection before TLS had begun",
        })
    }
}

/// What an alert is called (RFC 8446, 6).
fn alert_name(alert: u8) -> String {
    let name = match alert {
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        other => return format!("alert {other}"),
    };
    name.to_owned()
}
