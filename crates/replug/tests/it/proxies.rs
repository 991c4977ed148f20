//! Proxies: those behind, `via = ...`, said word by word ([`behind`]), as people run them
//! ([`chain`]), and spoken to in TLS ([`in_tls`]), which [`servers`] starts; and listeners that are proxies themselves, word by word
//! ([`front`]) and with the clients that people use ([`users`]).

mod behind;
mod chain;
mod front;
mod in_tls;
mod servers;
mod users;
