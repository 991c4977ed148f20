//! The words of a tcprelay configuration.
//!
//! As in the original, `include`, aliases and variables are no matter of grammar: the parser never
//! sees them. Words are made one at a time, since what a word means may depend on the one before it
//! (`setenv`, `alias`), and what stands behind the last section is never looked at.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use model::{Code, Diagnostic, SourceId, Sources, Span};

use super::Surroundings;
use crate::line::Word;

/// Files within files.
const INCLUDES_DEEP_MAX: usize = 16;

/// Files and words that aliases and includes may make in all: more is a circle.
const WORDS_MAX: usize = 100_000;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it stands; the only kind that can be a keyword.
    Bare,
    /// In quotes.
    Quoted,
    Equals,
    Comma,
    Open,
    Close,
    /// `!`, brackets, `&&`, `||`: nothing of ours takes them.
    Sign,
    /// Nothing follows.
    End,
}

/// A word or a sign, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// What it says, escapes and variables replaced.
    pub(super) text: String,
    pub(super) span: Span,
    /// Where the text stands byte for byte, if it does.
    verbatim: Option<Span>,
    /// Whether its line begins with it.
    pub(super) first_on_line: bool,
}

impl Token {
    /// Whether it is a value: a word, in quotes or not.
    pub(super) fn is_word(&self) -> bool {
        matches!(self.kind, Kind::Bare | Kind::Quoted)
    }

    /// For the readers of values.
    pub(super) fn word(&self) -> Word<'_> {
        let span = self.verbatim.unwrap_or(self.span);
        Word::of_file(&self.text, span, self.verbatim.is_some())
    }

    /// How messages call it.
    pub(super) fn shown(&self) -> String {
        match self.kind {
            Kind::End => "the end of the file".to_owned(),
            _ => format!("'{}'", self.text),
        }
    }
}

/// The texts that were read, so that a file that is read twice is one source.
pub(super) type Texts = HashMap<String, SourceId>;

/// Makes tokens of a file and of what it includes.
pub(super) struct Lexer<'a> {
    surroundings: Surroundings<'a>,
    pub(super) sources: &'a mut Sources,
    texts: &'a mut Texts,
    inputs: Vec<Input>,
    end: Span,
    /// Tokens that come before the rest of the inputs.
    pending: VecDeque<Token>,
    aliases: HashMap<String, Rc<[Token]>>,
    variables: HashMap<String, String>,
    /// Words that aliases and includes may still make.
    budget: usize,
    pub(super) faults: Vec<Diagnostic>,
}

struct Input {
    source: SourceId,
    text: Rc<str>,
    at: usize,
    /// Whether only white space stands between the beginning of the line and `at`.
    fresh: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(
        file: SourceId,
        sources: &'a mut Sources,
        texts: &'a mut Texts,
        surroundings: Surroundings<'a>,
    ) -> Self {
        let length = sources.get(file).text.len();
        let mut lexer = Self {
            surroundings,
            sources,
            texts,
            inputs: Vec::new(),
            end: Span::new(file, length..length),
            pending: VecDeque::new(),
            aliases: HashMap::new(),
            variables: HashMap::new(),
            budget: WORDS_MAX,
            faults: Vec::new(),
        };
        lexer.push(file);
        lexer
    }

    /// The next token; includes and aliases are behind us.
    pub(super) fn next(&mut self) -> Token {
        loop {
            let token = self.raw();
            if !token.is_word() {
                return token;
            }
            if token.kind == Kind::Bare && token.text == "include" {
                self.include();
                continue;
            }
            let Some(body) = self.aliases.get(&token.text).cloned() else {
                return token;
            };
            if !self.spend(body.len() + 1, &token) {
                return token;
            }
            for part in body.iter().rev() {
                self.pending.push_front(part.clone());
            }
        }
    }

