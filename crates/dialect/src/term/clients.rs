//! Clients: a range of addresses as `cidr` reads it, or a pattern: `10.*`, `127.0.0.?`, `fe80:*`.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use model::{AddressPattern, Clients, Code, Diagnostic};

use crate::line::Word;
use crate::term::{Dialect, cidr};

/// Reads one item of an access list. The warning beside it is there if it is not what it looks like.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(
    word: Word<'_>,
    dialect: Dialect,
) -> Result<(Clients, Option<Diagnostic>), Diagnostic> {
    let text = word.text;
    if !text.contains(['*', '?']) || text.contains(',') {
        return cidr::read(word, dialect).map(|(range, told)| (range.into(), told));
    }
    if let Some(range) = starred(text) {
        return Ok((range.into(), None));
    }
    let pattern = AddressPattern::parse(text).map(Clients::Pattern);
    pattern.map(|pattern| (pattern, None)).ok_or_else(|| {
        Diagnostic::new(Code::Cidr, word.span, format!("`{text}` is no pattern of addresses"))
            .label("no address looks like this")
            .help(
                "a pattern has hexadecimal digits, `.` and `:`, `*` for any text and `?` for one \
                 character, as in `10.0.*.1`; a range is written `10.0.0.0/16`",
            )
    })
}

/// The range that is the same as `10.*`, `10.0.0.*` or `10.0.*.*`, which is found faster.
fn starred(text: &str) -> Option<IpNet> {
    let parts: Vec<_> = text.split('.').collect();
    let fixed = parts.iter().take_while(|part| **part != "*").count();
    if !(1..4).contains(&fixed) || parts.len() > 4 || fixed == parts.len() {
        return None;
    }
    let mut octets = [0; 4];
    for (octet, part) in octets.iter_mut().zip(&parts[..fixed]) {
        *octet = part.parse().ok()?;
        // `010` is the text of no address.
        if octet.to_string() != **part {
            return None;
        }
    }
    let stars = parts[fixed..].iter().all(|part| *part == "*");
    let length = u8::try_from(8 * fixed).ok()?;
    let range = Ipv4Net::new(Ipv4Addr::from(octets), length).ok()?;
    stars.then_some(IpNet::V4(range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn patterns_that_are_ranges_become_them() {
        for (text, expected) in [
            ("10.*", Some("10.0.0.0/8")),
            ("10.0.0.*", Some("10.0.0.0/24")),
            ("10.0.*.*", Some("10.0.0.0/16")),
            ("192.168.2.*", Some("192.168.2.0/24")),
            ("10.*.*.*.*", None),
            ("10.*.1.*", None),
            ("10.1*", None),
            ("010.*", None),
            ("256.*", None),
            ("*", None),
            ("*.*", None),
            ("+1.*", None),
        ] {
            let shown = starred(text).map(|range| range.to_string());
            assert_eq!(shown.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_range_holds_whom_its_pattern_matches() {
        for text in ["10.*", "10.0.*", "10.0.*.*", "10.0.0.*"] {
            let range = starred(text).expect("a range");
            let pattern = AddressPattern::parse(text).expect("a pattern");
            for address in ["10.0.0.1", "10.0.1.1", "10.1.0.1", "100.0.0.1", "11.0.0.1", "::10"] {
                let address: IpAddr = address.parse().expect("an address");
                assert_eq!(range.contains(&address), pattern.matches(address), "{text} {address}");
            }
        }
    }
}
