//! Passwords: as written, or in a file of their own, `file:PATH`. No message repeats one.

use model::{Code, Credentials, Diagnostic, Password};

use crate::line::Word;

/// What stands in front of a path.
const FILE: &str = "file:";

/// Gives the text of a file that is named in a configuration, or why it cannot be read.
pub(crate) type Files<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

/// The path of the file that a password stands in, if it is one that is named.
pub(crate) fn file(word: Word<'_>) -> Option<Word<'_>> {
    word.text.starts_with(FILE).then(|| word.from(FILE.len()))
}

/// The password in the file at `path`: its text without the line end behind it.
pub(crate) fn in_file(
    path: String,
    word: Word<'_>,
    files: Files<'_>,
) -> Result<Password, Diagnostic> {
    let wrong = |message: String| {
        Diagnostic::new(Code::File, word.span, message)
            .label("a file with one password in it")
            .help("write its path in full, or from the folder of this file on")
    };
    let text = files(&path).map_err(|why| wrong(format!("cannot read {path}: {why}")))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match is_sound(text) {
        true => Ok(Password::of_file(path, text)),
        false => Err(wrong(format!("{path} is no file with one password"))),
    }
}

/// A password that is written where it is used.
pub(crate) fn given(text: String, word: Word<'_>) -> Result<Password, Diagnostic> {
    if is_sound(&text) {
        return Ok(Password::new(text));
    }
    Err(Diagnostic::new(Code::Address, word.span, "this cannot be a password")
        .label("not a password")
        .help("a password has 1 to 255 bytes, and no control characters"))
}

/// Whether a text can be a user name or a password.
pub(crate) fn is_sound(text: &str) -> bool {
    (1..=Credentials::BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control)
}
