//! `tcp = { ... }` on a listener.

use model::Tcp;

use super::Reader;
use super::keys::{Key, Schema, Takes};
use super::table::Table;
use crate::term::value;

pub(super) const TCP: Schema = Schema {
    place: "tcp",
    keys: &[
        Key::new(
            "keepalive",
            Takes::Time,
            "Silence after which the kernel begins to probe a peer, in whole seconds; `0`: never.",
        )
        .default("\"0\""),
        Key::new(
            "user_timeout",
            Takes::Time,
            "How long sent data may stay unacknowledged; `0`: as the kernel decides.",
        )
        .default("\"0\""),
    ],
    also: &[],
    later: &[
        "nodelay",
        "notsent_lowat",
        "mark",
        "dscp",
        "congestion",
        "fastopen",
        "mptcp",
        "defer_accept",
        "send_buffer",
        "receive_buffer",
    ],
};

impl Reader<'_> {
    pub(super) fn tcp(&mut self, table: &Table<'_>) -> Tcp {
        let mut tcp = Tcp::default();
        let Some(table) = self.table(table, "tcp") else { return tcp };
        self.keys(&table, &TCP);
        if let Some(time) = self.duration(&table, "keepalive", value::keepalive) {
            tcp.keepalive = time;
        }
        if let Some(time) = self.duration(&table, "user_timeout", value::user_timeout) {
            tcp.user_timeout = time;
        }
        tcp
    }
}
