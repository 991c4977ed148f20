//! Clients that speak HTTP: `CONNECT`, and requests for `http://` URLs.
//!
//! A request for a URL is passed on to the one server that it is for, as that expects it: with the
//! path for a target, the host of the URL, and without what is meant for the proxy. It says
//! `Connection: close`, so that one connection carries one request: the next may be for another
//! server, and comes by a connection of its own.

use model::ServedProtocol;
use wire::Parse;
use wire::basic;
use wire::http::{HEAD_BYTES_MAX, Request, Version, read_request};

use super::{Declined, Destination, Manner, Talk};
use crate::phase::account::Reason;

/// The answer to `CONNECT` when the way is open.
pub(super) const CONNECTED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// What stands before the host of a URL that can be passed on.
const HTTP: &str = "http://";

/// Fields that are for the proxy, or for the connection to it.
const OF_PROXY: [&str; 6] =
    ["host", "connection", "proxy-connection", "proxy-authorization", "keep-alive", "te"];

/// Fields that say where a request ends, which nobody may take off it.
const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];

/// What was read.
enum Wish {
    SignIn { is_wrong: bool },
    Connect(Destination),
    Forward(Destination, Vec<u8>),
    Not(Status),
}

/// An answer that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    BadRequest,
    Forbidden,
    SignIn,
    NotImplemented,
    BadGateway,
    Unavailable,
    GatewayTimeout,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Self::BadRequest => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::SignIn => "407 Proxy Authentication Required",
            Self::NotImplemented => "501 Not Implemented",
            Self::BadGateway => "502 Bad Gateway",
            Self::Unavailable => "503 Service Unavailable",
            Self::GatewayTimeout => "504 Gateway Timeout",
        }
    }
}

impl Talk<'_> {
    pub(super) async fn http(&mut self) -> Result<(Destination, Manner), Declined> {
        debug_assert!(self.served.speaks(ServedProtocol::Http));
        let served = self.served;
        let read = |bytes: &[u8]| match read_request(bytes) {
            Parse::Whole { value, length } => {
                let said = value.field("proxy-authorization").and_then(basic::read);
                let known = said.as_ref().and_then(|(user, word)| served.known(user, word));
                let wish = match served.has_users() && known.is_none() {
                    true => Wish::SignIn { is_wrong: said.is_some() },
                    false => wish(&value),
                };
                Parse::Whole { value: (wish, known), length }
            }
            Parse::Partial => Parse::Partial,
            Parse::Foreign(_) => Parse::Foreign(Declined::bad(reply(Status::BadRequest))),
        };
        let (wish, user) = self.hear(HEAD_BYTES_MAX, read).await?;
        *self.user = user;
        match wish {
            Wish::Connect(destination) => Ok((destination, Manner::Connect)),
            Wish::Forward(destination, head) => {
                self.bytes.splice(..0, head);
                Ok((destination, Manner::Forward))
            }
            Wish::SignIn { is_wrong } => {
                if is_wrong {
                    self.pause().await;
                }
                Err(Declined::denied(reply(Status::SignIn)))
            }
            Wish::Not(status) => Err(Declined::bad(reply(status))),
        }
    }
}

fn wish(request: &Request<'_>) -> Wish {
    let Ok(target) = std::str::from_utf8(request.target) else {
        return Wish::Not(Status::BadRequest);
    };
    if request.method == b"CONNECT" {
        return match authority(target, None) {
            Some(destination) => Wish::Connect(destination),
            None => Wish::Not(Status::BadRequest),
        };
    }
    let is_http = target.get(..HTTP.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(HTTP));
    if request.version == Version::Http09 || !is_http {
        // Another scheme, or a client that does not know that this is a proxy.
        return Wish::Not(match target.contains("://") {
            true => Status::NotImplemented,
            false => Status::BadRequest,
        });
    }
    let rest = &target[HTTP.len()..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    match authority(host, Some(80)) {
        Some(destination) => Wish::Forward(destination, head(request, host, path)),
        None => Wish::Not(Status::BadRequest),
    }
}

/// Reads `host:port`, `host` if there is a usual port, or `[v6]:port`.
fn authority(text: &str, usual: Option<u16>) -> Option<Destination> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            match behind {
                "" => (host, None),
                behind => (host, Some(behind.strip_prefix(':')?)),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
        Some(_) => return None,
        None => usual?,
    };
    (port > 0).then(|| Destination::new(host, port)).flatten()
}

