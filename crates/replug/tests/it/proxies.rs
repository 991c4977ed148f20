//! Proxies: those behind, `via = ...`, said word by word ([`behind`]) and as people run them
//! ([`chain`]), which [`servers`] starts; and listeners that are proxies themselves, word by word
//! ([`front`]) and with the clients that people use ([`users`]).

mod behind;
mod chain;
mod front;
mod servers;
mod users;
