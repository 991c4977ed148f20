//! `[[listener.NAME.route]]`: which sessions go to another pool.

use std::net::IpAddr;

use model::{Code, Diagnostic, Route, Spanned, When};
use toml::de::DeValue;

use super::Reader;
use super::keys::{Key, Schema, Takes};
use super::table::{Entry, Table};

pub(super) const ROUTE: Schema = Schema {
    place: "a route",
    keys: &[
        Key::new("when", Takes::Table(&WHEN), "Which sessions; all that is said must hold.")
            .required(),
        Key::new("pool", Takes::Text("web"), "The pool that they go to.").required(),
    ],
    also: &[],
    later: &[],
};

const WHEN: Schema = Schema {
    place: "`when`",
    keys: &[
        Key::new("client", Takes::Texts("10.1.0.0/16"), "Ranges that the client's address is in."),
        Key::new(
            "address",
            Takes::Texts("10.0.0.1"),
            "Addresses of this machine that the client came to.",
        ),
        Key::new("port", Takes::Counts(PORT_MAX), "Ports of this machine that the client came to."),
    ],
    also: &[],
    later: &["sni", "alpn", "protocol", "host", "path", "method", "header", "tls", "time"],
};

const PORT_MAX: usize = u16::MAX as usize;

impl Reader<'_> {
    /// The routes of a listener; those with faults are left out.
    pub(super) fn routes(&mut self, table: &Table<'_>) -> Vec<Route> {
        let Some(entry) = table.get("route") else { return Vec::new() };
        let Some(tables) = entry.as_tables() else {
            self.unsure = true;
            let name = "write `[[listener.NAME.route]]` with double brackets for each route";
            self.wrong(entry, "a list of tables", name);
            return Vec::new();
        };
        if tables.len() > Route::COUNT_MAX {
            let message = format!("{} routes are too many", tables.len());
            self.faults.push(
                Diagnostic::new(Code::Number, entry.span(), message)
                    .label(format!("more than {}", Route::COUNT_MAX))
                    .help(
                        "give one route several ranges of clients: `client = [\"...\", \"...\"]`",
                    ),
            );
            return Vec::new();
        }
        let routes: Vec<_> = tables.iter().filter_map(|table| self.route(table)).collect();
        // One with a fault may have named a pool.
        self.unsure |= routes.len() < tables.len();
        routes
    }

    fn route(&mut self, table: &Table<'_>) -> Option<Route> {
        self.keys(table, &ROUTE);
        if table.get("pool").is_none() {
            self.missing(table, "the route leads nowhere".to_owned(), "write `pool = \"NAME\"`");
        }
        let when = self.when(table);
        let pool = self.text(table, "pool");
        let pool = pool.map(|text| Spanned::at(text.value.to_string(), text.span))?;
        // Without its conditions it would stand for more sessions than was meant.
        when.map(|when| Route { when, pool })
    }

    fn when(&mut self, route: &Table<'_>) -> Option<Spanned<When>> {
        const HELP: &str = "write `when = { client = \"10.1.0.0/16\" }`";
        let Some(entry) = route.get("when") else {
            self.missing(route, "the route does not say when".to_owned(), HELP);
            return None;
        };
        let faults = self.faults.len();
        let table = self.table(route, "when")?;
        self.keys(&table, &WHEN);
        let client = self.ranges(&table, "client");
        let address = self.addresses(&table);
        let port = self.ports(&table);
        let is_empty =
            |entry: Entry<'_>| matches!(entry.value(), DeValue::Array(list) if list.is_empty());
        if self.faults.len() == faults {
            if let Some(empty) = table.entries().find(|entry| is_empty(*entry)) {
                let message = format!("`{}` names nothing", empty.name());
                self.faults.push(
                    Diagnostic::new(Code::KeyMissing, empty.value_span(), message)
                        .label("empty")
                        .help("leave the key out where it does not matter"),
                );
            } else if table.entries().next().is_none() {
                let fault =
                    Diagnostic::new(Code::KeyMissing, entry.value_span(), "`when` says nothing");
                self.faults.push(fault.label("empty").help(
                    "a pool for all sessions is the listener's own: `pool = \"NAME\"` there",
                ));
            }
        }
        let is_sound =
            self.faults[faults..].iter().all(|fault| fault.severity() == model::Severity::Warning);
        is_sound.then(|| Spanned::at(When { client, address, port }, entry.span()))
    }

    fn addresses(&mut self, table: &Table<'_>) -> Vec<IpAddr> {
        let mut addresses = Vec::new();
        for text in self.texts(table, "address").unwrap_or_default() {
            match text.value.trim_matches(['[', ']']).parse() {
                Ok(address) => addresses.push(address),
                Err(_) => self.faults.push(
                    Diagnostic::new(
                        Code::Address,
                        text.span,
                        format!("`{}` is not an address", text.value),
                    )
                    .label("one address")
                    .help("write `address = \"10.0.0.1\"`, and ports as `port = 8080`"),
                ),
            }
        }
        addresses
    }

    fn ports(&mut self, table: &Table<'_>) -> Vec<u16> {
        let ports = self.counts(table, "port", PORT_MAX);
        ports.into_iter().filter_map(|port| u16::try_from(port.get()).ok()).collect()
    }
}