    /// `alias [=] NAME { ... }`, behind its first word.
    pub(super) fn alias(&mut self) {
        let mut name = self.raw();
        if name.kind == Kind::Equals {
            name = self.raw();
        }
        if !name.is_word() {
            self.fault(&name, "Expected a name");
            return;
        }
        let open = self.raw();
        if open.kind != Kind::Open {
            self.fault(&open, "Expected '{'");
            return;
        }
        let mut body = Vec::new();
        let mut depth = 1;
        loop {
            let token = self.raw();
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth -= 1,
                Kind::End => {
                    self.fault(&token, "Expected '}'");
                    break;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
            body.push(token);
        }
        self.aliases.insert(name.text, body.into());
    }

    /// Sets a variable for all that follows.
    pub(super) fn set(&mut self, name: String, value: String) {
        self.variables.insert(name, value);
    }

    /// Those that `setenv` has set so far.
    pub(super) fn into_variables(self) -> (HashMap<String, String>, Vec<Diagnostic>) {
        (self.variables, self.faults)
    }

    fn fault(&mut self, token: &Token, wanted: &str) {
        let message = format!("{wanted}, but got {}", token.shown());
        self.faults.push(Diagnostic::new(Code::Syntax, token.span, message).label("here"));
    }

    fn spend(&mut self, words: usize, token: &Token) -> bool {
        let enough = self.budget > words;
        if enough {
            self.budget -= words;
        } else if self.budget > 0 {
            self.budget = 0;
            self.faults.push(
                Diagnostic::new(Code::Syntax, token.span, "this goes in circles")
                    .label("makes itself again and again")
                    .help("an alias or a file must not hold itself"),
            );
        }
        enough
    }

    /// `include [=] FILE`, behind its first word.
    fn include(&mut self) {
        let mut name = self.raw();
        if name.kind == Kind::Equals {
            name = self.raw();
        }
        if !name.is_word() {
            self.fault(&name, "Expected the name of a file");
            self.pending.push_front(name);
            return;
        }
        let files = (self.surroundings.include)(&name.text);
        if files.is_empty() {
            let message = format!("there is no file {}", name.text);
            self.faults.push(
                Diagnostic::new(Code::IncludeMissing, name.span, message)
                    .label("nothing is included")
                    .help("`$CONFDIR/` at its beginning is the folder of the configuration"),
            );
        }
        for file in files.into_iter().rev() {
            if self.inputs.len() >= INCLUDES_DEEP_MAX {
                self.spend(WORDS_MAX, &name);
                return;
            }
            if !self.spend(1, &name) {
                return;
            }
            match (file.text, self.texts.get(&file.name)) {
                (_, Some(source)) => self.push(*source),
                (Ok(text), None) => {
                    let source = self.sources.add(file.name.clone(), text);
                    self.texts.insert(file.name, source);
                    self.push(source);
                }
                (Err(why), None) => {
                    let message = format!("cannot read {}: {why}", file.name);
                    self.faults.push(
                        Diagnostic::new(Code::IncludeMissing, name.span, message)
                            .label("not included"),
                    );
                }
            }
        }
    }

    fn push(&mut self, source: SourceId) {
        let text = self.sources.get(source).text.as_str().into();
        self.inputs.push(Input { source, text, at: 0, fresh: true });
    }

    fn raw(&mut self) -> Token {
        if let Some(token) = self.pending.pop_front() {
            return token;
        }
        while let Some(input) = self.inputs.last_mut() {
            if input.skip() {
                return self.scan();
            }
            self.inputs.pop();
        }
        Token {
            kind: Kind::End,
            text: String::new(),
            span: self.end,
            verbatim: None,
            first_on_line: true,
        }
    }

    /// The token that the last input stands before.
    fn scan(&mut self) -> Token {
        let variables = (&self.variables, self.surroundings.environment);
        let input = self.inputs.last_mut().expect("there is something left to scan");
        let (text, start) = (Rc::clone(&input.text), input.at);
        let rest = &text[start..];
        let first_on_line = std::mem::replace(&mut input.fresh, false);
        let mut token = |kind, length: usize| {
            input.at = start + length;
            let span = Span::new(input.source, start..start + length);
            let text = rest[..length].to_owned();
            Token { kind, text, span, verbatim: Some(span), first_on_line }
        };
        match rest.as_bytes() {
            [b'=', ..] => token(Kind::Equals, 1),
            [b',', ..] => token(Kind::Comma, 1),
            [b'{', ..] => token(Kind::Open, 1),
            [b'}', ..] => token(Kind::Close, 1),
            [b'&', b'&', ..] | [b'|', b'|', ..] => token(Kind::Sign, 2),
            [b'!' | b'(' | b')' | b'[' | b']' | b'&' | b'|', ..] => token(Kind::Sign, 1),
            [quote @ (b'"' | b'\''), ..] => {
                let content = quoted(rest, *quote, variables);
                let mut token = token(Kind::Quoted, content.length);
                let inside = content.inside.start + start..content.inside.end + start;
                let inside = Span::new(token.span.source, inside);
                token.verbatim = Some(inside).filter(|_| content.plain && !content.text.is_empty());
                token.text = content.text;
                if let Some((range, message)) = content.fault {
                    let span = Span::new(token.span.source, start + range.start..start + range.end);
                    self.faults.push(message.at(span));
                }
                token
            }
            _ => {
                let ends =
                    |c: char| c.is_ascii_whitespace() || c == '\x0b' || "={}()[]|&!,".contains(c);
                token(Kind::Bare, rest.find(ends).unwrap_or(rest.len()))
            }
        }
    }
}

impl Input {
    /// Leaves white space and comments behind; whether anything follows.
    fn skip(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'\n' => self.fresh = true,
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => {}
                b'#' => {
                    let rest = &bytes[self.at..];
                    self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                    continue;
                }
                _ => return true,
            }
            self.at += 1;
        }
        false
    }
}