/// The head as the server gets it that the URL is for.
fn head(request: &Request<'_>, host: &str, path: &str) -> Vec<u8> {
    let mut head = Vec::new();
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let version = if request.version == Version::Http10 { "1.0" } else { "1.1" };
    head.extend_from_slice(request.method);
    head.extend_from_slice(
        format!(" {slash}{path} HTTP/{version}\r\nHost: {host}\r\nConnection: close\r\n")
            .as_bytes(),
    );
    let dropped = |name: &[u8]| {
        let is_of_proxy = OF_PROXY.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
        // What `Connection` names is for the proxy as well.
        let mut named = request
            .fields()
            .filter(|(field, _)| field.eq_ignore_ascii_case(b"connection"))
            .flat_map(|(_, value)| value.split(|byte| *byte == b','));
        let is_named = named.any(|option| option.trim_ascii().eq_ignore_ascii_case(name));
        is_of_proxy || is_named && !FRAMING.iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    for (name, value) in request.fields().filter(|(name, _)| !dropped(name)) {
        head.extend_from_slice(name);
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// An answer of ours, with a line that says the same to people.
pub(super) fn reply(status: Status) -> Vec<u8> {
    let line = status.line();
    let sign_in = match status {
        Status::SignIn => "Proxy-Authenticate: Basic realm=\"proxy\"\r\n",
        _ => "",
    };
    format!(
        "HTTP/1.1 {line}\r\n{sign_in}Content-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{line}\n",
        line.len() + 1
    )
    .into_bytes()
}

/// What a client is told about a session that ends so.
pub(super) fn status_of(reason: Reason) -> Status {
    match reason {
        Reason::Denied => Status::Forbidden,
        Reason::ConnectTimeout => Status::GatewayTimeout,
        Reason::Limited | Reason::Internal => Status::Unavailable,
        _ => Status::BadGateway,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wished(text: &str) -> String {
        let Parse::Whole { value, .. } = read_request(text.as_bytes()) else {
            panic!("{text:?} is a request");
        };
        match wish(&value) {
            Wish::Connect(Destination { host, port }) => format!("connect {host:?} {port}"),
            Wish::Forward(Destination { host, port }, head) => {
                format!("{host:?} {port} {}", String::from_utf8(head).expect("text"))
            }
            Wish::Not(status) => status.line().to_owned(),
            Wish::SignIn { .. } => unreachable!("nobody has asked for that"),
        }
    }

    #[test]
    fn ways_to_ask() {
        for (line, expected) in [
            ("CONNECT WWW.a.example.:443", "connect Name(\"www.a.example\") 443"),
            ("CONNECT 10.0.0.1:1", "connect Ip(10.0.0.1) 1"),
            ("CONNECT [::ffff:10.0.0.1]:1", "connect Ip(10.0.0.1) 1"),
            ("CONNECT [::1]:1", "connect Ip(::1) 1"),
            ("CONNECT a.example", "400 Bad Request"),
            ("CONNECT a.example:0", "400 Bad Request"),
            ("CONNECT a.example:+1", "400 Bad Request"),
            ("CONNECT a.example:65536", "400 Bad Request"),
            ("CONNECT a..example:1", "400 Bad Request"),
            ("CONNECT user@a.example:1", "400 Bad Request"),
            ("CONNECT [a.example]:1", "400 Bad Request"),
            ("CONNECT http://a.example:1", "400 Bad Request"),
            ("GET /", "400 Bad Request"),
            ("GET https://a.example/", "501 Not Implemented"),
            ("GET ftp://a.example/", "501 Not Implemented"),
            ("GET http://user:x@a.example/", "400 Bad Request"),
            ("OPTIONS *", "400 Bad Request"),
        ] {
            assert_eq!(wished(&format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n")), expected, "{line}");
        }
    }

    #[test]
    fn requests_are_passed_on_as_servers_expect_them() {
        let text = "POST HTTP://a.example:8080?q#f HTTP/1.1\r\nHost: other\r\nX-A: 1\r\n\
                    Proxy-Connection: keep-alive\r\nConnection: x-b, content-length\r\nX-B: 2\r\n\
                    Proxy-Authorization: Basic eDp5\r\nContent-Length: 3\r\nTE: trailers\r\n\r\n";
        let expected = "Name(\"a.example\") 8080 POST /?q HTTP/1.1\r\nHost: a.example:8080\r\n\
                        Connection: close\r\nX-A: 1\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(wished(text), expected);
        let expected = "Name(\"a\") 80 GET /b/c HTTP/1.0\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(wished("GET http://a/b/c HTTP/1.0\r\n\r\n"), expected);
    }
}
