//! `replug schema`: the JSON Schema of configuration files.

use control::Exit;

use crate::say;

/// The words behind `replug schema`: none.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(&self) -> Exit {
        say(&dialect::native::schema());
        Exit::Done
    }
}
