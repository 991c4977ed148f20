//! `proxy_protocol = { from = ["10.0.0.0/8"] }` on a listener, `send_proxy = "v2"` in a pool.

use std::collections::BTreeMap;

use model::{
    AcceptProxy, Code, Diagnostic, ProxyOthers, ProxyTlv, ProxyVersion, SendProxy, Spanned,
};
use toml::de::DeValue;

use super::Reader;
use super::keys::{self, Key, Schema, Takes};
use super::table::{Entry, Table};
use super::write::{list, named, quoted, time};
use crate::line::Word;
use crate::term::value;

pub(super) const PROXY_PROTOCOL: Schema = Schema {
    place: "proxy_protocol",
    keys: &[
        Key::new(
            "from",
            Takes::Texts("10.0.0.0/8"),
            "Whose headers are believed, as in `allow`: each of these must send one. Those who connect \
             to a unix socket are among them.",
        )
        .required(),
        Key::new(
            "others",
            Takes::Choice(&keys::names(&ProxyOthers::NAMES)),
            "What becomes of all others: they are turned away, or are clients without a header.",
        )
        .default("\"refuse\""),
        Key::new("timeout", Takes::Time, "How long a sender may take for its header.")
            .default("\"3s\""),
    ],
    also: &[],
    later: &[],
};

pub(super) const SEND_PROXY: Schema = Schema {
    place: "send_proxy",
    keys: &[
        Key::new(
            "version",
            Takes::Choice(&keys::names(&ProxyVersion::NAMES)),
            "`v1`, a line of text, or `v2`, in binary.",
        )
        .required(),
        Key::new(
            "tlvs",
            Takes::Choices(&keys::names(&ProxyTlv::NAMES)),
            "What is told beside addresses, as far as it is known; only by `v2`.",
        )
        .default("[]"),
        Key::new(
            "custom",
            Takes::Map("0xE0", "blue"),
            "Texts of your own, by types from 0xE0 to 0xEF; only by `v2`.",
        ),
    ],
    also: &[],
    later: &[],
};

const FROM_HELP: &str = "write `from = [\"10.0.0.0/8\"]`: whoever may send a header is believed \
                         about whose connection it is";

impl Reader<'_> {
    pub(super) fn proxy_protocol(&mut self, listener: &Table<'_>) -> Option<Spanned<AcceptProxy>> {
        let entry = listener.get("proxy_protocol")?;
        let Some(table) = entry.as_table() else {
            self.wrong(entry, "a table", "write `proxy_protocol = { from = [\"10.0.0.0/8\"] }`");
            return None;
        };
        self.keys(&table, &PROXY_PROTOCOL);
        let faults = self.faults.len();
        let from = self.clients(&table, "from");
        if from.is_empty() && self.faults.len() == faults {
            let message = "`proxy_protocol` does not say whose headers are believed".to_owned();
            self.missing(&table, message, FROM_HELP);
        }
        let others = self.choice(&table, "others", &ProxyOthers::NAMES, &[]);
        let timeout = self.duration(&table, "timeout", |word| {
            value::duration_not_zero(word, "a header that never comes would hold its connection")
        });
        let accept = AcceptProxy {
            others: others.unwrap_or_default(),
            timeout: timeout.unwrap_or(AcceptProxy::TIMEOUT),
            ..AcceptProxy::new(from)
        };
        Some(Spanned::at(accept, entry.span()))
    }

    pub(super) fn send_proxy(&mut self, pool: &Table<'_>) -> Option<Spanned<SendProxy>> {
        let entry = pool.get("send_proxy")?;
        let Some(table) = entry.as_table() else {
            if !matches!(entry.value(), DeValue::String(_)) {
                let help = "write `send_proxy = \"v2\"`, or `{ version = \"v2\", tlvs = [...] }`";
                self.wrong(entry, "a version, or a table", help);
                return None;
            }
            let version = self.choice(pool, "send_proxy", &ProxyVersion::NAMES, &[])?;
            return Some(Spanned::at(SendProxy::new(version), entry.span()));
        };
        self.keys(&table, &SEND_PROXY);
        if table.get("version").is_none() {
            let message = "`send_proxy` does not say which version".to_owned();
            self.missing(&table, message, "write `version = \"v2\"`");
        }
        let version = self.choice(&table, "version", &ProxyVersion::NAMES, &[]);
        let tlvs = self.choices(&table, "tlvs", &ProxyTlv::NAMES).into_iter().collect();
        let custom = self.custom_tlvs(&table);
        if version == Some(ProxyVersion::V1) {
            for entry in ["tlvs", "custom"].iter().filter_map(|key| table.get(key)) {
                let message = "version 1 of the PROXY protocol tells addresses only";
                let fault = Diagnostic::new(Code::Conflict, entry.span(), message);
                self.faults.push(fault.label("not in `v1`").help("write `version = \"v2\"`"));
            }
        }
        Some(Spanned::at(SendProxy { version: version?, tlvs, custom }, entry.span()))
    }

    fn custom_tlvs(&mut self, table: &Table<'_>) -> BTreeMap<u8, String> {
        let mut custom = BTreeMap::new();
        let Some(table) = self.table(table, "custom") else { return custom };
        for entry in table.entries() {
            let kind = self.told(custom_kind(entry));
            let Some(text) = self.text(&table, entry.name()) else { continue };
            let text = self.told(custom_text(text.word()));
            let (Some(kind), Some(text)) = (kind, text) else { continue };
            if custom.insert(kind, text).is_some() {
                let message = format!("the type 0x{kind:X} stands here twice");
                let fault = Diagnostic::new(Code::NameTwice, entry.span(), message);
                self.faults.push(fault.label("again").help("write each type once"));
            }
        }
        custom
    }
}

