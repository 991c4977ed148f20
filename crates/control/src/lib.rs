//! Runs an engine.

mod log;
