//! What stands in a configuration whatever the dialect: addresses, ranges, clients, targets,
//! durations, numbers, logs.
//!
//! Each reader takes a [`Word`](crate::line::Word) and says what is wrong with it
//! in the terms of the dialect that it stands in.

pub(crate) mod address;
pub(crate) mod bytes;
pub(crate) mod cidr;
pub(crate) mod clients;
pub(crate) mod log;
pub(crate) mod option;
pub(crate) mod password;
pub(crate) mod pin;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod source;
pub(crate) mod target;
pub(crate) mod url;
pub(crate) mod value;

/// In whose terms help is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The quick command line.
    Quick,
    /// Native TOML.
    Native,
}
