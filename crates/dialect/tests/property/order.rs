//! Files whose tables and keys stand in any order, and files that are in order.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::format::format;

/// Sound TOML with its tables and keys in any order, and comments everywhere.
pub(crate) fn any() -> impl Strategy<Value = String> {
    const TABLES: [(&str, &[&str]); 7] = [
        (
            "[listener.web]",
            &[
                "bind = \":80\"",
                "to = [ # one\n\"a:1\" # two\n ,\n\n# three\n 'b:2', # four\n # five\n]",
                "allow=[\"10.0.0.0/8\",\n\"10.0.0.7\"]",
                "timeouts.idle = \"1h\"",
                "timeouts . connect = \"1s\"",
                "sticky = { ttl=\"1h\", # six\n by = \"client\" }",
            ],
        ),
        ("[listener.\"pg\"]", &["bind = [\":81\"]", "pool = \"pg\"", "tcp={keepalive=\"60s\" }"]),
        (
            "[pool.pg]",
            &["backends = [ 'c:3' ]", "retry_down = \"\"\"5s\"\"\"", "balance = \"first\""],
        ),
        ("[ log ]", &["to = '-'", "format = \"json\""]),
        ("[limits]", &["sessions = 9_000"]),
        ("[zz.y]", &["b = [[1,\n2],[], {x=1}]", "\"a b\" = 1", "c = \"# no\""]),
        ("[zz]", &["q = 1", "r = {}"]),
    ];
    const GAPS: [&str; 9] = [
        "",
        "",
        "\n",
        "# seven\n",
        "  # eight\n\n",
        "\n# nine\n",
        "\n\n\n# ten\n\n# eleven\n",
        "#twelve\n# thirteen\n\n\n",
        "\n \n",
    ];
    const BESIDE: [&str; 4] = ["", "", "   # fourteen", "# fifteen  "];
    let table = |(header, keys): (&'static str, &'static [&'static str])| {
        let count = keys.len();
        let lines = subsequence(keys.to_vec(), 0..=count).prop_shuffle();
        let gaps = vec((select(&GAPS[..]), select(&BESIDE[..])), count + 1);
        (lines, gaps).prop_map(move |(lines, gaps)| {
            let lines = std::iter::once(header).chain(lines).zip(gaps);
            let lines = lines.map(|(line, (gap, beside))| format!("{gap}{line}{beside}\n"));
            lines.collect::<String>()
        })
    };
    let tables = TABLES.map(table).to_vec();
    (tables.prop_shuffle(), 0usize..=7, select(&GAPS[..])).prop_map(|(tables, count, end)| {
        let tables: String = tables.into_iter().take(count).collect();
        tables + end.trim_end_matches('\n')
    })
}

/// What is written as TOML is in order, but for spaces and how names are quoted.
pub(crate) fn is_kept(text: &str) {
    let plain = |text: &str| {
        let lines = text.lines().map(|line| line.replace([' ', '"'], ""));
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    let formatted = format(text).expect("what is written is TOML");
    // Long lists go on several lines.
    let (formatted, text) = (plain(&formatted).concat(), plain(text).concat());
    let bare = |text: String| text.replace(",]", "]");
    assert_eq!(bare(formatted), bare(text));
}
