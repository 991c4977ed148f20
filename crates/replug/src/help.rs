//! The help: examples first, then usage, words, options, exit codes and signals.
//!
//! Everything about the options comes from `dialect::quick::options`; here they
//! are only handed to clap, which sets them in columns (and later makes the
//! completions and the manual page from them).

use clap::{Arg, ArgAction, Command, Subcommand as _};
use dialect::quick::options::{Id, OPTIONS, Opt, Takes};

use crate::{cli, personality};

/// Wider than this, lines are hard to read.
const COLUMNS_MAX: usize = 80;

const EXAMPLES: &str = "\
Examples:
  replug 8080 10.0.0.11:80                    forward port 8080
  replug 8080 10.0.0.11:80 10.0.0.12:80       to each of two in turn
  replug 80 '10.0.0.11 weight=2' 10.0.0.12    two of three to the first
  replug 80 10.0.0.11 '10.0.0.12 backup'      the second only in need
  replug 127.0.0.1:5432 db.example            from this machine only, by name
  replug 192.168.0.14:119/eth1 news.example   leave by another interface
  replug unix:/run/web.sock [2001:db8::1]:80  from a unix socket to IPv6
  replug udp://:53 10.0.0.11 10.0.0.12        UDP instead of TCP
  replug demo                                 see it work, nothing to set up
";

const USAGE: &str = "\
replug [OPTIONS] LISTEN[/SOURCE] TARGET...
       replug [OPTIONS] --inetd TARGET...
       replug run [OPTIONS] [-c FILE|DIR]
       replug check [--dump|--json] [FILE|DIR]
       replug fmt [--check|--stdout] [FILE|DIR|-]
       replug convert --from quick|plug ARGS...
       replug explain [CODE...]
       replug doctor transparent [--json] [-c FILE|DIR]
       replug schema
       replug script test FILE --data BYTES [--split N] [--eof] [--json]
       replug reload [--dry-run]
       replug demo [--once]";

const WORDS: &str = "\
Words:
  LISTEN  8080, :8080, *:8080 (all addresses, IPv4 and IPv6), 127.0.0.1:8080,
          [::1]:8080, udp://:53, udp://[::1]:53, unix:/path, unix:@name,
          systemd:NAME (a socket unit's)
  SOURCE  what connections to the targets leave from: an interface, an address,
          several with commas between, in turn, or client (the client's own)
  TARGET  host:80, host (port of LISTEN), [2001:db8::1]:80, unix:/path; in one
          quoted word with it: weight=N (1 to 256), max=N (sessions), backup
  NAME    round-robin, least-sessions, two-choices (the less loaded of two
          drawn), latency-two-choices (the faster), random, source-hash and
          maglev (by the client's address or /64), first
  WHERE   a file, - (stdout), stderr, syslog, syslog://host (UDP),
          syslog+tcp://host, journald
";

const ENDING: &str = "\
Exit codes:
  0 done  1 failed while running  2 wrong use  3 wrong configuration
  4 cannot listen, or not permitted  5 no running replug

Signals:
  TERM, INT   accept no more, wait up to 10 s for sessions, end; again: at once
  QUIT        the same without the limit
  HUP         read the configuration file again, resolve names again, open the
              log file anew
  USR1        open the log file anew";

/// The command line as clap knows it.
pub(crate) fn command() -> Command {
    let command = Command::new(cli::PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .override_usage(USAGE)
        .help_template(format!(
            "{{about}}\n\n{EXAMPLES}\n{{usage-heading}} {{usage}}\n\n{WORDS}\n{{all-args}}\n\n{ENDING}\n"
        ))
        .max_term_width(COLUMNS_MAX)
        .term_width(COLUMNS_MAX)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .arg(Arg::new("LISTEN").required(true).hide(true))
        .arg(Arg::new("TARGET").required(true).num_args(1..).hide(true))
        .args(OPTIONS.iter().map(|opt| arg(opt).help_heading(opt.group.heading())));
    // `--help` stands in the table, so clap makes none, for the commands neither.
    cli::Command::augment_subcommands(command)
        .mut_subcommands(|command| command.arg(arg(Id::Help.opt())))
        // Named here only: their words are read before these are looked at.
        .subcommands(personality::NAMES.map(|(name, about)| Command::new(name).about(about)))
        .about("replug forwards TCP and UDP to one or several targets.")
}

/// An option as clap knows it.
pub(crate) fn arg(opt: &'static Opt) -> Arg {
    let arg = Arg::new(opt.long).long(opt.long).help(opt.help);
    let arg = match opt.short {
        Some(short) => arg.short(short),
        None => arg,
    };
    match opt.takes {
        Takes::Nothing => arg.action(match opt.id {
            Id::Help => ArgAction::Help,
            Id::Version => ArgAction::Version,
            _ => ArgAction::SetTrue,
        }),
        Takes::Value { name, .. } => arg.value_name(name).action(ArgAction::Append),
        Takes::ValueOrNothing { name } => arg.value_name(name).num_args(0..=1).require_equals(true),
    }
}

/// The names of the commands, clap's own `help` among them.
pub(crate) fn command_names() -> Vec<String> {
    let mut command = command();
    command.build();
    command.get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// What `--help` shows.
pub(crate) fn long() -> String {
    command().render_help().to_string()
}

/// What `--version` shows.
pub(crate) fn version() -> String {
    command().render_version()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_fault_with_the_options() {
        command().debug_assert();
    }

    #[test]
    fn the_help_fits_a_terminal_and_names_every_option() {
        let help = long();
        for line in help.lines() {
            assert!(line.chars().count() <= COLUMNS_MAX, "{line}");
        }
        for opt in OPTIONS {
            assert!(help.contains(&format!("--{}", opt.long)), "{}", opt.long);
        }
    }
}
