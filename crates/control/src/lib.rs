//! Runs an engine: everything about the process that is not a session.
//!
//! Read in this order:
//!
//! - `process`: the story of a process from start to exit, in order; [`run`] is
//!   all that the program calls; `exit`: its codes, and faults at the start;
//! - `supervise`: what signals do, and how a process drains;
//! - `reload`: a new configuration in the place of the one that runs; `admin`:
//!   the socket by which that is ordered; `watch`: files that are looked at for changes;
//! - `log`: session records and notices on their way to a file, a stream or
//!   syslog, on a thread of their own;
//! - `names`: host names of backends, resolved again and again;
//! - `authority`: programs that decide which clients may come, and their children; `program`: what
//!   holds for every program that is run;
//! - `ruby`: Ruby files that decide where sessions go, and their workers;
//! - `certificates`: those of listeners that speak TLS, read again when they change;
//! - `certificates`, `acme`: certificates that change, and that are ordered;
//! - `activation`: sockets that the process was started with;
//! - `systemd`, `watchdog`: what the service manager is told;
//! - `daemon`, `pidfile`, `privileges`, `chroot`: one option each;
//! - [`manners`]: in what the process of an old tool's personality differs.
//!
//! One runtime, on the thread that called [`run`], carries signals and names.
//! It never touches a session: it asks the engine, which asks its shards.

mod acme;
mod activation;
mod admin;
mod authority;
mod certificates;
mod chroot;
mod daemon;
mod exit;
mod log;
pub mod manners;
mod missing;
mod names;
mod pidfile;
mod privileges;
mod process;
mod program;
mod reload;
mod ruby;
mod supervise;
mod systemd;
mod watch;
mod watchdog;

pub use admin::ask;
pub use daemon::is_launched;
pub use engine::probe::may_be_transparent;
pub use engine::script::Scripts;
pub use exit::{Exit, complain};
pub use log::{show, tell_syslog};
pub use manners::Manners;
pub use names::Answering;
pub use process::{Process, run};
pub use reload::{Files, Reading};
pub use ruby::{NotRun, Rubies, try_rubies};
