//! Proxies: those behind, `via = ...`, said word by word ([`behind`]) and as people run them
//! ([`chain`]), which [`servers`] starts.

mod behind;
mod chain;
mod servers;