/// What quotes hold.
struct Content {
    text: String,
    /// Bytes of all of it, quotes too.
    length: usize,
    /// What stands between the quotes.
    inside: Range<usize>,
    /// Whether that is the text byte for byte.
    plain: bool,
    fault: Option<(Range<usize>, QuoteFault)>,
}

enum QuoteFault {
    Open,
    Escape,
}

impl QuoteFault {
    fn at(&self, span: Span) -> Diagnostic {
        match self {
            Self::Open => Diagnostic::new(Code::Syntax, span, "a quote is not closed")
                .label("opened here")
                .help("write the same quote again behind the text"),
            Self::Escape => Diagnostic::new(Code::ReadAs, span, "this is no escape and left out")
                .label("not known")
                .help("write `\\\\` for a backslash"),
        }
    }
}

type Variables<'a> = (&'a HashMap<String, String>, &'a dyn Fn(&str) -> Option<String>);

/// Reads what begins with `quote`.
fn quoted(rest: &str, quote: u8, (own, environment): Variables<'_>) -> Content {
    let bytes = rest.as_bytes();
    let mut text = Vec::new();
    let (mut at, mut plain, mut fault) = (1, true, None);
    while let Some(&byte) = bytes.get(at) {
        if byte == quote {
            let text = String::from_utf8_lossy(&text).into_owned();
            return Content { text, length: at + 1, inside: 1..at, plain, fault };
        }
        let variable = rest[at..].strip_prefix("${").and_then(|behind| {
            let name = &behind[..behind.find('}')?];
            let value = own.get(name).cloned().or_else(|| environment(name))?;
            Some((name.len() + "${}".len(), value))
        });
        if let Some((length, value)) = variable {
            text.extend(value.bytes());
            at += length;
            plain = false;
        } else if byte == b'\\' {
            let (length, byte) = escape(&rest[at..]);
            if byte.is_none() {
                fault = fault.or(Some((at..at + length, QuoteFault::Escape)));
            }
            text.extend(byte);
            at += length;
            plain = false;
        } else {
            let length = rest[at..].chars().next().map_or(1, char::len_utf8);
            text.extend(&bytes[at..at + length]);
            at += length;
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let fault = Some((0..1, QuoteFault::Open));
    Content { text, length: rest.len(), inside: 1..rest.len(), plain: false, fault }
}

/// Reads what begins with a backslash: how long it is, and the byte it stands for.
fn escape(rest: &str) -> (usize, Option<u8>) {
    let Some(letter) = rest[1..].chars().next() else { return (1, None) };
    let byte = match letter {
        'a' => 0x07,
        'b' => 0x08,
        'e' => 0x1b,
        't' => b'\t',
        'n' => b'\n',
        'v' => 0x0b,
        'f' => 0x0c,
        'r' => b'\r',
        '\\' => b'\\',
        '"' => b'"',
        '\'' => b'\'',
        '0'..='7' => {
            let digits = rest[1..].bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b));
            let digits: Vec<_> = digits.collect();
            let value =
                digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
            return (1 + digits.len(), u8::try_from(value).ok());
        }
        _ => return (1 + letter.len_utf8(), None),
    };
    (2, Some(byte))
}
