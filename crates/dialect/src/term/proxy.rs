//! The proxy that a pool is reached through: `http://host:port`, with `bare` behind it for one
//! that is asked with the request line alone.

use model::address::FaultKind;
use model::{BackendAddress, Code, Diagnostic, Proxy, ProxyProtocol};

use crate::line::Word;
use crate::suggest;
use crate::term::address::{self, Purpose};

/// The port of an HTTP proxy whose URL names none (RFC 9110 section 4.2.1).
const HTTP_PORT: u16 = 80;

/// What stands in front of an address.
const HTTP: &str = "http://";

/// What asks for no field but the request line.
const BARE: &str = "bare";

/// Schemes whose meaning is settled and that cannot be carried out yet.
const LATER: [&str; 6] = ["https", "socks4", "socks4a", "socks5", "socks5h", "socks"];

/// Reads `http://host:port` or `http://host:port bare`.
pub(crate) fn read(word: Word<'_>) -> Result<Proxy, Diagnostic> {
    let mut parts = word.split_whitespace();
    let url = parts.next().unwrap_or(word);
    if !url.text.starts_with(HTTP) {
        return Err(scheme(url));
    }
    let rest = url.from(HTTP.len());
    let end = rest.text.find('/').unwrap_or(rest.text.len());
    let at = rest.part(0..end);
    if let Some(user) = at.text.find('@') {
        return Err(Diagnostic::new(
            Code::NotYet,
            at.part(0..user).span,
            "signing in at a proxy is not in this version",
        )
        .label("not in this version")
        .help(format!("write `{HTTP}{}`", &at.text[user + 1..])));
    }
    if rest.text.len() > end + 1 {
        return Err(Diagnostic::new(Code::Address, rest.from(end).span, "a proxy has no path")
            .label("not part of its address")
            .help(format!("write `{HTTP}{}`", at.text)));
    }
    let address = BackendAddress::parse(at.text, Some(HTTP_PORT)).map_err(|fault| {
        let told = address::fault(at, &fault, Purpose::Backend);
        match fault.kind {
            FaultKind::Empty => told.help("write a proxy as in `http://10.0.3.1:3128`"),
            FaultKind::PortMissing => told.help(format!("write `{HTTP}{}3128`", at.text)),
            FaultKind::PortText => told.help("a port is a number, as in `http://10.0.3.1:3128`"),
            _ => told,
        }
    })?;
    let mut bare = false;
    for part in parts {
        match part.text {
            BARE => bare = true,
            text => {
                let message = format!("`{text}` says nothing about a proxy");
                return Err(Diagnostic::new(Code::TargetOption, part.span, message)
                    .label("not known")
                    .help("behind the proxy may stand `bare`, to ask it without a `Host`"));
            }
        }
    }
    Ok(Proxy { address, protocol: ProxyProtocol::Http { bare } })
}

/// The text that [`read`] reads.
pub(crate) fn show(proxy: &Proxy) -> String {
    match proxy.protocol {
        ProxyProtocol::Http { bare: true } => format!("{HTTP}{} {BARE}", proxy.address),
        ProxyProtocol::Http { bare: false } => format!("{HTTP}{}", proxy.address),
    }
}

/// A URL that does not begin as it should.
fn scheme(url: Word<'_>) -> Diagnostic {
    let text = url.text;
    let Some(end) = text.find("://") else {
        let fault = Diagnostic::new(Code::Address, url.span, format!("`{text}` names no proxy"))
            .label("how is it asked?");
        return match BackendAddress::parse(text, Some(HTTP_PORT)) {
            Ok(_) => fault.help(format!("write `{HTTP}{text}`")),
            Err(_) => fault.help("write a proxy as in `http://10.0.3.1:3128`"),
        };
    };
    let (scheme, rest) = (url.part(0..end), &text[end..]);
    if LATER.contains(&scheme.text) {
        let message = format!("proxies that speak {} are not in this version", scheme.text);
        return Diagnostic::new(Code::NotYet, scheme.span, message)
            .label("not in this version")
            .help("this version has `http://`");
    }
    let message = format!("no proxy speaks `{}`", scheme.text);
    let fault = Diagnostic::new(Code::Choice, scheme.span, message).label("not known");
    match suggest::nearest(scheme.text, ["http"]) {
        Some(meant) => fault.help(format!("did you mean `{meant}{rest}`?")),
        None => fault.help("this version has `http://`"),
    }
}
