//! Steps through the words of a configuration, and says what is wrong where it is.
//!
//! Reading goes on behind every fault: at the next line, the next word that is known where the
//! fault stands, or the end of the block, whichever comes first.

use std::time::Duration;

use model::unit::DURATION_MAX;
use model::{Code, Diagnostic, Span, Spanned};

use super::lex::{Kind, Lexer, Token};
use super::value;
use crate::suggest;

/// Where reading is.
pub(super) struct Cursor<'a> {
    pub(super) lexer: Lexer<'a>,
    peeked: Option<Token>,
    /// What is known in each block that was entered: how it is called, and its first words.
    blocks: Vec<Block>,
    pub(super) faults: Vec<Diagnostic>,
}

/// A kind of block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// How messages call it.
    pub(super) name: &'static str,
    /// The words that begin its directives, in the order of the alphabet.
    pub(super) known: &'static [&'static str],
}

const BOOLEANS: [(&str, bool); 6] = [
    ("deny", false),
    ("false", false),
    ("no", false),
    ("permit", true),
    ("true", true),
    ("yes", true),
];

impl<'a> Cursor<'a> {
    pub(super) fn new(lexer: Lexer<'a>) -> Self {
        Self { lexer, peeked: None, blocks: Vec::new(), faults: Vec::new() }
    }

    pub(super) fn peek(&mut self) -> &Token {
        if self.peeked.is_none() {
            self.peeked = Some(self.lexer.next());
        }
        self.peeked.as_ref().expect("it was just filled")
    }

    pub(super) fn take(&mut self) -> Token {
        match self.peeked.take() {
            Some(token) => token,
            None => self.lexer.next(),
        }
    }

    /// Takes the next token if it is of this kind; whether it was.
    pub(super) fn took(&mut self, kind: Kind) -> bool {
        let is = self.peek().kind == kind;
        if is {
            self.peeked = None;
        }
        is
    }

    /// From here on words are those of `block`.
    pub(super) fn enter(&mut self, block: Block) {
        self.blocks.push(block);
    }

    /// Reads a block behind its name: `[=] { ... }`. `directive` reads what begins with a word
    /// that the block knows; other words are given to `other`, which may take them for a value.
    pub(super) fn block(
        &mut self,
        block: Block,
        mut directive: impl FnMut(&mut Self, &Token),
        mut other: impl FnMut(&mut Self, &Token) -> bool,
    ) {
        self.took(Kind::Equals);
        let open = self.peek().clone();
        if open.kind != Kind::Open {
            self.expected(&["{"], &open);
            self.recover();
            return;
        }
        self.take();
        self.blocks.push(block);
        loop {
            let token = self.peek().clone();
            match token.kind {
                Kind::Close => {
                    self.take();
                    break;
                }
                Kind::End => {
                    self.open_at_end(&token, open.span, block.name);
                    break;
                }
                Kind::Bare if block.known.contains(&&*token.text) => {
                    self.take();
                    directive(self, &token);
                }
                _ if token.is_word() && other(self, &token) => {}
                _ => self.unknown(&token, block),
            }
        }
        self.blocks.pop();
    }

