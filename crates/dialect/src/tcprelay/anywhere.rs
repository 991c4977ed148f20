//! What may stand at the top of a file and in either of its sections.

use model::log::Facility;
use model::{Code, Diagnostic, Spanned, SyslogSeverity};

use super::lex::Kind;
use super::parse::Cursor;

/// What is said about logs.
#[derive(Clone, Debug, Default)]
pub(super) struct Anywhere {
    pub(super) ident: Option<Spanned<String>>,
    pub(super) facility: Option<Facility>,
    pub(super) severity: Option<SyslogSeverity>,
}

/// Words for `debug` and `trace`.
const MASKS: &str = "ACCT ACL ALL AUTHEN AUTHOR BUFFER CMD CONFIG CONNECT DNS HEX LOCK LWRES MAVIS \
                     NET NONE PACKET PARSE PATH PROC RADIUS REGEX USERDEF1 USERDEF2 USERDEF3";

impl Anywhere {
    /// Reads what stands behind `name`, if that is a directive of these.
    pub(super) fn directive(&mut self, cursor: &mut Cursor<'_>, name: &str) {
        match name {
            "syslog" => self.syslog(cursor),
            "debug" | "trace" => debug(cursor),
            "proctitle" => cursor.pass(),
            "coredump" if cursor.keyword(&["directory"]).is_some() => cursor.pass(),
            "regex-match-case" => cursor.pass_boolean(),
            _ => {}
        }
    }

    /// Takes over what `later` says.
    pub(super) fn add(&mut self, later: Self) {
        self.ident = later.ident.or_else(|| self.ident.take());
        self.facility = later.facility.or_else(|| self.facility.take());
        self.severity = later.severity.or_else(|| self.severity.take());
    }

    fn syslog(&mut self, cursor: &mut Cursor<'_>) {
        const WORDS: [&str; 6] = ["default", "facility", "filter", "ident", "level", "severity"];
        match cursor.keyword(&WORDS) {
            Some("ident") => self.ident = cursor.text(),
            Some("facility") => {
                self.facility = name(cursor, Facility::named, "LOCAL3 or DAEMON");
            }
            Some("level" | "severity") => {
                self.severity = name(cursor, SyslogSeverity::named, "INFO or NOTICE");
            }
            Some("default") => cursor.pass_boolean(),
            Some("filter") => cursor.pass_integer(),
            _ => {}
        }
    }
}

/// A name that syslog(3) knows, in letters of either size; others are told and left out.
fn name<T>(cursor: &mut Cursor<'_>, known: fn(&str) -> Option<T>, instead: &str) -> Option<T> {
    let mut name = cursor.text()?;
    name.value.make_ascii_lowercase();
    let meant = match name.value.as_str() {
        "error" => "err",
        "warn" => "warning",
        name => name,
    };
    if let Some(found) = known(meant) {
        return Some(found);
    }
    let message = format!("syslog knows no '{}'", name.value);
    cursor.faults.push(
        Diagnostic::new(Code::ReadAs, name.span, message)
            .label("left out")
            .help(format!("write a name of syslog(3), as in {instead}")),
    );
    None
}

/// `debug [redirect] [=] WORD...`: what the original shows while one looks for a fault in it.
fn debug(cursor: &mut Cursor<'_>) {
    let next = cursor.peek();
    if next.kind == Kind::Bare && next.text == "redirect" {
        cursor.take();
        cursor.pass();
        return;
    }
    cursor.took(Kind::Equals);
    loop {
        let next = cursor.peek();
        let name = next.text.trim_start_matches(['+', '-']);
        let number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        let known = number || MASKS.split_whitespace().any(|mask| mask == name);
        if !(next.is_word() && known || next.kind == Kind::Comma) {
            return;
        }
        cursor.take();
    }
}
