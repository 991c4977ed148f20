//! Clients by what their addresses look like.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// Some clients, by their addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Those in a range. IPv4 clients are in no range of IPv6.
    Range(IpNet),
    /// Those whose address looks like this.
    Pattern(AddressPattern),
}

/// What the text of an address looks like: `*` stands for any characters or none, `?` for one.
///
/// The text is that of RFC 5952, of four decimal numbers for IPv4. Clients of a socket for both
/// families that come by IPv4 are compared as IPv4; a pattern that begins with `::ffff:` is
/// compared with `::ffff:10.0.0.1` as well, which is how other programs see them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AddressPattern(String);

impl AddressPattern {
    /// Longest pattern in bytes: no address has a text of more than 39, or 45 with an IPv4 one in it.
    pub const BYTES_MAX: usize = 64;

    /// What stands in front of an IPv4 address in an IPv6 one.
    const MAPPED: &str = "::ffff:";

    /// Reads hexadecimal digits of either case, `.`, `:`, and at least one of `*` and `?`.
    pub fn parse(text: &str) -> Option<Self> {
        let legal = |byte: u8| byte.is_ascii_hexdigit() || b".:*?".contains(&byte);
        let good =
            text.len() <= Self::BYTES_MAX && text.contains(['*', '?']) && text.bytes().all(legal);
        good.then(|| Self(text.to_ascii_lowercase()))
    }

    /// Whether the whole text of `address` is as the pattern says.
    pub fn matches(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let pattern = self.0.as_bytes();
        let text = address.to_string();
        let mapped = || address.is_ipv4() && self.0.starts_with(Self::MAPPED);
        fits(pattern, text.as_bytes())
            || mapped() && fits(pattern, format!("{}{text}", Self::MAPPED).as_bytes())
    }

    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether the whole of `text` is as `pattern` says. The last star that was met takes one more
/// byte whenever what follows does not fit, so the time is bounded by both lengths multiplied.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let mut star = None;
    let (mut at, mut here) = (0, 0);
    while here < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, here));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[here] => {
                at += 1;
                here += 1;
            }
            _ => match star {
                Some((begin, taken)) => {
                    star = Some((begin, taken + 1));
                    (at, here) = (begin + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

impl From<IpNet> for Clients {
    fn from(range: IpNet) -> Self {
        Self::Range(range)
    }
}

impl fmt::Display for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) => range.fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(pattern: &str, address: &str, expected: bool) {
        let pattern = AddressPattern::parse(pattern).expect("a legal pattern");
        let address = address.parse().expect("a legal address");
        assert_eq!(pattern.matches(address), expected, "{pattern} {address}");
    }

    #[test]
    fn patterns_fit_whole_addresses() {
        check("127.*.2", "127.0.0.2", true);
        check("127.*.2", "127.0.0.22", false);
        check("127.0.0.?", "127.0.0.1", true);
        check("127.0.0.?", "127.0.0.12", false);
        check("192.168.2.1?", "192.168.2.10", true);
        check("192.168.2.1?", "192.168.2.1", false);
        check("*", "10.0.0.1", true);
        check("*", "2001:db8::1", true);
        check("fe80:*", "fe80::1", true);
        check("FE80:*", "fe80::1", true);
        check("fe80:*", "2001:db8::1", false);
        check("2001:618:*:e43f", "2001:618::1:e43f", true);
        check("*.*.*.*", "10.0.0.1", true);
        check("*.*.*.*", "::1", false);
    }

    #[test]
    fn ipv4_clients_match_both_of_their_texts() {
        check("127.*", "::ffff:127.0.0.1", true);
        check("::ffff:127.*", "127.0.0.1", true);
        check("::ffff:*", "::ffff:127.0.0.1", true);
        check("::*", "127.0.0.1", false);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "10.0.0.1", "10.0.0.*/8", "*.example", "[::*]", "10.0.0.*,", "1 *"] {
            assert_eq!(AddressPattern::parse(text), None, "{text}");
        }
        assert_eq!(AddressPattern::parse(&"*".repeat(AddressPattern::BYTES_MAX + 1)), None);
    }

    proptest! {
        #[test]
        fn fitting_is_what_a_search_of_all_ways_finds(
            pattern in "[01*?]{0,8}",
            text in "[01]{0,8}",
        ) {
            fn all(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern, text) {
                    ([], []) => true,
                    ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| all(rest, &text[at..])),
                    ([b'?', rest @ ..], [_, behind @ ..]) => all(rest, behind),
                    ([one, rest @ ..], [other, behind @ ..]) => one == other && all(rest, behind),
                    _ => false,
                }
            }
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(fits(pattern, text), all(pattern, text));
        }
    }
}
