//! What a program is run with, and how questions to it call a listener.

use model::{Authorize, Code, Diagnostic, Program};

use crate::line::Word;

/// A program, by its path from the root.
pub(crate) fn path(word: Word<'_>) -> Result<String, Diagnostic> {
    match argument(word)? {
        path if path.starts_with('/') && !path.ends_with('/') => Ok(path),
        _ => Err(Diagnostic::new(Code::Program, word.span, "the program is named by its path")
            .label("no path from `/`")
            .help("write where it is, as in `/usr/local/bin/check`")),
    }
}

/// A word behind it, or a value of its environment.
pub(crate) fn argument(word: Word<'_>) -> Result<String, Diagnostic> {
    let most = Program::WORD_BYTES_MAX;
    let fault = |label: String| {
        Err(Diagnostic::new(Code::Program, word.span, "no program can be given this")
            .label(label)
            .help("leave it out"))
    };
    match word.text {
        text if text.contains('\0') => fault("holds a zero byte".to_owned()),
        text if text.len() > most => fault(format!("more than {most} bytes")),
        text => Ok(text.to_owned()),
    }
}

/// The name of a variable of its environment.
pub(crate) fn variable(word: Word<'_>) -> Result<String, Diagnostic> {
    let label = match word.text {
        "" => "empty",
        text if text.contains(['=', '\0']) => "not a name",
        text => return Ok(text.to_owned()),
    };
    Err(Diagnostic::new(Code::Name, word.span, "this cannot be a variable")
        .label(label)
        .help("names of variables have no `=`"))
}

/// What questions call a listener.
pub(crate) fn realm(word: Word<'_>) -> Result<String, Diagnostic> {
    let most = Authorize::REALM_BYTES_MAX;
    let label = match word.text {
        "" => "empty",
        text if text.len() > most || text.contains(char::is_control) => "not a name",
        text => return Ok(text.to_owned()),
    };
    Err(Diagnostic::new(Code::Name, word.span, "this cannot be a realm")
        .label(label)
        .help(format!("a realm is a line of at most {most} bytes")))
}
