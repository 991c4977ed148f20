//! Scripted TCP peers.
