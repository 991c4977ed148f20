//! Bytes as the words of a command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use model::Diagnostic;

/// The words of `data`, which are apart by zero bytes.
pub(crate) fn words(data: &[u8]) -> Vec<OsString> {
    data.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect()
}

/// Every fault of a line has its words, and says of them what is wrong.
pub(crate) fn point(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        assert!(diagnostic.span.is_some() && !diagnostic.label.is_empty(), "{diagnostic:?}");
    }
}
