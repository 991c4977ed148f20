//! rinetd: `rinetd [-f] [-c FILE]`.
//!
//! Its words and files are read in `dialect::rinetd`; here files, services and hosts are found, and
//! here is what becomes of the process, and what it says and ends with. `docs/coming-from-rinetd.md`
//! tells users what is different.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use control::manners::{self, Ask, Manners, Signals};
use control::{Exit, Process};
use dialect::convert::Converted;
use dialect::rinetd::{self, Included, Options, Order, Reading, Surroundings, Wish};
use model::log::{SyslogLabel, Tag};
use model::{Bind, Code, Config, Diagnostic, LogTarget, Severity, SourceId, Sources};

use super::Call;
use super::tcprelay::files;
use crate::file::{self, FILE_BYTES_MAX};

/// The only code for what goes wrong.
const FAILED: u8 = 1;

/// What it says of signals.
const SIGNALLED: manners::Words = manners::Words {
    hangup: Some("received SIGHUP, reloading configuration..."),
    ..manners::Words::NONE
};

/// Runs it.
pub(super) fn run(call: &Call<'_>) -> ExitCode {
    let program = &*call.program;
    let mut sources = Sources::default();
    let order = rinetd::order(program, call.words, &mut sources);
    let is_first = !control::is_launched();
    if is_first {
        for fault in &order.diagnostics {
            crate::tell(&format!("{program}: {}", line(&fault.message)));
        }
        crate::tell(&crate::shown(&order.diagnostics, &sources));
    }
    match order.wish {
        _ if !order.is_sound() => return FAILED.into(),
        Wish::Help => crate::say(&Order::usage(program)),
        Wish::Version => {
            crate::say(&format!("rinetd 0.73, as replug {} has it\n", env!("CARGO_PKG_VERSION")));
        }
        Wish::Run | Wish::Explain => {
            let reading = read(&order.config, &order.options, &mut sources);
            if is_first {
                complain(&reading, &order, &sources);
            }
            return match (reading, order.wish) {
                (Ok(reading), Wish::Explain) if reading.is_sound => {
                    crate::say(&reading.explain());
                    ExitCode::SUCCESS
                }
                (Ok(reading), _) if reading.is_sound => {
                    forward(reading, order.config, order.options)
                }
                _ => FAILED.into(),
            };
        }
    }
    ExitCode::SUCCESS
}

/// Tells what is wrong, as rinetd does and then at length; syslog too, if a daemon was to start.
fn complain(reading: &Result<Reading, String>, order: &Order, sources: &Sources) {
    let (lines, shown) = match reading {
        Ok(reading) => {
            let errors = reading.diagnostics.iter();
            let errors = errors.filter(|fault| fault.severity() == Severity::Error);
            let lines = errors.map(|fault| fault.message.clone()).collect();
            (lines, crate::shown(&reading.diagnostics, sources))
        }
        Err(why) => (vec![why.clone()], String::new()),
    };
    let in_background = order.wish == Wish::Run && !order.options.foreground;
    if in_background && !lines.is_empty() {
        control::tell_syslog(label(), &lines.iter().map(|text| line(text)).collect::<String>());
    }
    let lines: String = lines.iter().map(|text| format!("rinetd error: {}", line(text))).collect();
    crate::tell(&(lines + &shown));
}

fn label() -> SyslogLabel {
    let tag = Tag::new(rinetd::NAME).expect("the name is a legal tag");
    SyslogLabel { tag, ..SyslogLabel::default() }
}

/// Reads a configuration file, whose text is added to `sources`.
fn read(path: &str, options: &Options, sources: &mut Sources) -> Result<Reading, String> {
    within(path, sources, |file, sources, surroundings| {
        rinetd::read(file, options, sources, surroundings)
    })
}

/// The words behind `replug convert --from rinetd`, a file or those of rinetd, as native TOML.
pub(crate) fn convert(words: &[OsString], sources: &mut Sources) -> Converted {
    let order = rinetd::order(rinetd::NAME, words, sources);
    if !order.is_sound() {
        return Converted { text: None, diagnostics: order.diagnostics };
    }
    let path = order.word.as_deref().unwrap_or(&order.config);
    let converted = within(path, sources, |file, sources, surroundings| {
        dialect::convert::rinetd(file, &order.options, sources, surroundings)
    });
    converted.unwrap_or_else(|why| {
        let help = "name the configuration: `replug convert --from rinetd FILE`";
        let diagnostics = vec![Diagnostic::new(Code::File, None, why).help(help)];
        Converted { text: None, diagnostics }
    })
}

