//! Which clients may come: `[access]` for all listeners, `allow` and `deny` of each.

use model::Access;

use super::Reader;
use super::keys::{Key, Schema, Takes};
use super::table::Table;

pub(super) const ACCESS: Schema = Schema {
    place: "[access]",
    keys: &[
        Key::new(
            "allow",
            Takes::Texts("10.0.0.0/8"),
            "Clients that may come to any listener: as `allow` of a listener, which holds as well.",
        )
        .default("[]"),
        Key::new(
            "deny",
            Takes::Texts("10.9.0.0/16"),
            "Clients that may come to no listener; it wins over `allow`.",
        )
        .default("[]"),
    ],
    also: &[],
    later: &[],
};

impl Reader<'_> {
    /// The two lists of a table.
    pub(super) fn access(&mut self, table: &Table<'_>) -> Access {
        Access { allow: self.clients(table, "allow"), deny: self.clients(table, "deny") }
    }
}
