//! `http = { ... }` on a listener.

use model::{Http, HttpRequests, Spanned};

use super::Reader;
use super::keys::{self, Key, Schema, Takes};
use super::table::Table;
use crate::term::url;

pub(super) const HTTP: Schema = Schema {
    place: "http",
    keys: &[
        Key::new(
            "requests",
            Takes::Choice(&keys::names(&HttpRequests::NAMES)),
            "`watch`: logs can tell of them. `translate`: the same, and as the backends are proxies \
             the target `/a` becomes `http://HOST/a`; what is no HTTP is refused. Those that go to \
             `original` stay as they are.",
        )
        .required(),
        Key::new(
            "force_url",
            Takes::Text("http://www.example.com/closed"),
            "What the target of every request becomes, unless its `Referer` is that.",
        ),
    ],
    also: &[],
    later: &[],
};

impl Reader<'_> {
    pub(super) fn http(&mut self, listener: &Table<'_>) -> Option<Spanned<Http>> {
        let table = self.table(listener, "http")?;
        self.keys(&table, &HTTP);
        let force_url = self.text(&table, "force_url").and_then(|text| {
            let url = self.told(url::read(text.word()))?;
            Some(Spanned::at(url, text.span))
        });
        if table.get("requests").is_none() {
            let message = "`http` does not say what is done with requests".to_owned();
            self.missing(&table, message, "write `requests = \"translate\"`, or `\"watch\"`");
        }
        let requests = self.choice(&table, "requests", &HttpRequests::NAMES, &[])?;
        Some(Spanned::at(Http { requests, force_url }, table.span))
    }
}