    /// Leaves a block behind without looking at it: `[=] { ... }`.
    pub(super) fn skip_block(&mut self) {
        self.took(Kind::Equals);
        let open = self.peek().clone();
        if open.kind != Kind::Open {
            self.expected(&["{"], &open);
            return;
        }
        let mut depth = 0_usize;
        loop {
            let token = self.take();
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth -= 1,
                Kind::End => {
                    self.open_at_end(&token, open.span, "this");
                    return;
                }
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// The next word, which must be one of `known` and not stand in quotes.
    pub(super) fn keyword<'k>(&mut self, known: &[&'k str]) -> Option<&'k str> {
        let token = self.peek().clone();
        let found = known.iter().find(|known| token.kind == Kind::Bare && token.text == **known);
        match found {
            Some(_) => {
                self.take();
            }
            None => {
                self.expected(known, &token);
                self.recover();
            }
        }
        found.copied()
    }

    /// `[=] VALUE`.
    pub(super) fn value(&mut self) -> Option<Token> {
        self.took(Kind::Equals);
        let token = self.peek().clone();
        if token.is_word() {
            return Some(self.take());
        }
        let mut fault = wanted("a value", &token);
        if token.text == "[" {
            fault =
                fault.help("write an IPv6 address without brackets, or in quotes: \"[::1]:80\"");
        }
        self.faults.push(fault);
        self.recover();
        None
    }

    /// `[=] VALUE`, given its meaning by `read`.
    pub(super) fn read<T>(
        &mut self,
        read: impl Fn(&Token) -> Result<T, Diagnostic>,
    ) -> Option<Spanned<T>> {
        let token = self.value()?;
        match read(&token) {
            Ok(value) => Some(Spanned::at(value, token.span)),
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    pub(super) fn text(&mut self) -> Option<Spanned<String>> {
        self.read(|token| Ok(token.text.clone()))
    }

    pub(super) fn integer(&mut self) -> Option<Spanned<u32>> {
        self.read(value::integer)
    }

    /// Whole seconds.
    pub(super) fn seconds(&mut self) -> Option<Spanned<Duration>> {
        self.read(|token| {
            let seconds = Duration::from_secs(value::integer(token)?.into());
            Ok(seconds.min(DURATION_MAX))
        })
    }

    /// One of a few words; not even one of these may stand in quotes.
    pub(super) fn choice<T: Copy>(&mut self, choices: &[(&str, T)]) -> Option<Spanned<T>> {
        self.took(Kind::Equals);
        let token = self.peek().clone();
        let found = choices.iter().find(|(name, _)| token.is_word() && token.text == *name);
        if let Some((_, value)) = found {
            self.take();
            return Some(Spanned::at(*value, token.span));
        }
        let known: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        if token.is_word() {
            self.take();
        }
        self.expected(&known, &token);
        if !token.is_word() {
            self.recover();
        }
        None
    }

    pub(super) fn boolean(&mut self) -> Option<Spanned<bool>> {
        self.choice(&BOOLEANS)
    }

    /// A number that does nothing here.
    pub(super) fn pass_integer(&mut self) {
        // What it is does not matter, only that it is one.
        let _ = self.integer();
    }

    /// A boolean that does nothing here.
    pub(super) fn pass_boolean(&mut self) {
        // As above.
        let _ = self.boolean();
    }

    /// A value that does nothing, here or in the original.
    pub(super) fn pass(&mut self) {
        // What it is does not matter, only that it is there.
        let _ = self.value();
    }

    /// Leaves behind what cannot be understood. A brace that closes is left where it is, if there
    /// is a block that it can close.
    fn recover(&mut self) {
        if self.blocks.len() < 2 {
            let mut closed = false;
            while self.took(Kind::Close) {
                closed = true;
            }
            if closed {
                return;
            }
        }
        let known = self.blocks.last().map_or(&[][..], |block| block.known);
        let mut after_equals = false;
        let mut first = true;
        loop {
            let token = self.peek().clone();
            let begins = token.kind == Kind::Bare && known.contains(&&*token.text);
            let anew = !after_equals && (token.first_on_line || begins) && !first;
            match token.kind {
                Kind::End | Kind::Close => return,
                _ if anew => return,
                Kind::Open => self.skip_block(),
                _ => drop(self.take()),
            }
            after_equals = token.kind == Kind::Equals;
            first = false;
        }
    }

    /// `Expected 'a', 'b' or 'c', but got 'x'`.
    pub(super) fn expected(&mut self, known: &[&str], token: &Token) {
        let quoted: Vec<_> = known.iter().map(|known| format!("'{known}'")).collect();
        let list = match &*quoted {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [first @ .., last] => format!("{} or {last}", first.join(", ")),
        };
        let mut fault = wanted(&list, token);
        let meant = suggest::nearest(&token.text, known.iter().copied());
        if let Some(meant) = meant.filter(|_| token.is_word()) {
            fault = fault.help(match token.text == meant {
                true => format!("write `{meant}` without quotes"),
                false => format!("did you mean `{meant}`?"),
            });
        }
        self.faults.push(fault);
    }

    pub(super) fn unknown(&mut self, token: &Token, block: Block) {
        match block.name {
            "a tcprelay section" => {
                let fault = Diagnostic::new(
                    Code::KeyUnknown,
                    token.span,
                    format!("{} unexpected", token.shown()),
                )
                .label(format!("not known in {}", block.name));
                let meant = suggest::nearest(&token.text, block.known.iter().copied());
                self.faults.push(match meant {
                    Some(meant) if token.is_word() => {
                        fault.help(format!("did you mean `{meant}`?"))
                    }
                    _ => fault.help(format!("there are: {}", block.known.join(", "))),
                });
            }
            _ => self.expected(block.known, token),
        }
        self.recover();
    }

    fn open_at_end(&mut self, end: &Token, open: Span, what: &str) {
        self.faults.push(wanted("'}'", end).related(open, format!("{what} begins here")));
    }
}

fn wanted(what: &str, token: &Token) -> Diagnostic {
    let message = format!("Expected {what}, but got {}", token.shown());
    let code = if token.is_word() { Code::KeyUnknown } else { Code::Syntax };
    Diagnostic::new(code, token.span, message).label("here")
}
