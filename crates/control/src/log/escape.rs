//! Text of others, made harmless for one line of a log.
//!
//! Names from a configuration, from a peer or from an error message may hold
//! line ends, terminal controls (also the one-character forms U+0080 to U+009F)
//! and marks that turn the direction of text. All of those are written as
//! escapes in every format, so that one entry is one line and a line on a
//! terminal shows what it says. Everything else, of any script, stays as it is.

use std::fmt::Write as _;

/// Characters of one text that are shown; what is longer ends in `...`.
pub(super) const TEXT_CHARS_MAX: usize = 1_024;

/// Appends `text` for people: escapes as Rust and most shells write them.
pub(super) fn plain(out: &mut String, text: &str) {
    each(out, text, |out, c| match c {
        '\\' => out.push_str("\\\\"),
        c if hostile(c) => out.extend(c.escape_default()),
        c => out.push(c),
    });
}

/// Appends `text` as a JSON string, quotes included (RFC 8259 section 7).
pub(super) fn json(out: &mut String, text: &str) {
    out.push('"');
    each(out, text, |out, c| match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if hostile(c) => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                push(out, format_args!("\\u{unit:04x}"));
            }
        }
        c => out.push(c),
    });
    out.push('"');
}

/// Bytes that need not be text: as they are if all are visible ASCII, else in hex behind `0x`.
pub(super) fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(u8::is_ascii_graphic) => text.to_owned(),
        _ => bytes.iter().fold("0x".to_owned(), |mut hex, byte| {
            push(&mut hex, format_args!("{byte:02x}"));
            hex
        }),
    }
}

/// Appends `text` as the value of a logfmt pair: in quotes only where it must be. Escapes are
/// those of JSON.
pub(super) fn logfmt(out: &mut String, text: &str) {
    let bare = |c: char| !matches!(c, ' ' | '"' | '=' | '\\') && !hostile(c);
    match !text.is_empty() && text.len() <= TEXT_CHARS_MAX && text.chars().all(bare) {
        true => out.push_str(text),
        false => json(out, text),
    }
}

/// Appends `text` as HAProxy writes names of others: what would end a field, and all that is not
/// visible ASCII, as `#` and two hex digits for each byte.
pub(super) fn haproxy(out: &mut String, text: &str) {
    each(out, text, |out, c| match c {
        '!'..='~' if !matches!(c, '"' | '#' | '{' | '|' | '}') => out.push(c),
        c => {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                push(out, format_args!("#{byte:02X}"));
            }
        }
    });
}

/// Appends what is formatted.
pub(super) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

fn each(out: &mut String, text: &str, mut write: impl FnMut(&mut String, char)) {
    let mut chars = text.chars();
    chars.by_ref().take(TEXT_CHARS_MAX).for_each(|c| write(out, c));
    if chars.next().is_some() {
        out.push_str("...");
    }
}

/// Whether a character could end a line, drive a terminal, or turn the text around it.
fn hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What somebody who means harm would send.
    pub(in crate::log) const HOSTILE: &str =
        "a\r\n2026 forged \x1b[2J\u{9b}31m \"q\" \\ %n%s \u{202e}evil\u{2028}\0 \u{e0041} k=v é";

    #[track_caller]
    fn check(escape: fn(&mut String, &str), text: &str, expected: &str) {
        let mut out = String::new();
        escape(&mut out, text);
        assert_eq!(out, expected);
    }

    #[test]
    fn hostile_text_in_each_style() {
        check(
            plain,
            HOSTILE,
            r#"a\r\n2026 forged \u{1b}[2J\u{9b}31m "q" \\ %n%s \u{202e}evil\u{2028}\u{0} \u{e0041} k=v é"#,
        );
        check(
            json,
            HOSTILE,
            r#""a\r\n2026 forged \u001b[2J\u009b31m \"q\" \\ %n%s \u202eevil\u2028\u0000 \udb40\udc41 k=v é""#,
        );
    }

    #[test]
    fn haproxy_fields_hold_visible_ascii() {
        check(haproxy, "unix:/run/a b#1\n\"é\"", "unix:/run/a#20b#231#0A#22#C3#A9#22");
    }

    #[test]
    fn logfmt_quotes_only_where_it_must() {
        check(logfmt, "10.0.0.1:80", "10.0.0.1:80");
        check(logfmt, "größe", "größe");
        check(logfmt, "", r#""""#);
        check(logfmt, "a b", r#""a b""#);
        check(logfmt, "a=b", r#""a=b""#);
        check(logfmt, "a\nb", r#""a\nb""#);
    }

    #[test]
    fn long_text_is_cut() {
        let long = "ä".repeat(64 * 1024);
        let cut = format!("{}...", "ä".repeat(TEXT_CHARS_MAX));
        check(plain, &long, &cut);
        check(json, &long, &format!("\"{cut}\""));
        check(logfmt, &long, &format!("\"{cut}\""));
    }

    proptest! {
        #[test]
        fn json_reads_back_and_nothing_leaves_its_line(text in any::<String>()) {
            let mut out = String::new();
            json(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).ok(), Some(text.clone()));
            plain(&mut out, &text);
            logfmt(&mut out, &text);
            haproxy(&mut out, &text);
            prop_assert!(!out.chars().any(hostile), "{out:?}");
        }
    }
}
