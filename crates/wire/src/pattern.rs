//! Regular expressions over the beginning of a stream.
//!
//! An expression is compiled to a table of states, so that each byte costs one look-up, whatever
//! the expression and whatever the bytes; one whose table would be large is refused. It is held
//! against the first byte on, as if it began with `^`, which lets it say early that nothing that
//! may still come will match. It is about bytes: `.` is any byte but a line feed, `\xff` one byte,
//! `\w` and `(?i)` know ASCII.

use std::fmt;
use std::ops::Range;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::start;
use regex_automata::util::syntax;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{Look, LookSet};

use crate::Verdict;

/// Greatest table of an expression, in bytes, and greatest memory to make it.
pub const TABLE_BYTES_MAX: usize = 1024 * 1024;

/// Longest expression, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;

/// A regular expression, compiled.
pub struct Pattern {
    table: dense::DFA<Vec<u32>>,
    /// Whether what comes behind a match may undo it: it asks for an end, or the border of a word.
    looks_behind: bool,
}

/// For people: its size, not its table.
impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").field("bytes", &self.table.memory_usage()).finish()
    }
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A mistake in it.
    Syntax {
        /// Where, in bytes.
        at: Range<usize>,
        /// What, in a few words.
        what: String,
    },
    /// Longer than [`TEXT_BYTES_MAX`].
    TooLong,
    /// Its table would be larger than [`TABLE_BYTES_MAX`].
    TooLarge,
    /// It matches before there is anything.
    Empty,
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn new(text: &str) -> Result<Self, Fault> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let bytes = syntax::Config::new().unicode(false).utf8(false).nest_limit(50);
        let tree = syntax::parse_with(text, &bytes).map_err(|error| syntax_fault(&error))?;
        if tree.properties().minimum_len() == Some(0) {
            return Err(Fault::Empty);
        }
        let undoes =
            [Look::End, Look::EndLF, Look::EndCRLF, Look::WordAscii, Look::WordAsciiNegate];
        let more = [
            Look::WordStartAscii,
            Look::WordEndAscii,
            Look::WordStartHalfAscii,
            Look::WordEndHalfAscii,
        ];
        let looks: LookSet = tree.properties().look_set();
        let looks_behind = undoes.iter().chain(&more).any(|look| looks.contains(*look));
        let states = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(TABLE_BYTES_MAX))
            .which_captures(thompson::WhichCaptures::None);
        let states = thompson::Compiler::new().configure(states).build_from_hir(&tree);
        let states = states.map_err(|_| Fault::TooLarge)?;
        let table = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::All)
            .dfa_size_limit(Some(TABLE_BYTES_MAX))
            .determinize_size_limit(Some(TABLE_BYTES_MAX));
        let table = dense::Builder::new().configure(table).build_from_nfa(&states);
        Ok(Self { table: table.map_err(|_| Fault::TooLarge)?, looks_behind })
    }

    /// Whether a stream that begins with `bytes` matches. An expression that asks for an end
    /// (`$`, `\b`) may take the last byte for one only if `is_all`: nothing comes behind.
    pub fn test(&self, bytes: &[u8], is_all: bool) -> Verdict {
        let start = start::Config::new().anchored(Anchored::Yes);
        let Ok(mut state) = self.table.start_state(&start) else { return Verdict::No };
        for byte in bytes {
            state = self.table.next_state(state, *byte);
            if self.table.is_special_state(state) {
                if self.table.is_match_state(state) {
                    return Verdict::Yes;
                }
                if self.table.is_dead_state(state) || self.table.is_quit_state(state) {
                    return Verdict::No;
                }
            }
        }
        // A match is told one byte late.
        let end = self.table.next_eoi_state(state);
        match self.table.is_match_state(end) {
            true if is_all || !self.looks_behind => Verdict::Yes,
            _ if is_all => Verdict::No,
            _ => Verdict::Maybe,
        }
    }
}

fn syntax_fault(error: &regex_syntax::Error) -> Fault {
    let (span, what) = match error {
        regex_syntax::Error::Parse(error) => (*error.span(), error.kind().to_string()),
        regex_syntax::Error::Translate(error) => (*error.span(), error.kind().to_string()),
        _ => return Fault::Syntax { at: 0..0, what: "not an expression".to_owned() },
    };
    Fault::Syntax { at: span.start.offset..span.end.offset, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, bytes: &[u8], expected: Verdict) {
        let pattern = Pattern::new(text).expect("a legal expression");
        assert_eq!(pattern.test(bytes, false), expected, "{text} on {bytes:?}");
    }

    #[test]
    fn matches_are_told_with_the_last_byte_they_need() {
        check("ab+c", b"", Verdict::Maybe);
        check("ab+c", b"abb", Verdict::Maybe);
        check("ab+c", b"abbc", Verdict::Yes);
        check("ab+c", b"abbcd", Verdict::Yes);
        check("ab+c", b"xabc", Verdict::No);
        check("^ab", b"ab", Verdict::Yes);
        check("(?i)get ", b"GeT ", Verdict::Yes);
        check(r"\x16\x03.{3}\x01", b"\x16\x03\xff\x80\x01\x01", Verdict::Yes);
        check(r"\x16\x03.{3}\x01", b"\x16\x03\xff\x80\x01\x02", Verdict::No);
        check("(?s).*needle", b"hay\n", Verdict::Maybe);
        check("(?s).*needle", b"hay\nneedle", Verdict::Yes);
        check("a|abc", b"a", Verdict::Yes);
    }

    #[test]
    fn an_end_is_one_only_when_nothing_comes() {
        for text in ["abc$", r"abc\z", r"abc\b"] {
            let pattern = Pattern::new(text).expect("a legal expression");
            assert_eq!(pattern.test(b"abc", false), Verdict::Maybe, "{text}");
            assert_eq!(pattern.test(b"abc", true), Verdict::Yes, "{text}");
            assert_eq!(pattern.test(b"abcd", true), Verdict::No, "{text}");
        }
        check(r"abc\b", b"abc ", Verdict::Yes);
        let pattern = Pattern::new("abc").expect("a legal expression");
        assert_eq!(pattern.test(b"ab", true), Verdict::No);
    }

    #[track_caller]
    fn check_fault(text: &str, expected: &str) {
        let shown = match Pattern::new(text).expect_err("it is faulty") {
            Fault::Syntax { at, what } => format!("{}: {what}", &text[at]),
            fault => format!("{fault:?}"),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn faults() {
        check_fault("a(b", "(: unclosed group");
        check_fault("a**b[", "[: unclosed character class");
        check_fault("(a)\\1", "\\1: backreferences are not supported");
        check_fault("a*", "Empty");
        check_fault("", "Empty");
        check_fault("(?:[ab]*a[ab]{20})", "TooLarge");
        check_fault(&"a".repeat(TEXT_BYTES_MAX + 1), "TooLong");
    }

    proptest! {
        /// What was told of a beginning stays true for all that may follow.
        #[test]
        fn a_verdict_stays(
            text in "[ab.]{1,3}(\\[a-c\\]\\+|\\(a\\|bc\\)|b\\*|\\$)?[abc]{0,2}\\$?",
            bytes in "[abc]{0,8}",
            more in "[abc]{0,8}",
        ) {
            let Ok(pattern) = Pattern::new(&text) else { return Ok(()) };
            let before = pattern.test(bytes.as_bytes(), false);
            let after = pattern.test(format!("{bytes}{more}").as_bytes(), false);
            prop_assert!(before == Verdict::Maybe || before == after, "{}", text);
        }
    }
}
