//! `[log]`, or `[[log]]` for several.

use model::log::{SyslogLabel, SyslogProtocol, SyslogSeverity};
use model::{Code, Diagnostic, Log, LogFormat, LogTarget, Spanned, Syslog, Verbosity};
use toml::de::DeValue;

use super::Reader;
use super::keys::{Key, Schema, Takes, names};
use super::table::Table;
use crate::term::{Dialect, log, value};

pub(super) const LOG: Schema = Schema {
    place: "[log]",
    keys: &[
        Key::new("format", Takes::Choice(&names(&LogFormat::NAMES)), "How a record looks.")
            .default("\"text\""),
        Key::new(
            "to",
            Takes::Text("/var/log/replug.log"),
            "Where records and messages go: `-` (records to standard output), `stderr`, a file, \
             `syslog`, `syslog://host` (UDP), `syslog+tcp://host`, or `journald`.",
        )
        .default("\"stderr\""),
        Key::new(
            "verbosity",
            Takes::Choice(&names(&Verbosity::NAMES)),
            "How much is said: `quiet` leaves records out, `verbose` tells every decision.",
        )
        .default("\"normal\""),
        Key::new("start", Takes::Boolean, "A record also when a session has its backend.")
            .default("false"),
        Key::new("every", Takes::Time, "How often a session that lasts has a record."),
        Key::new(
            "sample",
            Takes::Text("1/10"),
            "Of the sessions that went well one in so many is written down; all others are.",
        )
        .default("\"1/1\""),
        Key::new(
            "requests",
            Takes::Boolean,
            "A line for each request too, at listeners with `http`; `tproxy` always has them.",
        )
        .default("false"),
        Key::new("facility", Takes::Text("local0"), "What syslog and the journal sort it under.")
            .default("\"daemon\""),
        Key::new("tag", Takes::Text("edge"), "Who it is from, to syslog and the journal.")
            .default("\"replug\""),
        Key::new(
            "severity",
            Takes::Choice(&names(&SyslogSeverity::NAMES)),
            "How much each line matters to syslog and the journal; if it is left out, each line has \
             its own.",
        ),
        Key::new(
            "protocol",
            Takes::Choice(&names(&SyslogProtocol::NAMES)),
            "How syslog is spoken: `rfc3164` on this machine, `rfc5424` elsewhere, if it is left out.",
        ),
    ],
    also: &[],
    later: &[],
};

/// Keys that say which records there are, and so nothing where there are none.
const RECORD_KEYS: [&str; 4] = ["start", "every", "sample", "requests"];

/// Those of them that ask for more than ends.
const EVENT_KEYS: [&str; 2] = ["start", "every"];

impl Reader<'_> {
    /// Reads the logs of a file, if it names any.
    pub(super) fn logs(&mut self, root: &Table<'_>) {
        let Some(entry) = root.get("log") else { return };
        let Some(tables) = entry.as_one_or_more().filter(|tables| !tables.is_empty()) else {
            let help = match entry.value() {
                DeValue::Array(_) => "write `[log]`, or `[[log]]` for each of several".to_owned(),
                DeValue::String(to) => format!("write `log = {{ to = \"{to}\" }}`"),
                _ => "write `[log]` above its keys".to_owned(),
            };
            self.wrong(entry, "a table", help);
            return;
        };
        let is_first = self.claim(super::Kind::Table, "log", entry.span());
        let logs = tables.iter().map(|table| self.log(table)).collect();
        if is_first {
            self.config.logs = logs;
        }
    }

    fn log(&mut self, table: &Table<'_>) -> Log {
        self.keys(table, &LOG);
        let mut log = Log::default();
        if let Some(text) = self.text(table, "format") {
            let format = log::format(text.word(), Dialect::Native);
            log.format = self.told(format).unwrap_or_default();
        }
        if let Some(verbosity) = self.choice(table, "verbosity", &Verbosity::NAMES, &[]) {
            log.verbosity = verbosity;
        }
        log.start = self.boolean(table, "start").unwrap_or_default();
        log.every = self.duration(table, "every", |word| {
            value::duration_of_at_least(word, Log::EVERY_MIN, "leave `every` out for none")
        });
        if let Some(entry) = table.get("sample") {
            match entry.value() {
                DeValue::String(_) => {
                    let text = self.text(table, "sample");
                    let sample = text.and_then(|text| self.told(log::sample(text.word())));
                    log.sample = sample.unwrap_or(log.sample);
                }
                _ => self.wrong(entry, "a string", "write `sample = \"1/10\"` for one in ten"),
            }
        }
        log.requests = self.boolean(table, "requests").unwrap_or_default();
        log.to = self.target(table);
        if log.verbosity == Verbosity::Quiet {
            self.without_effect(table, &RECORD_KEYS, "a quiet log has no session records");
        } else if !log.format.has_records() {
            self.without_effect(table, &RECORD_KEYS, "this format has no session records");
        } else if !log.format.has_events() {
            self.without_effect(table, &EVENT_KEYS, "this format has lines for ends only");
        }
        if log.verbosity != Verbosity::Quiet && !log.format.has_requests() {
            self.without_effect(
                table,
                &["requests"],
                "whether there are lines is up to this format",
            );
        }
        log
    }

    fn target(&mut self, table: &Table<'_>) -> Spanned<LogTarget> {
        let text = self.text(table, "to");
        let target = text.as_ref().map(|text| log::target(text.word(), Dialect::Native));
        // A target that could not be read may well be one that has these keys.
        let is_known = table.get("to").is_none() || matches!(target, Some(Ok(_)));
        let target = target.and_then(|target| self.told(target)).unwrap_or_default();
        let label = self.label(table);
        let protocol = self.choice(table, "protocol", &SyslogProtocol::NAMES, &[]);
        let target = match target {
            LogTarget::Syslog(Syslog { server, protocol: usual, .. }) => {
                let protocol = protocol.unwrap_or(usual);
                LogTarget::Syslog(Syslog { server, protocol, label })
            }
            LogTarget::Journald(_) => {
                self.without_effect(table, &["protocol"], "the journal has its own protocol");
                LogTarget::Journald(label)
            }
            other => {
                if is_known {
                    let why = "only syslog and the journal have it";
                    self.without_effect(table, &["facility", "tag", "severity", "protocol"], why);
                }
                other
            }
        };
        match text {
            Some(text) => Spanned::at(target, text.span),
            None => Spanned::at(target, table.span),
        }
    }

    fn label(&mut self, table: &Table<'_>) -> SyslogLabel {
        let facility = self.text(table, "facility");
        let facility = facility.and_then(|text| self.told(log::facility(text.word())));
        let tag = self.text(table, "tag");
        let tag = tag.and_then(|text| self.told(log::tag(text.word())));
        let severity = self.choice(table, "severity", &SyslogSeverity::NAMES, &[]);
        SyslogLabel {
            facility: facility.unwrap_or_default(),
            tag: tag.unwrap_or_default(),
            severity,
        }
    }

    /// Keys that mean nothing in this log.
    fn without_effect(&mut self, table: &Table<'_>, keys: &[&str], why: &str) {
        for entry in keys.iter().filter_map(|key| table.get(key)) {
            let message = format!("`{}` says nothing here", entry.name());
            self.faults.push(
                Diagnostic::new(Code::Conflict, entry.span(), message)
                    .label(why)
                    .help("leave it out"),
            );
        }
    }
}
