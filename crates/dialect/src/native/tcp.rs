//! `tcp = { ... }` on a listener.

use model::{ByteSize, Dscp, Mptcp, Tcp};
use toml::de::DeValue;

use super::Reader;
use super::keys::{self, Key, Schema, Takes};
use super::table::Table;
use crate::line::Word;
use crate::term::{bytes, option, value};

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
        Key::new(
            "nodelay",
            Takes::Boolean,
            "Whether small segments leave at once, without waiting for more.",
        )
        .default("true"),
        Key::new(
            "notsent_lowat",
            Takes::Size,
            "Unsent bytes in the kernel from which on it takes no more.",
        ),
        Key::new(
            "mark",
            Takes::Number { max: u32::MAX, text: "0x10" },
            "The firewall mark of packets (`SO_MARK`), which needs CAP_NET_ADMIN; 0 is none.",
        )
        .default("0"),
        Key::new(
            "dscp",
            Takes::Number { max: Dscp::MAX as u32, text: "ef" },
            "The class of traffic of packets: 0 to 63, or `ef`, `af41`, `cs1` and so on.",
        ),
        Key::new(
            "congestion",
            Takes::Text("bbr"),
            "The algorithm of congestion control, one that the kernel has.",
        ),
        Key::new(
            "fastopen",
            Takes::Count(option::FASTOPEN_MAX),
            "How many clients may have sent data with their SYN and wait to be accepted; their \
             data may come twice. Towards backends there is none.",
        ),
        Key::new(
            "mptcp",
            Takes::Choice(&keys::names(&Mptcp::NAMES)),
            "The sides on which connections may use several paths (Multipath TCP).",
        )
        .default("\"off\""),
        Key::new(
            "defer_accept",
            Takes::Time,
            "How long a client that has sent nothing is kept waiting, in whole seconds; not for \
             protocols in which the server speaks first.",
        )
        .default("\"0\""),
        Key::new(
            "send_buffer",
            Takes::Size,
            "Bytes the kernel may hold that were not acknowledged; ends its own tuning.",
        ),
        Key::new(
            "receive_buffer",
            Takes::Size,
            "Bytes the kernel may hold that were not read; ends its own tuning.",
        ),
    ],
    also: &[],
    later: &[],
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
        if let Some(nodelay) = self.boolean(&table, "nodelay") {
            tcp.nodelay = nodelay;
        }
        tcp.notsent_lowat = self.size(&table, "notsent_lowat");
        tcp.mark = self.number_or_text(&table, "mark", option::mark).flatten();
        tcp.dscp = self.number_or_text(&table, "dscp", option::dscp);
        if let Some(text) = self.text(&table, "congestion") {
            tcp.congestion = self.told(option::congestion(text.word()));
        }
        if let Some(queue) = self.count(&table, "fastopen", option::FASTOPEN_MAX) {
            tcp.fastopen = u32::try_from(queue.get()).ok().and_then(std::num::NonZeroU32::new);
        }
        tcp.mptcp = self.mptcp(&table);
        if let Some(time) = self.duration(&table, "defer_accept", option::defer_accept) {
            tcp.defer_accept = time;
        }
        tcp.send_buffer = self.size(&table, "send_buffer");
        tcp.receive_buffer = self.size(&table, "receive_buffer");
        tcp
    }

    fn mptcp(&mut self, table: &Table<'_>) -> Mptcp {
        if let Some(entry) = table.get("mptcp")
            && let DeValue::Boolean(is_on) = entry.value()
        {
            let help = match is_on {
                true => "write `\"both\"`, or `\"clients\"` or `\"backends\"` for one side",
                false => "write `\"off\"`, or leave it out",
            };
            self.wrong(entry, "the name of a side", help);
            return Mptcp::default();
        }
        self.choice(table, "mptcp", &Mptcp::NAMES, &[]).unwrap_or_default()
    }

    pub(super) fn size(&mut self, table: &Table<'_>, key: &str) -> Option<ByteSize> {
        let entry = table.get(key)?;
        if let DeValue::Integer(number) = entry.value() {
            let word = Word::of_file(number.as_str(), entry.value_span(), false);
            self.faults.push(bytes::size_without_unit(word, |size| format!("`\"{size}\"`")));
            return None;
        }
        let text = self.text(table, key)?;
        self.told(bytes::size(text.word()))
    }
}
