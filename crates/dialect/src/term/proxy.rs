//! A proxy that a pool is reached through: `SCHEME://[USER[:PASSWORD]@]HOST[:PORT]`, and words
//! behind it: `bare` for one of HTTP that is asked with the request line alone, those of [`tls`] for
//! one that is spoken to in TLS.
//!
//! User and password are percent-encoded where they hold what a URL is made of. The password may
//! stand in a file, as in `socks5h://user:file:/etc/replug/gate.secret@gate`; one that begins so is
//! written `file%3A...`.

mod tls;

use std::fmt::Write as _;

use model::address::FaultKind;
use model::{BackendAddress, Code, Credentials, Diagnostic, Proxy, ProxyProtocol};

use crate::line::Word;
use crate::suggest;
use crate::term::address::{self, Purpose};
use crate::term::password::{self, Files};

/// What asks for no field but the request line.
const BARE: &str = "bare";

/// Reads `socks5h://user:secret@host:port` and its like.
pub(crate) fn read(word: Word<'_>, files: Files<'_>) -> Result<Proxy, Diagnostic> {
    let mut parts = word.split_whitespace();
    let url = parts.next().unwrap_or(word);
    let (mut protocol, rest) = scheme(url)?;
    let at = rest.text.rfind('@');
    let place = rest.from(at.map_or(0, |at| at + 1));
    let end = place.text.find('/').unwrap_or(place.text.len());
    let begin = format!("{}://", protocol.scheme());
    let place = match place.text.len() > end + 1 {
        true => {
            let path = place.from(end);
            return Err(Diagnostic::new(Code::Address, path.span, "a proxy has no path")
                .label("not part of its address")
                .help(format!("write `{begin}{}`", &place.text[..end])));
        }
        false => place.part(0..end),
    };
    let port = protocol.usual_port();
    let address = BackendAddress::parse(place.text, Some(port)).map_err(|fault| {
        let told = address::fault(place, &fault, Purpose::Backend);
        let example = format!("`{begin}10.0.3.1:{port}`");
        match fault.kind {
            FaultKind::Empty => told.help(format!("write a proxy as in {example}")),
            FaultKind::PortMissing => told.help(format!("write `{begin}{}{port}`", place.text)),
            FaultKind::PortText => told.help(format!("a port is a number, as in {example}")),
            _ => told,
        }
    })?;
    let user = at.map(|at| credentials(rest.part(0..at), protocol, files)).transpose()?;
    let mut words = tls::Words::default();
    for part in parts {
        if protocol == ProxyProtocol::Https && words.take(part)? {
            continue;
        }
        match (part.text, &mut protocol) {
            (BARE, ProxyProtocol::Http { bare }) if user.is_none() => *bare = true,
            (BARE, ProxyProtocol::Http { .. }) => {
                let message = "a proxy that is asked barely is not told who asks";
                return Err(Diagnostic::new(Code::TargetOption, part.span, message)
                    .label("leaves no room for user and password")
                    .help("leave out `bare`, or user and password"));
            }
            (text, _) => {
                let message = format!("`{text}` says nothing about this proxy");
                return Err(Diagnostic::new(Code::TargetOption, part.span, message)
                    .label("not known")
                    .help(
                        "behind `http://...` may stand `bare`, to ask it without a `Host`; behind \
                         `https://...` `ca=PATH`, `name=HOST`, `pin=sha256/...`, `verify=`, \
                         `crl=PATH`, and our own `cert=PATH` and `key=PATH`",
                    ));
            }
        }
    }
    Ok(Proxy { address, protocol, credentials: user, tls: words.finish(url.span)? })
}

/// The scheme of a URL, and what stands behind it.
fn scheme(url: Word<'_>) -> Result<(ProxyProtocol, Word<'_>), Diagnostic> {
    const HELP: &str =
        "write `http://`, `https://`, `socks4://`, `socks4a://`, `socks5://` or `socks5h://`";
    let text = url.text;
    let Some(end) = text.find("://") else {
        let fault = Diagnostic::new(Code::Address, url.span, format!("`{text}` names no proxy"))
            .label("how is it asked?");
        return Err(match BackendAddress::parse(text, Some(80)) {
            Ok(_) => fault.help(format!("write `http://{text}` or `socks5h://{text}`")),
            Err(_) => fault.help("write a proxy as in `http://10.0.3.1:3128`"),
        });
    };
    let (scheme, rest) = (url.part(0..end), url.from(end + "://".len()));
    let mut known = ProxyProtocol::SCHEMES.into_iter();
    if let Some((_, protocol)) = known.find(|(name, _)| *name == scheme.text) {
        return Ok((protocol, rest));
    }
    let message = format!("no proxy speaks `{}`", scheme.text);
    let fault = Diagnostic::new(Code::Choice, scheme.span, message).label("not known");
    let nearest = suggest::nearest(scheme.text, ProxyProtocol::SCHEMES.map(|(name, _)| name));
    Err(match (scheme.text, nearest) {
        ("socks", _) => fault.help(format!("which version? {HELP}")),
        (_, Some(meant)) => fault.help(format!("did you mean `{meant}://`?")),
        (_, None) => fault.help(HELP),
    })
}

