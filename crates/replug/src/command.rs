//! Commands that read something, print what is made of it, and end.
//!
//! Each is a file: its words as clap reads them, and `run`, which gives the exit code.

mod cert;
mod check;
mod convert;
mod doctor;
mod explain;
mod fmt;
mod schema;
mod script;

use clap::Subcommand;
use control::Exit;

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// Show every fault of a configuration file
    Check(check::Check),
    /// Say what a code like E0112 means, with an example
    Explain(explain::Explain),
    /// Put configuration files in order: keys, tables, spaces
    Fmt(fmt::Fmt),
    /// Print a command line of another dialect as a configuration file
    Convert(convert::Convert),
    /// Look at what the kernel is told, and print what is missing
    Doctor(doctor::Doctor),
    /// Make a certificate to try TLS with, or show what one says
    Cert(cert::Cert),
    /// Print the JSON Schema of configuration files, for editors
    Schema(schema::Schema),
    /// Try a script on bytes that a client might send
    Script(script::Script),
}

impl Tool {
    /// Does it.
    pub(crate) fn run(&self) -> Exit {
        match self {
            Self::Cert(cert) => cert.run(),
            Self::Check(check) => check.run(),
            Self::Explain(explain) => explain.run(),
            Self::Convert(convert) => convert.run(),
            Self::Doctor(doctor) => doctor.run(),
            Self::Fmt(fmt) => fmt.run(),
            Self::Schema(schema) => schema.run(),
            Self::Script(script) => script.run(),
        }
    }
}
