//! `[[listener.NAME.route]]`: which sessions go to another pool.

use model::{Code, Diagnostic, Route, Spanned, When};

use super::Reader;
use super::keys::{Key, Schema, Takes};
use super::listener::{is_name, not_a_name};
use super::table::Table;
use super::when::WHEN;

pub(super) const ROUTE: Schema = Schema {
    place: "a route",
    keys: &[
        Key::new(
            "name",
            Takes::Text("internal"),
            "How records call it; by its place, from 1 on, if it is left out.",
        ),
        Key::new("when", Takes::Table(&WHEN), "Which sessions; all that is said must hold.")
            .required(),
        Key::new("pool", Takes::Text("web"), "The pool that they go to.").required(),
    ],
    also: &[],
    later: &[],
};

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
        let name = self.route_name(table);
        let when = self.when_of(table);
        let pool = self.text(table, "pool");
        let pool = pool.map(|text| Spanned::at(text.value.to_string(), text.span))?;
        // Without its conditions it would stand for more sessions than was meant.
        when.map(|when| Route { name, when, pool })
    }

    fn route_name(&mut self, table: &Table<'_>) -> Option<String> {
        let text = self.text(table, "name")?;
        if is_name(&text.value) {
            return Some(text.value.into_owned());
        }
        self.faults.push(not_a_name(&text.value, text.span));
        None
    }

    fn when_of(&mut self, route: &Table<'_>) -> Option<Spanned<When>> {
        const HELP: &str = "write `when = { client = \"10.1.0.0/16\" }`";
        let Some(entry) = route.get("when") else {
            self.missing(route, "the route does not say when".to_owned(), HELP);
            return None;
        };
        let table = self.table(route, "when")?;
        self.when(entry, &table).map(|when| Spanned::at(when, entry.span()))
    }
}
