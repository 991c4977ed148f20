//! `replug reload`: has a running replug read its configuration again.
//!
//! Which one is asked follows from the `[admin]` of the configuration file that both know.

use std::io;
use std::path::PathBuf;

use control::Exit;
use model::{Bind, UnixName};

use crate::{cli, file, say, shown, tell};

/// The options of `replug reload`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Reload {
    /// The configuration whose `[admin]` names the socket of the running replug
    #[arg(short, long, value_name = "FILE|DIR", default_value = cli::CONFIG)]
    config: PathBuf,
    /// The socket itself: unix:/PATH or unix:@NAME
    #[arg(short, long, conflicts_with = "config")]
    socket: Option<String>,
    /// Only print what would change
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Gives the order, and tells what came of it.
pub(crate) fn run(reload: &Reload) -> Exit {
    let name = match socket(reload) {
        Ok(name) => name,
        Err(exit) => return exit,
    };
    let order = if reload.dry_run { "reload dry-run" } else { "reload" };
    match control::ask(&name, order) {
        Ok((Exit::Done, text)) => {
            say(&text);
            Exit::Done
        }
        Ok((exit, text)) => {
            tell(&text);
            exit
        }
        Err(error) => {
            let hint = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    "no replug runs with this socket; one that was started without it \
                     reloads on SIGHUP"
                }
                io::ErrorKind::PermissionDenied => {
                    "only the user that replug runs as, and root, may order it"
                }
                _ => "it may be about to end",
            };
            tell(&format!("replug: cannot order it by {name}: {error}\n  {hint}\n"));
            match error.kind() {
                io::ErrorKind::PermissionDenied => Exit::NotPermitted,
                _ => Exit::NotRunning,
            }
        }
    }
}

/// The socket of the one that is meant.
fn socket(reload: &Reload) -> Result<UnixName, Exit> {
    if let Some(text) = &reload.socket {
        return match Bind::parse(text) {
            Ok(Bind::Unix(name)) => Ok(name),
            _ => {
                tell(&format!(
                    "replug: `{text}` is not a unix socket; write `unix:/run/replug/admin.sock`\n"
                ));
                Err(Exit::Usage)
            }
        };
    }
    let reading = file::read(&reload.config);
    let Some(config) = reading.config else {
        tell(&shown(&reading.diagnostics, &reading.sources));
        return Err(Exit::Configuration);
    };
    config.admin.bind.map(|bind| bind.value).ok_or_else(|| {
        tell(&format!(
            "replug: {} has no [admin], so there is no socket to order it by\n  \
             send SIGHUP to reload; or write `[admin]` with \
             `bind = \"unix:/run/replug/admin.sock\"` and start it again\n",
            reload.config.display()
        ));
        Exit::NotRunning
    })
}
