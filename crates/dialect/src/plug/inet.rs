//! IPv4 addresses as inet_addr(3) reads them: `127.1`, `0x7f.1`, `010.0.0.1`.
//!
//! One to four numbers between dots, each decimal, octal (a leading `0`) or hexadecimal (`0x`); the
//! last fills all the bytes that are left.

use std::net::Ipv4Addr;

/// The address, if `text` is one. Four plain decimal numbers are read as everywhere.
pub(crate) fn address(text: &str) -> Option<Ipv4Addr> {
    let parts: Option<Vec<u32>> = text.split('.').map(number).collect();
    let parts = parts?;
    let (last, first) = parts.split_last()?;
    let left = 4_usize.checked_sub(first.len()).filter(|left| *left > 0)?;
    let room = u64::from(u32::MAX) >> (8 * first.len());
    if first.iter().any(|part| *part > 255) || u64::from(*last) > room {
        return None;
    }
    let high = first.iter().fold(0_u64, |bits, part| bits << 8 | u64::from(*part));
    let bits = high << (8 * left) | u64::from(*last);
    u32::try_from(bits).ok().map(Ipv4Addr::from_bits)
}

fn number(text: &str) -> Option<u32> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    // A sign is no digit, though `from_str_radix` takes one.
    let legal = digits.chars().all(|c| c.is_digit(radix));
    u32::from_str_radix(digits, radix).ok().filter(|_| legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("10.0.0.1", Some("10.0.0.1")),
            ("127.1", Some("127.0.0.1")),
            ("127.0", Some("127.0.0.0")),
            ("10.1.258", Some("10.1.1.2")),
            ("0x7f.1", Some("127.0.0.1")),
            ("010.0.0.1", Some("8.0.0.1")),
            ("2130706433", Some("127.0.0.1")),
            ("0", Some("0.0.0.0")),
            ("4294967296", None),
            ("1.16777216", None),
            ("256.0.0.1", None),
            ("1.2.3.4.5", None),
            ("08.0.0.1", None),
            ("+1.0.0.1", None),
            ("1..2", None),
            ("", None),
            ("0x", None),
            ("::1", None),
            ("a.b", None),
        ] {
            let shown = address(text).map(|address| address.to_string());
            assert_eq!(shown.as_deref(), expected, "{text}");
        }
    }
}
