//! `ftp = { ... }` on a listener.

use model::{Code, Diagnostic, Ftp, FtpModes, PortRange, Spanned};

use super::Reader;
use super::keys::{Key, Schema, Takes};
use super::table::{Entry, Table};
use crate::line::Word;
use crate::suggest;

pub(super) const FTP: Schema = Schema {
    place: "ftp",
    keys: &[
        Key::new(
            "modes",
            Takes::Texts("passive"),
            "Which data connections pass through: `passive` ones, of clients to the server, and \
             `active` ones, of the server to clients.",
        )
        .default("[\"passive\", \"active\"]"),
        Key::new(
            "ports",
            Takes::Text("40000-40100"),
            "Where data connections come in; at ports that the kernel chooses if it is left out.",
        ),
    ],
    also: &[],
    later: &["address"],
};

impl Reader<'_> {
    pub(super) fn ftp(&mut self, table: &Table<'_>) -> Option<Spanned<Ftp>> {
        let span = table.get("ftp").map(Entry::span)?;
        let table = self.table(table, "ftp")?;
        self.keys(&table, &FTP);
        let modes = self.ftp_modes(&table).unwrap_or_default();
        let ports = self.text(&table, "ports").and_then(|text| self.told(ports(text.word())));
        Some(Spanned::at(Ftp { modes, ports }, span))
    }

    fn ftp_modes(&mut self, table: &Table<'_>) -> Option<FtpModes> {
        let texts = self.texts(table, "modes")?;
        let is_empty = table
            .get("modes")
            .and_then(|entry| entry.value().as_array())
            .is_some_and(|list| list.is_empty());
        if is_empty {
            self.missing(table, "FTP without a mode is just bytes".to_owned(), "leave `ftp` out");
        }
        let modes: Vec<_> = texts.iter().filter_map(|text| self.told(mode(text.word()))).collect();
        modes.into_iter().reduce(FtpModes::and)
    }
}

fn mode(word: Word<'_>) -> Result<FtpModes, Diagnostic> {
    let names = || FtpModes::NAMES.iter().map(|(name, _)| *name);
    if let Some((_, mode)) = FtpModes::NAMES.iter().find(|(name, _)| *name == word.text) {
        return Ok(*mode);
    }
    let message = format!("there is no mode `{}` of FTP", word.text);
    let fault = Diagnostic::new(Code::Choice, word.span, message).label("not known");
    Err(match suggest::nearest(word.text, names()) {
        Some(meant) => fault.help(format!("did you mean `{meant}`?")),
        None => fault.help("write `passive`, `active`, or both"),
    })
}

fn ports(word: Word<'_>) -> Result<PortRange, Diagnostic> {
    PortRange::parse(word.text).ok_or_else(|| {
        let message = format!("`{}` is not a range of ports", word.text);
        Diagnostic::new(Code::Port, word.span, message)
            .label("not a range")
            .help("write two numbers from 1 to 65535, the lower one first, as in `40000-40100`")
    })
}
