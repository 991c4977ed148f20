//! URLs that stand in requests.

use model::{Code, Diagnostic, Url};

use crate::line::Word;

/// A URL.
pub(crate) fn read(word: Word<'_>) -> Result<Url, Diagnostic> {
    let text = word.text;
    Url::parse(text).ok_or_else(|| {
        let fault = |label: &str| {
            Diagnostic::new(Code::Url, word.span, "this is no URL").label(label.to_owned())
        };
        if text.is_empty() {
            fault("nothing here").help("write a URL, as in `http://www.example.com/`")
        } else if text.len() > Url::BYTES_MAX {
            let help = format!("a URL here has at most {} bytes", Url::BYTES_MAX);
            fault("too long").help(help)
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            fault("not all of it can stand in a URL")
                .help("write blanks and what is not ASCII as `%` and two digits: `%20`")
        } else {
            fault("no scheme, or nothing behind it")
                .help("begin with `http://`, as in `http://www.example.com/`")
        }
    })
}
