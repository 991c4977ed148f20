//! Runs an engine.

mod log;
mod names;
