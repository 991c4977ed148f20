//! The life of a connection.

pub mod account;
pub mod journal;
