//! The old tools: their names, and who answers to them.
//!
//! A personality is what `replug` is when it is started under the name of an old tool (a link, or
//! `argv[0]`), or when that name is its first word. It takes the tool's own words, ends with the
//! tool's own codes, and never with 0 when it could not start.

mod plug;
pub(crate) mod proxymachine;
pub(crate) mod redir;
pub(crate) mod rinetd;
pub(crate) mod tcprelay;
pub(crate) mod tproxy;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// An old tool.
#[derive(Debug)]
pub(crate) struct Personality {
    name: &'static str,
    run: fn(&Call<'_>) -> ExitCode,
}

/// How it was called.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// As whom it speaks: the last part of `argv[0]`, or the first word.
    pub(crate) program: String,
    /// The words behind that.
    pub(crate) words: &'a [OsString],
}

/// What the help says of each.
pub(crate) const NAMES: [(&str, &str); 8] = [
    ("plug", "The command line of plug (plugdaemon); also when started as `plug`"),
    ("redir", "The command lines of redir, versions 1 to 3; also when started as `redir`"),
    ("tcprelay", "The configuration of tcprelay; also when started as `tcprelay`"),
    ("spawnd", "The same; also when started as `spawnd`"),
    ("rinetd", "The configuration of rinetd; also when started as `rinetd`"),
    ("tproxy", "The command line of transproxy; also when started as `tproxy`"),
    ("transproxy", "The same; also when started as `transproxy`"),
    ("proxymachine", "The command line of ProxyMachine; also when started as `proxymachine`"),
];

/// All of them.
const PERSONALITIES: [Personality; 8] = [
    Personality { name: "plug", run: plug::run },
    Personality { name: "redir", run: redir::run },
    Personality { name: "tcprelay", run: tcprelay::run },
    Personality { name: "spawnd", run: tcprelay::run },
    Personality { name: "rinetd", run: rinetd::run },
    Personality { name: "tproxy", run: tproxy::run },
    Personality { name: "transproxy", run: tproxy::run },
    Personality { name: "proxymachine", run: proxymachine::run },
];

/// The one that `program` or the first of `words` names.
pub(crate) fn of<'a>(
    program: &OsStr,
    words: &'a [OsString],
) -> Option<(&'static Personality, Call<'a>)> {
    let named = |name: &OsStr| PERSONALITIES.iter().find(|tool| name == tool.name);
    let begun = Path::new(program).file_name().unwrap_or_default();
    let (tool, words) = match named(begun) {
        Some(tool) => (tool, words),
        None => {
            let (first, rest) = words.split_first()?;
            (named(first)?, rest)
        }
    };
    Some((tool, Call { program: tool.name.to_owned(), words }))
}

impl Personality {
    /// Does what its words say.
    pub(crate) fn run(&self, call: &Call<'_>) -> ExitCode {
        (self.run)(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(program: &str, words: &[&str], expected: Option<(&str, &[&str])>) {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        let found = of(program.as_ref(), &words);
        let found = found.map(|(tool, call)| (tool.name, call.words.to_vec()));
        let expected =
            expected.map(|(name, words)| (name, words.iter().map(Into::into).collect::<Vec<_>>()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_tool_is_called_by_its_name_or_by_the_first_word() {
        check("replug", &["8080", "a:80"], None);
        check("replug", &[], None);
        check("", &["8080"], None);
        check("plug", &["-n", "80"], Some(("plug", &["-n", "80"])));
        check("/usr/sbin/plug", &[], Some(("plug", &[])));
        check("./replug", &["plug", "-V"], Some(("plug", &["-V"])));
        check("plug", &["plug"], Some(("plug", &["plug"])));
        check("replug", &["8080", "plug"], None);
        check("myplug", &["80"], None);
    }
}
