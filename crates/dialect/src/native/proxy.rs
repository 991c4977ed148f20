//! `proxy = { ... }` on a listener: it is a proxy itself.

use model::proxy::server::{Destination, Private, ProxyServer, ServedProtocol, Users};
use model::{Code, Credentials, Diagnostic, Password, Spanned};

use super::Reader;
use super::keys::{self, Key, Schema, Takes};
use super::table::{Entry, Table};
use super::text::Text;
use crate::line::Word;
use crate::suggest;
use crate::term::password;

pub(super) const PROXY: Schema = Schema {
    place: "proxy",
    keys: &[
        Key::new(
            "protocols",
            Takes::Choices(&keys::names(&ServedProtocol::NAMES)),
            "What it speaks, as told apart by the first byte: SOCKS 5, SOCKS 4 and 4A, HTTP (`CONNECT`, \
             and requests for `http://`).",
        )
        .default("[\"socks5\", \"socks4\", \"http\"]"),
        Key::new(
            "users",
            Takes::Texts("alice:secret"),
            "Who may sign in, each with a password, and `file:PATH` for a file with one in each line; \
             nobody has to if it is left out.",
        ),
        Key::new(
            "allow_to",
            Takes::Texts("*.example:443"),
            "Where clients may go: host names, `*.` before one for all below it, and ranges of \
             addresses, each with a port or a range of ports behind it, or without; anywhere if it \
             is empty.",
        )
        .default("[]"),
        Key::new(
            "deny_to",
            Takes::Texts("*:25"),
            "Where they may not; it wins over `allow_to`.",
        )
        .default("[]"),
        Key::new(
            "private",
            Takes::Choice(&keys::names(&Private::NAMES)),
            "Whether clients may go to addresses of this machine, of private networks and of links; \
             refused, to those only that `allow_to` names.",
        )
        .default("\"refuse\""),
    ],
    also: &[],
    later: &[],
};

impl Reader<'_> {
    pub(super) fn proxy(&mut self, table: &Table<'_>) -> Option<Spanned<ProxyServer>> {
        let span = table.get("proxy").map(Entry::span)?;
        let table = self.table(table, "proxy")?;
        self.keys(&table, &PROXY);
        let usual = ProxyServer::default();
        let server = ProxyServer {
            protocols: self.served(&table).unwrap_or(usual.protocols),
            users: self.users(&table),
            allow_to: self.destinations(&table, "allow_to"),
            deny_to: self.destinations(&table, "deny_to"),
            private: self.choice(&table, "private", &Private::NAMES, &[]).unwrap_or_default(),
        };
        Some(Spanned::at(server, span))
    }

    fn served(&mut self, table: &Table<'_>) -> Option<Vec<ServedProtocol>> {
        let texts = self.texts(table, "protocols")?;
        let mut all = Vec::new();
        for text in &texts {
            let read = protocol(text.word());
            all.extend(self.told(read).filter(|protocol| !all.contains(protocol)));
        }
        if texts.is_empty() && is_empty(table, "protocols") {
            let message = "a proxy that speaks nothing serves nobody".to_owned();
            self.missing(table, message, "leave `protocols` out for all of them");
        }
        (!all.is_empty()).then_some(all)
    }

    fn users(&mut self, table: &Table<'_>) -> Vec<Spanned<Users>> {
        if is_empty(table, "users") {
            let message = "`users` names nobody".to_owned();
            self.missing(table, message, "leave `users` out if nobody has to sign in");
        }
        let mut all = Vec::new();
        for text in self.texts(table, "users").unwrap_or_default() {
            let word = text.word();
            let read = match password::file(word) {
                Some(path) => self.users_of(&text, path),
                None => user(word.text)
                    .map(Users::One)
                    .ok_or_else(|| no_user(word, "write it as in `alice:secret`")),
            };
            // Whoever was meant: somebody is to sign in, and nothing else is at fault.
            let users = self.told(read).unwrap_or_else(|| Users::File(String::new(), Vec::new()));
            all.push(Spanned::at(users, text.span));
        }
        all
    }

    /// The users in a file: one a line, `#` before comments.
    fn users_of(&mut self, named: &Text<'_>, path: Word<'_>) -> Result<Users, Diagnostic> {
        let wrong = |message: String| {
            Diagnostic::new(Code::File, path.span, message)
                .label("a file of users")
                .help("a file of users has `name:password` in each line, and `#` before comments")
        };
        let text = self
            .secret_file(named, path.text)
            .map_err(|why| wrong(format!("cannot read {}: {why}", path.text)))?;
        let mut all = Vec::new();
        for (line, written) in text.lines().enumerate() {
            if written.trim().is_empty() || written.starts_with('#') {
                continue;
            }
            let user = user(written);
            all.push(user.ok_or_else(|| {
                wrong(format!("line {} of {} has no user with a password", line + 1, path.text))
            })?);
        }
        match all.is_empty() {
            false => Ok(Users::File(path.text.to_owned(), all)),
            true => Err(wrong(format!("{} names no user", path.text))),
        }
    }

    fn destinations(&mut self, table: &Table<'_>, key: &str) -> Vec<Spanned<Destination>> {
        let mut all = Vec::new();
        for text in self.texts(table, key).unwrap_or_default() {
            let word = text.word();
            let read = Destination::parse(word.text).ok_or_else(|| {
                let message = format!("`{}` names no destination", word.text);
                Diagnostic::new(Code::Pattern, word.span, message)
                    .label("neither a host nor a range")
                    .help(
                        "write hosts as in `www.example`, `*.example:443`, `*:25`, ranges as in \
                         `10.0.0.0/8`, `10.0.0.1:80-90`, `[2001:db8::/32]:443`",
                    )
            });
            all.extend(self.told(read).map(|destination| Spanned::at(destination, text.span)));
        }
        all
    }
}

fn is_empty(table: &Table<'_>, key: &str) -> bool {
    let list = table.get(key).and_then(|entry| entry.value().as_array());
    list.is_some_and(|list| list.is_empty())
}

fn protocol(word: Word<'_>) -> Result<ServedProtocol, Diagnostic> {
    let names = || ServedProtocol::NAMES.iter().map(|(name, _)| *name);
    let mut known = ServedProtocol::NAMES.into_iter();
    if let Some((_, protocol)) = known.find(|(name, _)| *name == word.text) {
        return Ok(protocol);
    }
    let message = format!("no proxy here speaks `{}`", word.text);
    let fault = Diagnostic::new(Code::Choice, word.span, message).label("not known");
    Err(match suggest::nearest(word.text, names()) {
        Some(meant) => fault.help(format!("did you mean `{meant}`?")),
        None => fault.help("write `socks5`, `socks4` (with 4A), `http`, or several of them"),
    })
}

/// `name:password`.
fn user(text: &str) -> Option<Credentials> {
    let (user, word) = text.split_once(':')?;
    let is_sound = password::is_sound(user) && password::is_sound(word);
    is_sound.then(|| Credentials { user: user.to_owned(), password: Some(Password::new(word)) })
}

/// What is no user: its text may hold a password, and is not repeated.
fn no_user(word: Word<'_>, help: &str) -> Diagnostic {
    Diagnostic::new(Code::User, word.span, "this is no user with a password")
        .label("a name, a colon and a password, of 1 to 255 bytes each")
        .help(help)
}
