//! `mavis module = external { ... }`: the program that decides about clients.
//!
//! The manual says that tcprelay may use such modules; the program never did. What it says is kept.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use model::{Authorize, Children, Code, Diagnostic, Program, Span, Spanned};

use super::lex::Kind;
use super::parse::{Block, Cursor};
use super::spawnd::not_yet;
use super::value;
use crate::line::Word;
use crate::term::{program, value as term};

const MODULE: Block =
    Block { name: "a module", known: &["childs", "exec", "groupid", "home", "setenv", "userid"] };

/// Questions that a program which takes many at once is given at a time.
const AT_ONCE: NonZeroU32 = match NonZeroU32::new(64) {
    Some(count) => count,
    None => NonZeroU32::MIN,
};

/// A module as it is read.
#[derive(Debug)]
pub(super) struct Module {
    span: Span,
    /// One child takes many questions at once.
    takes_many: bool,
    exec: Vec<String>,
    arg0: Option<String>,
    min: Option<NonZeroU32>,
    max: Option<NonZeroU32>,
    user: Option<String>,
    group: Option<String>,
    home: Option<String>,
    env: BTreeMap<String, String>,
}

impl Module {
    /// Reads what stands behind `mavis` at `span`; a module, if it is one.
    pub(super) fn read(cursor: &mut Cursor<'_>, span: Span) -> Option<Self> {
        // Where modules are looked for: we look for none.
        if cursor.keyword(&["module", "path"])? == "path" {
            cursor.pass();
            return None;
        }
        cursor.took(Kind::Equals);
        let name = cursor.peek().clone();
        let takes_many = match &*name.text {
            "external" => false,
            "external-mt" => true,
            _ => {
                let message = format!("the MAVIS module {} is not in this version", name.shown());
                let help = "use `external`, or leave it out only if everybody may come";
                cursor.faults.push(not_yet(Some(name.span), &message, help));
                if name.is_word() {
                    cursor.take();
                }
                cursor.skip_block();
                return None;
            }
        };
        cursor.take();
        let mut module = Self::new(span, takes_many);
        let before = cursor.faults.len();
        cursor.block(MODULE, |cursor, token| module.directive(cursor, &token.text), |_, _| false);
        if module.exec.is_empty() && cursor.faults.len() == before {
            let fault = Diagnostic::new(Code::KeyMissing, span, "this module has no program");
            cursor.faults.push(
                fault.label("who decides?").help("write `exec = /usr/local/bin/check \"check\"`"),
            );
        }
        Some(module)
    }

    fn new(span: Span, takes_many: bool) -> Self {
        Self {
            span,
            takes_many,
            exec: Vec::new(),
            arg0: None,
            min: None,
            max: None,
            user: None,
            group: None,
            home: None,
            env: BTreeMap::new(),
        }
    }

    /// Where it begins.
    pub(super) fn span(&self) -> Span {
        self.span
    }

    /// How the clients of a listener with this `realm` are asked about; `None`: what the program is
    /// could not be read.
    pub(super) fn authorize(
        &self,
        realm: Option<&Spanned<String>>,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Spanned<Authorize>> {
        if self.exec.is_empty() {
            return None;
        }
        let realm = realm.and_then(|realm| {
            let word = Word::of_file(&realm.value, realm.span.unwrap_or(self.span), false);
            program::realm(word).map_err(|fault| faults.push(fault)).ok()
        });
        let (children, at_once) = match self.takes_many {
            true => (Children::ONE, AT_ONCE),
            false => {
                // As many as there may be, if that is fewer than there should be always.
                let min = self.min.map(|min| min.min(self.max.unwrap_or(min)));
                (Children::new(min, self.max).unwrap_or_default(), NonZeroU32::MIN)
            }
        };
        let runs = Program {
            arg0: self.arg0.clone(),
            children,
            at_once,
            user: self.user.clone(),
            group: self.group.clone(),
            home: self.home.clone(),
            env: self.env.clone(),
            ..Program::new(self.exec.clone())
        };
        Some(Spanned::at(Authorize { realm, ..Authorize::new(runs) }, self.span))
    }

    fn directive(&mut self, cursor: &mut Cursor<'_>, name: &str) {
        let mut text = |read: fn(Word<'_>) -> Result<String, Diagnostic>| {
            cursor.read(|token| read(token.word())).map(|text| text.value)
        };
        match name {
            "userid" => self.user = text(term::owner),
            "groupid" => self.group = text(term::owner),
            "home" => self.home = text(term::directory),
            "exec" => self.command(cursor),
            "childs" => self.count(cursor),
            _ => {
                let name = text(program::variable);
                let value = text(program::argument);
                if let (Some(name), Some(value)) = (name, value) {
                    self.variable(cursor, name, value);
                }
            }
        }
    }

    /// `Path Arg0 Args...`: arguments are words in quotes, and others up to the end of their line or
    /// the next directive.
    fn command(&mut self, cursor: &mut Cursor<'_>) {
        let path = cursor.read(|token| program::path(token.word()));
        let mut words = Vec::new();
        loop {
            let token = cursor.peek().clone();
            let is_directive = token.first_on_line || MODULE.known.contains(&&*token.text);
            match token.kind {
                Kind::Quoted => {}
                Kind::Bare if !is_directive => {}
                _ => break,
            }
            cursor.take();
            match program::argument(token.word()) {
                Ok(word) => words.push(word),
                Err(fault) => cursor.faults.push(fault),
            }
            if words.len() == Program::WORDS_MAX {
                let most = Program::WORDS_MAX;
                cursor.faults.push(
                    Diagnostic::new(Code::Program, token.span, "this command has too many words")
                        .label(format!("more than {most}"))
                        .help("keep them in a file that the program reads"),
                );
                break;
            }
        }
        let mut words = words.into_iter();
        let Some(path) = path.map(|path| path.value) else { return };
        self.arg0 = words.next().filter(|name| *name != path);
        self.exec = std::iter::once(path).chain(words).collect();
    }

    /// `min = N`, `max = N`, behind `childs`.
    fn count(&mut self, cursor: &mut Cursor<'_>) {
        const MOST: u32 = Children::COUNT_MAX;
        let which = cursor.keyword(&["max", "maximum", "min", "minimum"]);
        let Some(which) = which else { return };
        let count = cursor.read(|token| match value::integer(token)? {
            count @ ..=MOST => Ok(count.max(1)),
            _ => Err(Diagnostic::new(Code::Number, token.span, "these are too many children")
                .label(format!("more than {MOST}"))
                .help("each is a process; write how many this machine can bear")),
        });
        let count = count.and_then(|count| NonZeroU32::new(count.value));
        match which {
            "max" | "maximum" => self.max = count,
            _ => self.min = count,
        }
    }

    fn variable(&mut self, cursor: &mut Cursor<'_>, name: String, value: String) {
        self.env.insert(name, value);
        if self.env.len() == Program::VARIABLES_MAX + 1 {
            let most = Program::VARIABLES_MAX;
            cursor.faults.push(
                Diagnostic::new(Code::Program, self.span, "these are too many variables")
                    .label(format!("more than {most}"))
                    .help("keep them in a file that the program reads"),
            );
        }
    }
}
