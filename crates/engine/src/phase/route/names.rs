//! Hosts that routes ask for: a look-up for each label of a name, however many there are.

use std::collections::{HashMap, HashSet};
use std::net::Ipv6Addr;

use model::route::pattern::NamePattern;

/// The host in what a client says, as names are compared: in lower case, without port and brackets.
pub(crate) fn host(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let name = match text.strip_prefix('[') {
        Some(rest) => {
            let address: Ipv6Addr = rest.split_once(']')?.0.parse().ok()?;
            return Some(address.to_string());
        }
        None => text.split_once(':').map_or(text, |(name, _)| name),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

/// A set of patterns.
#[derive(Debug, Default)]
pub(crate) struct Names {
    any: bool,
    exact: HashSet<Box<str>>,
    below: HashSet<Box<str>>,
}

impl Names {
    pub(crate) fn new(patterns: &[NamePattern]) -> Self {
        let mut names = Self::default();
        for pattern in patterns {
            match pattern {
                NamePattern::Any => names.any = true,
                NamePattern::Exact(name) => drop(names.exact.insert(name.as_str().into())),
                NamePattern::Below(name) => drop(names.below.insert(name.as_str().into())),
            }
        }
        names
    }

    /// Whether one of them matches `name`, which is in lower case.
    pub(crate) fn contain(&self, name: &str) -> bool {
        self.any || self.exact.contains(name) || parents(name).any(|name| self.below.contains(name))
    }
}

/// Routes by the patterns that they name.
#[derive(Debug, Default)]
pub(crate) struct Index {
    any: Vec<u16>,
    exact: HashMap<Box<str>, Vec<u16>>,
    below: HashMap<Box<str>, Vec<u16>>,
}

impl Index {
    pub(crate) fn put(&mut self, patterns: &[NamePattern], route: u16) {
        for pattern in patterns {
            let routes = match pattern {
                NamePattern::Any => &mut self.any,
                NamePattern::Exact(name) => self.exact.entry(name.as_str().into()).or_default(),
                NamePattern::Below(name) => self.below.entry(name.as_str().into()).or_default(),
            };
            routes.push(route);
        }
    }

    /// The routes that name a pattern of `name`, which is in lower case; in no order, perhaps
    /// more than once.
    pub(crate) fn find(&self, name: &str, found: &mut Vec<u16>) {
        let below = parents(name).filter_map(|name| self.below.get(name));
        for routes in self.exact.get(name).into_iter().chain(below).chain([&self.any]) {
            found.extend(routes);
        }
    }
}

/// The names that `name` is below of, the longest first.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.split_once('.'), |(_, rest)| rest.split_once('.'))
        .map(|(_, parent)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_they_are_compared() {
        for (text, expected) in [
            ("WWW.Example.com:8080", Some("www.example.com")),
            ("www.example.com.", Some("www.example.com")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("[2001:DB8:0::1]:443", Some("2001:db8::1")),
            ("[::1", None),
            (":80", None),
            ("", None),
        ] {
            assert_eq!(host(text.as_bytes()).as_deref(), expected, "{text}");
        }
        assert_eq!(host(b"\xff"), None);
    }

    fn pattern(text: &str) -> NamePattern {
        NamePattern::parse(text).expect("a legal pattern")
    }

    #[test]
    fn names_match_as_patterns_cover() {
        let patterns = ["a.example", "*.b.example", "*.c"].map(pattern);
        let names = Names::new(&patterns);
        for name in ["a.example", "x.a.example", "b.example", "x.b.example", "y.x.b.example", "x.c"]
        {
            let exact = NamePattern::Exact(name.to_owned());
            let expected = patterns.iter().any(|pattern| pattern.covers(&exact));
            assert_eq!(names.contain(name), expected, "{name}");
        }
        assert!(Names::new(&[NamePattern::Any]).contain("anything"));
    }

    #[test]
    fn routes_are_found_by_all_that_they_name() {
        let mut index = Index::default();
        index.put(&["a.b", "*.b"].map(pattern), 3);
        index.put(&["*"].map(pattern), 1);
        index.put(&["*.a.b"].map(pattern), 2);
        let find = |name: &str| {
            let mut found = Vec::new();
            index.find(name, &mut found);
            found.sort_unstable();
            found.dedup();
            found
        };
        assert_eq!(find("a.b"), [1, 3]);
        assert_eq!(find("x.a.b"), [1, 2, 3]);
        assert_eq!(find("c"), [1]);
    }
}