/// Has `read` read the file at `path` in the surroundings that this process has.
fn within<T>(
    path: &str,
    sources: &mut Sources,
    read: impl FnOnce(SourceId, &mut Sources, Surroundings<'_>) -> T,
) -> Result<T, String> {
    let text = text(Path::new(path));
    let text = text.map_err(|why| format!("could not open configuration file {path}. ({why})"))?;
    let file = sources.add(path, text);
    let surroundings = Surroundings {
        include: &included,
        service: &|name, transport| files::port_over(transport.name(), name),
        address: &address,
    };
    Ok(read(file, sources, surroundings))
}

/// The text of a file. Comments of old files are in any encoding; what is not UTF-8 is no rule.
fn text(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > FILE_BYTES_MAX {
        return Err("it is larger than 16 MiB".to_owned());
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The files that `pattern` names in the file `from`, relative ones from its folder on.
fn included(from: &str, pattern: &str) -> Vec<Included> {
    let pattern = match pattern.starts_with('/') {
        true => pattern.to_owned(),
        false => format!("$CONFDIR/{pattern}"),
    };
    let included = |path: PathBuf| {
        let text = text(&path);
        Included { name: path.display().to_string(), text }
    };
    files::paths(from, &pattern).into_iter().map(included).collect()
}

/// The first address of a host.
fn address(host: &str) -> Result<IpAddr, String> {
    let mut all = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    all.next().map(|address| address.ip()).ok_or_else(|| "it has no address".to_owned())
}

fn forward(reading: Reading, path: String, options: Options) -> ExitCode {
    let Reading { mut config, process, .. } = reading;
    leave_out_closed_logs(&mut config);
    let run = Process {
        daemon: process.daemon,
        pidfile: process.pidfile.map(Into::into),
        manners: Manners {
            signals: Signals {
                // Its connections ended with it.
                terminate: Ask::EndNow,
                interrupt: Ask::EndNow,
                ..Signals::default()
            },
            started: &["starting redirections..."],
            signalled: &SIGNALLED,
            not_bound: Some(not_bound),
            no_pidfile: Some(no_pidfile),
            ..Manners::default()
        },
        ..Process::default()
    };
    let read = move || again(&path, &options);
    let files = control::Files { read: Arc::new(read), watched: Vec::new() };
    match control::run(config, control::Scripts::default(), Some(files), &run, |_| {}) {
        Exit::Done => ExitCode::SUCCESS,
        _ => FAILED.into(),
    }
}

/// A log that cannot be opened is told and done without.
fn leave_out_closed_logs(config: &mut Config) {
    config.logs.retain(|log| {
        let LogTarget::File(path) = &log.to.value else { return true };
        let opened = File::options().append(true).create(true).open(path);
        if let (Err(error), false) = (&opened, control::is_launched()) {
            let why = words(error);
            let told = format!("could not open {path} to append ({why}); nothing is logged there");
            crate::tell(&format!("rinetd error: {}", line(&told)));
        }
        opened.is_ok()
    });
}

/// Reads the configuration for a reload.
fn again(path: &str, options: &Options) -> control::Reading {
    let mut sources = Sources::default();
    let reading = match read(path, options, &mut sources) {
        Ok(Reading { config, diagnostics, is_sound, .. }) => file::Reading {
            config: Some(config).filter(|_| is_sound),
            diagnostics,
            ..file::Reading::default()
        },
        Err(why) => file::Reading {
            diagnostics: vec![Diagnostic::new(Code::File, None, why)],
            ..file::Reading::default()
        },
    };
    file::Reading { sources, ..reading }.in_lines(file::Watched::Lists)
}

/// `rinetd error: couldn't bind to address 127.0.0.1 port 80 (Address already in use)`.
fn not_bound(bind: &Bind, error: &io::Error) -> String {
    let place = match bind {
        Bind::Tcp { address, port } | Bind::Udp { address, port } => {
            let any = IpAddr::from(std::net::Ipv6Addr::UNSPECIFIED);
            format!("{} port {port}", address.unwrap_or(any))
        }
        Bind::Unix(_) | Bind::Systemd(_) | Bind::Inetd => bind.to_string(),
    };
    format!("rinetd error: couldn't bind to address {place} ({})", words(error))
}

fn no_pidfile(path: &Path, error: &io::Error) -> String {
    format!("rinetd error: couldn't write {} ({})", path.display(), words(error))
}

/// A line that shows as what it is.
fn line(text: &str) -> String {
    let mut line = String::new();
    control::show(&mut line, text);
    line + "\n"
}

/// What strerror(3) says.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