/// `user`, `user:password`, or `user:file:PATH`.
fn credentials(
    word: Word<'_>,
    protocol: ProxyProtocol,
    files: Files<'_>,
) -> Result<Credentials, Diagnostic> {
    let colon = word.text.find(':');
    let (user, password) = match colon {
        Some(colon) => (word.part(0..colon), Some(word.from(colon + 1))),
        None => (word, None),
    };
    let scheme = protocol.scheme();
    let is_by_name = matches!(protocol, ProxyProtocol::Socks4 | ProxyProtocol::Socks4a);
    match password {
        Some(password) if is_by_name => {
            let message = "SOCKS 4 knows users, but no passwords";
            return Err(Diagnostic::new(Code::Address, password.span, message)
                .label("nothing to send it in")
                .help(format!("write `{scheme}://{}@`, or `socks5h://`", user.text)));
        }
        None if !is_by_name => {
            return Err(Diagnostic::new(Code::Address, user.span, "a user without a password")
                .label("who signs in needs both")
                .help(format!("write `{scheme}://{}:PASSWORD@`", user.text)));
        }
        _ => {}
    }
    let name = decode(user)?;
    let is_sound = password::is_sound(&name)
        && !(name.contains(':')
            && matches!(protocol, ProxyProtocol::Http { .. } | ProxyProtocol::Https));
    if !is_sound {
        return Err(Diagnostic::new(Code::Address, user.span, "this cannot be a user name")
            .label("not a name")
            .help("a name has 1 to 255 bytes, no control characters, and for HTTP no colon"));
    }
    let password = password.map(|password| match password::file(password) {
        Some(path) => password::in_file(decode(path)?, password, files),
        None => password::given(decode(password)?, password),
    });
    Ok(Credentials { user: name, password: password.transpose()? })
}

/// The text that is percent-encoded in `word`.
fn decode(word: Word<'_>) -> Result<String, Diagnostic> {
    let wrong = |at: usize| {
        // What stands there may be a secret: only the place is told.
        let part = word.part(at..at + 1);
        Diagnostic::new(Code::Address, part.span, "`%` begins two hexadecimal digits")
            .label("none follow")
            .help("write `%25` for the character itself")
    };
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < word.text.len() {
        let byte = word.text.as_bytes()[at];
        at += 1;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = word.text.get(at..at + 2).filter(|digits| !digits.starts_with('+'));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or_else(|| wrong(at - 1))?);
        at += 2;
    }
    String::from_utf8(bytes).map_err(|_| {
        Diagnostic::new(Code::Address, word.span, "this is no text")
            .label("not UTF-8 when its `%` are read")
            .help("users and passwords are text")
    })
}

/// `text` so that [`decode`] gives it, and nothing in it is taken for a part of a URL.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The text that [`read`] reads. `show` gives what stands for a password.
pub(crate) fn show(proxy: &Proxy, show: impl FnOnce(&str) -> String) -> String {
    let mut text = format!("{}://", proxy.protocol.scheme());
    if let Some(Credentials { user, password }) = &proxy.credentials {
        text += &encode(user);
        if let Some(password) = password {
            text.push(':');
            match password.file() {
                // Slashes are as good as others before the last `@`, and easier to read.
                Some(file) => text += &format!("file:{}", encode(file).replace("%2F", "/")),
                None => text += &show(&encode(password.reveal())),
            }
        }
        text.push('@');
    }
    text += &proxy.address.to_string();
    if proxy.protocol == (ProxyProtocol::Http { bare: true }) {
        text += " ";
        text += BARE;
    }
    if proxy.protocol == ProxyProtocol::Https {
        text += &tls::show(&proxy.tls);
    }
    text
}
