//! What is outside: files and URLs that are included, services that have ports, and standard input.

use std::fs;
use std::path::{Path, PathBuf};

use dialect::tcprelay::Included;
use rustix::net::SocketType;
use rustix::net::sockopt::{socket_acceptconn, socket_type};

use crate::fetch::{self, Visit};

/// Largest file that is read, in bytes: more is no configuration but a mistake.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Files that one pattern may name, and names that braces in it may make.
const FILES_MAX: usize = 1000;

/// Where services are named (services(5)).
const SERVICES: &str = "/etc/services";

/// The text of the configuration that `name` is, a path or a URL, or why there is none.
pub(super) fn text(name: &str, visit: &Visit) -> Result<String, String> {
    match fetch::is_url(name) {
        true => visit.text(name),
        false => text_of_file(Path::new(name)),
    }
}

fn text_of_file(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_BYTES_MAX {
        return Err("it is larger than 16 MiB".to_owned());
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// The files that `pattern` names in the configuration `main`, in the order of their names.
///
/// `$CONFDIR/` is the folder of `main`. `*`, `?` and `[...]` stand for parts of names, `{a,b}` for
/// alternatives; but a URL names one file, as it stands.
pub(super) fn matching(main: &str, pattern: &str, visit: &Visit) -> Vec<Included> {
    let pattern = resolved(main, pattern);
    if fetch::is_url(&pattern) {
        return vec![Included { name: fetch::shown(&pattern), text: visit.text(&pattern) }];
    }
    let included = |path: PathBuf| {
        let text = text_of_file(&path);
        Included { name: path.display().to_string(), text }
    };
    paths(main, &pattern).into_iter().map(included).collect()
}

/// The paths of files that `pattern` names in the configuration `main`, as for [`matching`].
pub(in crate::personality) fn paths(main: &str, pattern: &str) -> Vec<PathBuf> {
    let pattern = resolved(main, pattern);
    let mut paths = Vec::new();
    for alternative in alternatives(&pattern) {
        let root = if alternative.starts_with('/') { "/" } else { "" };
        let parts: Vec<_> = alternative.split('/').filter(|part| !part.is_empty()).collect();
        walk(PathBuf::from(root), &parts, &mut paths);
    }
    paths.truncate(FILES_MAX);
    paths
}

fn resolved(main: &str, pattern: &str) -> String {
    match pattern.strip_prefix("$CONFDIR/") {
        Some(rest) => format!("{}/{rest}", folder(main)),
        None => pattern.to_owned(),
    }
}

fn folder(main: &str) -> &str {
    if fetch::is_url(main) {
        return fetch::folder(main);
    }
    match main.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => ".",
    }
}

/// What `{a,b}` stands for, from the first brace on.
fn alternatives(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(pattern) = open.pop() {
        let braces = pattern.find('{').and_then(|start| {
            let end = start + pattern[start..].find('}')?;
            Some((start, end))
        });
        match braces {
            Some((start, end)) if open.len() + done.len() < FILES_MAX => {
                let inside = pattern[start + 1..end].split(',').rev();
                open.extend(
                    inside
                        .map(|part| format!("{}{part}{}", &pattern[..start], &pattern[end + 1..])),
                );
            }
            _ => done.push(pattern),
        }
    }
    done
}

/// Adds what `parts` name below `path`, in the order of their names.
fn walk(path: PathBuf, parts: &[&str], found: &mut Vec<PathBuf>) {
    let Some((part, rest)) = parts.split_first() else {
        if path.is_file() && found.len() < FILES_MAX {
            found.push(path);
        }
        return;
    };
    if !part.contains(['*', '?', '[']) {
        walk(path.join(part), rest, found);
        return;
    }
    let folder = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
    let Ok(entries) = fs::read_dir(folder) else { return };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let pattern: Vec<char> = part.chars().collect();
    let fits = |name: &String| {
        let hidden = name.starts_with('.') && !part.starts_with('.');
        !hidden && fits(&pattern, &name.chars().collect::<Vec<_>>())
    };
    let mut names: Vec<_> = names.filter(fits).collect();
    names.sort();
    for name in names {
        walk(path.join(name), rest, found);
    }
}

/// Whether the whole of `name` is as `pattern` says (glob(7)).
fn fits(pattern: &[char], name: &[char]) -> bool {
    // Where the last star stood, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    let (mut at, mut here) = (0, 0);
    while here < name.len() {
        let one = match pattern.get(at) {
            Some('*') => {
                star = Some((at, here));
                at += 1;
                continue;
            }
            Some('?') => Some(at + 1),
            Some('[') => class(&pattern[at..], name[here]).map(|length| at + length),
            Some(c) if *c == name[here] => Some(at + 1),
            _ => None,
        };
        match (one, star) {
            (Some(next), _) => (at, here) = (next, here + 1),
            (None, Some((begin, taken))) => {
                star = Some((begin, taken + 1));
                (at, here) = (begin + 1, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// The length of `[...]` at the beginning of `pattern`, if `c` is in it.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some('!' | '^'));
    let start = if negated { 2 } else { 1 };
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|c| *c == ']')?;
    let inside = &pattern[start..end];
    let mut hit = false;
    let mut at = 0;
    while at < inside.len() {
        let range = inside.get(at + 1) == Some(&'-') && at + 2 < inside.len();
        let last = if range { inside[at + 2] } else { inside[at] };
        hit |= (inside[at]..=last).contains(&c);
        at += if range { 3 } else { 1 };
    }
    (hit != negated).then_some(end + 1)
}

/// The TCP port of a service by its name or another that it has.
pub(in crate::personality) fn port_of(service: &str) -> Option<u16> {
    port_over("tcp", service)
}

/// The port of a service over this protocol, likewise.
pub(in crate::personality) fn port_over(protocol: &str, service: &str) -> Option<u16> {
    let text = fs::read_to_string(SERVICES).ok()?;
    port_in(&text, protocol, service)
}

fn port_in(services: &str, protocol: &str, service: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let (name, port) = (words.next()?, words.next()?);
        let (port, over) = port.split_once('/')?;
        let called = name == service || words.any(|other| other == service);
        port.parse().ok().filter(|_| called && over == protocol)
    })
}

/// Whether standard input is a socket that listens: then inetd has started this.
pub(in crate::personality) fn is_given_a_listener() -> bool {
    let input = std::io::stdin();
    let is_stream = socket_type(&input) == Ok(SocketType::STREAM);
    is_stream && socket_acceptconn(&input) == Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, name: &str, expected: bool) {
        let (pattern, name): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
        assert_eq!(fits(&pattern, &name), expected, "{pattern:?} {name:?}");
    }

    #[test]
    fn patterns() {
        check("a", "a", true);
        check("a", "ab", false);
        check("*", "", true);
        check("*.cfg", "x.cfg", true);
        check("*.cfg", "x.cfg~", false);
        check("a*b*c", "aXbYbZc", true);
        check("a*b*c", "aXcYb", false);
        check("?.cfg", "é.cfg", true);
        check("[a-c]1", "b1", true);
        check("[a-c]1", "d1", false);
        check("[!a-c]1", "d1", true);
        check("[]]", "]", true);
        check("[", "[", false);
        check("**", "x", true);
    }

    #[test]
    fn braces_stand_for_each_of_what_they_hold() {
        assert_eq!(alternatives("a{b,c}d"), ["abd", "acd"]);
        assert_eq!(alternatives("{a,b}{c,d}"), ["ac", "ad", "bc", "bd"]);
        assert_eq!(alternatives("a{b"), ["a{b"]);
        assert!(alternatives(&"{a,b}".repeat(20)).len() <= FILES_MAX + 2);
    }

    #[test]
    fn services_are_found_by_either_name() {
        let text = "# http 1/tcp\nhttp 81/udp\nhttp\t80/tcp  www # WorldWideWeb\n";
        assert_eq!(port_in(text, "tcp", "http"), Some(80));
        assert_eq!(port_in(text, "udp", "http"), Some(81));
        assert_eq!(port_in(text, "tcp", "www"), Some(80));
        assert_eq!(port_in(text, "tcp", "WorldWideWeb"), None);
    }
}