/// `0xE0` to `0xEF`.
fn custom_kind(entry: Entry<'_>) -> Result<u8, Diagnostic> {
    let digits = entry.name().strip_prefix("0x").filter(|digits| digits.len() == 2);
    let kind = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
    kind.filter(|kind| (SendProxy::CUSTOM_MIN..=SendProxy::CUSTOM_MAX).contains(kind)).ok_or_else(
        || {
            let message = format!("`{}` is not a type of one's own", entry.name());
            Diagnostic::new(Code::Number, entry.span(), message)
                .label("not one of them")
                .help("write one from `0xE0` to `0xEF`")
        },
    )
}

fn custom_text(word: Word<'_>) -> Result<String, Diagnostic> {
    let most = SendProxy::CUSTOM_BYTES_MAX;
    if word.text.len() <= most {
        return Ok(word.text.to_owned());
    }
    Err(Diagnostic::new(Code::Number, word.span, "this text is too long for a header")
        .label(format!("more than {most} bytes"))
        .help("each session is sent it: write less"))
}

/// As an inline table, whole.
pub(super) fn shown_accept(accept: &AcceptProxy) -> String {
    let AcceptProxy { from, others, timeout } = accept;
    let from = list(from.iter().map(|clients| clients.value.to_string()));
    let others = quoted(named(&ProxyOthers::NAMES, *others));
    format!("{{ from = {from}, others = {others}, timeout = {} }}", time(Some(*timeout)))
}

/// As a word, or an inline table if it takes one.
pub(super) fn shown_send(send: &SendProxy) -> String {
    let SendProxy { version, tlvs, custom } = send;
    let version = quoted(named(&ProxyVersion::NAMES, *version));
    if tlvs.is_empty() && custom.is_empty() {
        return version;
    }
    let mut text = format!("{{ version = {version}");
    if !tlvs.is_empty() {
        let tlvs = list(tlvs.iter().map(|tlv| named(&ProxyTlv::NAMES, *tlv).to_owned()));
        text += &format!(", tlvs = {tlvs}");
    }
    if !custom.is_empty() {
        let custom = custom.iter().map(|(kind, text)| format!("0x{kind:X} = {}", quoted(text)));
        text += &format!(", custom = {{ {} }}", custom.collect::<Vec<_>>().join(", "));
    }
    text + " }"
}
