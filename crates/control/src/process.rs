//! The life of the process: start up in order, run an engine, end.
//!
//! The order is what matters. The log comes first, so that a fault of it is
//! seen before anything is bound; sockets and pid file come before the root of
//! the file system changes, that before privileges are dropped, threads after that. Whatever fails before readiness is told on
//! standard error, and in that order undone.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use engine::journal::{Level, Notice};
use engine::plan::Material;
use engine::probe::probe;
use engine::script::Scripts;
use engine::{BindFailure, Bound, Engine, Inherited};
use model::{Config, LogTarget, Severity, Spanned, UnixName, Verbosity};
use tls::{Loaded, Surroundings};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::activation;
use crate::admin::{Desk, Door, ORDERS_MAX};
use crate::authority::Authorities;
use crate::certificates::{self, Certificates};
use crate::chroot::Jail;
use crate::daemon::{Launch, Launcher, launch};
use crate::exit::{Exit, Fault, exit_of, refuse, tell};
use crate::log::{self, Logs, Streams};
use crate::manners::{Lenient, Manners, PidfileHolds, PidfileNeed};
use crate::missing::Missing;
use crate::names::{Names, Sources};
use crate::pidfile::{self, PidFile};
use crate::privileges::{Identity, Leaves};
use crate::reload::{Files, Running};
use crate::ruby::Rubies;
use crate::supervise::{End, Signals, Supervisor};
use crate::systemd::{Contact, Manager};
use crate::watch::Watch;
use crate::watchdog;

/// How the process runs, besides what it does.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Go to the background once clients are accepted.
    pub daemon: bool,
    /// The file to write the process id into.
    pub pidfile: Option<PathBuf>,
    /// Whom to go on as after start-up: `NAME[:GROUP]`.
    pub user: Option<String>,
    /// The directory that becomes the root of the file system after start-up.
    pub chroot: Option<PathBuf>,
    /// How it behaves towards whoever runs it.
    pub manners: Manners,
}

impl Process {
    /// What `path` is to this process once it has started: another name, if [`Process::chroot`]
    /// is set and it leads there.
    pub fn path_inside(&self, path: &Path) -> PathBuf {
        let jail = self.chroot.as_deref().and_then(|dir| Jail::find(dir).ok());
        jail.and_then(|jail| jail.inside(path)).unwrap_or_else(|| path.to_owned())
    }
}

/// Runs `config`, with the scripts of its listeners, which was read from `files` if it can be read again, until a signal ends it.
/// Calls `ready` once, when clients are accepted, with the name and the address of each listener.
///
/// With [`Process::daemon`] this starts the program a second time, with the same words, and
/// returns when that one is ready; in that one it runs as described.
pub fn run(
    config: Config,
    scripts: Scripts,
    files: Option<Files>,
    process: &Process,
    ready: impl FnOnce(&[(Arc<str>, String)]),
) -> Exit {
    if let Err(fault) = may_daemonize(&config, process) {
        return refuse(fault);
    }
    let launcher = match process.daemon {
        false => None,
        true => match Launcher::of_this_process() {
            Ok(Some(launcher)) => Some(launcher),
            Ok(None) => return launched(),
            Err(error) => return refuse(Fault::failed("cannot leave the terminal", &error)),
        },
    };
    match start(&config, process) {
        Ok(started) => started.serve((config, scripts), files, launcher, ready),
        Err(fault) => refuse(fault),
    }
}

/// What a process was started with stays with it: a daemon is another process.
fn may_daemonize(config: &Config, process: &Process) -> Result<(), Fault> {
    let usage = |line: &str| Fault::of(line.to_owned(), Exit::Usage);
    match process.daemon {
        true if activation::waits_for_inetd(config) => {
            Err(usage("--daemon: inetd waits for the process that it has started; leave it out"))
        }
        true if !activation::names()?.is_empty() => Err(usage(
            "--daemon: the sockets of the service manager (LISTEN_FDS) cannot be passed on to a \
             daemon; leave it out",
        )),
        _ => Ok(()),
    }
}

/// The launcher's part: its exit is the daemon's, until that is ready.
fn launched() -> Exit {
    match launch() {
        Ok(Launch::Ready) => Exit::Done,
        Ok(Launch::Ended(code)) => {
            if code.is_none() {
                tell("the daemon was killed while it started");
            }
            Exit::of_code(code)
        }
        Err(error) => refuse(Fault::failed("cannot start the daemon", &error)),
    }
}

/// A process that is ready to start threads. Dropping it undoes what remains in the file system.
struct Started {
    runtime: Runtime,
    signals: Signals,
    loaded: Loaded,
    bound: Bound,
    missing: Missing,
    door: Option<Door>,
    log: log::Running,
    sources: Sources,
    contact: Contact,
    pidfile: Option<(PidFile, PidfileHolds)>,
    manners: Manners,
}

fn start(config: &Config, process: &Process) -> Result<Started, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::failed("cannot start", &error))?;
    let signals = {
        let _inside = runtime.enter();
        Signals::take(process.manners.signals, process.manners.signalled)
            .map_err(|error| Fault::failed("cannot take signals", &error))?
    };
    let identity = process.user.as_deref().map(identity).transpose()?;
    let contact = Contact::from_env().unwrap_or_else(|error| {
        tell(&format!("the service manager cannot be told how replug is (NOTIFY_SOCKET): {error}"));
        Contact::default()
    });
    let jail = process.chroot.as_deref().map(Jail::find).transpose()?;
    let loaded = load(config)?;
    let mut log = open_logs(config, process)?;
    let inherited = activation::inherited(config)?;
    let (mut bound, missing) = open_bound(config, inherited, process.manners)?;
    let mut door = config.admin.bind.as_ref().map(open_door).transpose()?;
    let pidfile = process.pidfile.as_deref();
    let pidfile = pidfile.map(|path| take_pidfile(path, process.manners)).transpose()?;
    let mut pidfile = pidfile.flatten();
    let mut sources = Sources::system();
    let opened = (&log, &loaded, door.as_ref().zip(config.admin.bind.as_ref()));
    hand_over(identity.as_ref(), opened)?;
    if activation::waits_for_inetd(config) {
        activation::let_go().map_err(|error| Fault::failed("cannot leave the client", &error))?;
    }
    if let Some(jail) = jail {
        sources = sources.keep();
        let inside = |path: &Path| jail.inside(path);
        log.rename(inside);
        bound.rename_paths(inside);
        loaded.sites().rename(inside).map_err(|store| no_store(&store))?;
        if let Some(door) = &mut door {
            door.rename(inside);
        }
        if let Some(pidfile) = &mut pidfile {
            pidfile.rename(inside);
        }
        jail.enter()?;
        if identity.is_none() && rustix::process::geteuid().is_root() {
            tell("--chroot holds nobody who stays root; name a user with --user");
        }
    }
    if let Some(identity) = identity {
        identity.assume(Leaves::needed_by(config)).map_err(Fault::privileges)?;
    }
    let probed = probe(config);
    if !probed.failures.is_empty() {
        return Err(Fault { whole: Vec::new(), lines: probed.failures, exit: Exit::NotPermitted });
    }
    let log = begin(log, probed.remarks, process.manners)?;
    let missing = Missing::new(process.manners.lenient, missing, log.journal());
    let pidfile = pidfile.map(|file| (file, process.manners.pidfile));
    let manners = process.manners;
    Ok(Started {
        runtime,
        signals,
        loaded,
        bound,
        missing,
        door,
        log,
        sources,
        contact,
        pidfile,
        manners,
    })
}

/// Reads the files of certificates and keys, with the rights that there are at the start.
fn load(config: &Config) -> Result<Loaded, Fault> {
    let around = Surroundings::of_this_process();
    match Loaded::read(config, around, &Loaded::default()) {
        Ok((loaded, _)) => Ok(loaded),
        Err(faults) => {
            let errors = faults.iter().filter(|fault| fault.severity() == Severity::Error);
            let lines = errors.map(certificates::told).collect();
            Err(Fault { whole: Vec::new(), lines, exit: Exit::Configuration })
        }
    }
}

/// What is written and listened on from now on.
type Opened<'a> = (&'a Logs, &'a Loaded, Option<(&'a Door, &'a Spanned<UnixName>)>);

/// Gives it to whom the process goes on as. Folders for certificates that are ordered are made.
fn hand_over(identity: Option<&Identity>, (log, loaded, door): Opened<'_>) -> Result<(), Fault> {
    let made = loaded.sites().hand_over(identity.map(Identity::ids));
    made.map_err(|(store, error)| {
        let what = format!("nothing can be kept in {}", store.display());
        Fault::io(&what, &error, "name another folder: `store`")
    })?;
    let Some(identity) = identity else { return Ok(()) };
    let (user, group) = identity.ids();
    log.give_to(user, group).map_err(|error| {
        let what = format!("cannot give the log file to user {user}, group {group}");
        Fault::io(&what, &error, "name another with --log-to")
    })?;
    if let Some((door, bind)) = door {
        door.give_to(user, group).map_err(|error| {
            let what = format!("cannot give {} to user {user}", bind.value);
            Fault::io(&what, &error, "name another with [admin] bind")
        })?;
    }
    Ok(())
}

/// Behind `--chroot` there is no such folder.
fn no_store(store: &Path) -> Fault {
    let line = format!(
        "--chroot leaves nothing of {}, where certificates are kept; name a folder in it: `store`",
        store.display()
    );
    Fault::of(line, Exit::Configuration)
}

/// Starts the log with what is to be said first.
fn begin(log: Logs, remarks: Vec<String>, manners: Manners) -> Result<log::Running, Fault> {
    let log = log.start().map_err(|error| Fault::failed("cannot start a thread", &error))?;
    let remark = |level, text| log.journal().notice(Notice::Remark { level, text });
    manners.started.iter().for_each(|line| remark(Level::Info, (*line).to_owned()));
    remarks.into_iter().for_each(|text| remark(Level::Warning, text));
    Ok(log)
}

impl Started {
    fn serve(
        self,
        (config, scripts): (Config, Scripts),
        files: Option<Files>,
        launcher: Option<Launcher>,
        ready: impl FnOnce(&[(Arc<str>, String)]),
    ) -> Exit {
        let Self { runtime, mut signals, loaded, bound, missing, log, contact, manners, .. } = self;
        let (door, sources, pidfile) = (self.door, self.sources, self.pidfile);
        let addresses = bound.addresses();
        let is_client = bound.is_client();
        tell_unused(&bound, &log);
        let mut rubies = Rubies::new(log.journal().clone());
        if let Err(fault) = runtime.block_on(start_rubies(&mut rubies, &scripts, &mut signals)) {
            finish(log);
            return fault.map_or(Exit::Done, refuse);
        }
        let material = Material { scripts: &scripts, tls: &loaded };
        let engine = match Engine::start(bound, &config, material, log.journal().clone()) {
            Ok(engine) => engine,
            Err(error) => {
                finish(log);
                return refuse(Fault::failed("cannot start the shards", &error));
            }
        };
        let end = runtime.block_on(async {
            let names = Names::of(&engine, sources, log.journal());
            let authorities = Authorities::follow(engine.authorities(), log.journal());
            let certificates = Certificates::follow(&loaded, names.lookup(), log.journal());
            let (tell, orders) = mpsc::channel(ORDERS_MAX);
            let desk = door.map(|door| Desk::open(door, &tell)).transpose();
            let desk = desk.map_err(|error| Fault::failed("cannot take orders", &error))?;
            let watch = Watch::new(files.as_ref().map_or(&[], |files| &files.watched));
            rubies.entitle(&scripts, addresses.clone(), engine.gauge());
            ready(&addresses);
            let manager = Arc::new(Manager::new(contact, log.journal().clone()));
            manager.ready(format_args!("accepts clients on {} addresses", addresses.len()));
            if let Some(period) = manager.ping_period() {
                tokio::spawn(keep_watchdog(period, &engine, Arc::clone(&manager)));
            }
            // Else it stays until the process ends.
            let _stays = pidfile.and_then(|pidfile| keep_pidfile(pidfile, &engine));
            if let Some(launcher) = launcher
                && let Err(error) = launcher.ready()
            {
                // Whoever started it has gone, or has been told to stop.
                return Err(Fault::failed("cannot tell the launcher", &error));
            }
            let log = &log;
            let running = Running {
                engine,
                missing,
                names,
                authorities,
                loaded,
                certificates,
                rubies,
                log,
                manager,
                config,
                scripts,
                files,
                desk,
                orders: tell,
            };
            let supervisor = Supervisor { running, signals, orders, watch };
            Ok(match is_client {
                true => supervisor.run_out().await,
                false => supervisor.run().await,
            })
        });
        let exit = match end {
            Ok((End::Clean, engine)) => join(engine, &log, manners, is_client),
            Ok((End::Stuck, _)) => Exit::Failed,
            Err(fault) => refuse(fault),
        };
        leave(runtime, log);
        exit
    }
}

/// Waits until all files of Ruby are loaded.
///
/// # Errors
/// One that cannot be; `None`: it was told to end before.
async fn start_rubies(
    rubies: &mut Rubies,
    scripts: &Scripts,
    signals: &mut Signals,
) -> Result<(), Option<Fault>> {
    let all = script::ruby::all(scripts);
    let added = tokio::select! {
        biased;
        added = rubies.add(&all) => {
            added.map_err(|why| Some(Fault::of(why.to_string(), Exit::Configuration)))
        }
        () = signals.until_end() => Err(None),
    };
    if added.is_err() {
        rubies.end().await;
    }
    added
}

/// Tells of sockets that the process was started with and has no use for.
fn tell_unused(bound: &Bound, log: &log::Running) {
    for socket in bound.unused() {
        let text = format!("the socket {socket} was handed over, and no listener uses it");
        log.journal().notice(Notice::Remark { level: Level::Warning, text });
    }
}

/// Has the file go when it is to go before the process; gives it back if it is not.
fn keep_pidfile((file, holds): (PidFile, PidfileHolds), engine: &Engine) -> Option<PidFile> {
    match holds {
        PidfileHolds::Listening => drop(tokio::spawn(file.until_closed(engine.gauge()))),
        PidfileHolds::Sessions => drop(tokio::spawn(file.follow(engine.gauge()))),
        PidfileHolds::Process => return Some(file),
    }
    None
}

/// Tells the manager, period after period, that all shards respond.
fn keep_watchdog(
    period: Duration,
    engine: &Engine,
    manager: Arc<Manager>,
) -> impl Future<Output = ()> + use<> {
    let pulse = Arc::clone(engine.pulse());
    async move {
        watchdog::keep(period, || pulse.felt(), || manager.ping(), || manager.hangs()).await;
    }
}

/// Waits for the shards. One that has died makes the end a failure. The end is told, but not
/// after the one client of inetd, `is_client`: that is the end if it got no backend.
fn join(engine: Engine, log: &log::Running, manners: Manners, is_client: bool) -> Exit {
    let is_served = engine.unserved() == 0;
    match (engine.join(), is_client) {
        (Ok(()), true) if is_served => Exit::Done,
        (Ok(()), true) => manners.unserved,
        (Ok(()), false) => {
            let words = manners.ended.unwrap_or("every session has ended, and so does replug");
            let (level, text) = (Level::Info, words.to_owned());
            log.journal().notice(Notice::Remark { level, text });
            Exit::Done
        }
        (Err(error), _) => {
            let text = error.to_string();
            let level = Level::Error;
            log.journal().notice(Notice::Remark { level, text });
            Exit::Failed
        }
    }
}

/// Waits for no thread that waits for somebody else, say for an authority.
fn leave(runtime: Runtime, log: log::Running) {
    runtime.shutdown_background();
    finish(log);
}

/// Has everything written that is still to be written.
fn finish(log: log::Running) {
    match log.finish() {
        Some(0) => {}
        Some(entries) => tell(&format!("{entries} log entries could not be written")),
        None => tell("a log takes nothing; its last entries could not be written"),
    }
}

fn identity(text: &str) -> Result<Identity, Fault> {
    let identity = Identity::find(text).map_err(Fault::privileges)?;
    identity.check().map_err(Fault::privileges)?;
    Ok(identity)
}

fn open_logs(config: &Config, process: &Process) -> Result<Logs, Fault> {
    let serves_inetd = activation::waits_for_inetd(config);
    let is_ours =
        |fd: BorrowedFd<'_>| !(process.daemon || serves_inetd && activation::is_client(fd));
    let streams = Streams {
        stdout: is_ours(rustix::stdio::stdout()),
        stderr: is_ours(rustix::stdio::stderr()),
    };
    let spoken = config.logs.iter().filter(|log| log.verbosity != Verbosity::Quiet);
    let targets: Vec<_> = spoken.map(|log| &log.to.value).collect();
    if process.daemon
        && targets.iter().any(|to| matches!(to, LogTarget::Stderr | LogTarget::Stdout))
    {
        tell("a daemon has no terminal, so it logs to syslog; --log-to FILE names a file");
    }
    let listeners = config.listeners.len();
    Logs::open(&config.logs, listeners, streams).map_err(|log::OpenFailure { target, error }| {
        Fault::io(
            &format!("cannot open the log {target}"),
            &error,
            "name a file that can be written with --log-to",
        )
    })
}

/// What could be opened and what could not, if that is enough.
fn open_bound(
    config: &Config,
    inherited: Inherited,
    manners: Manners,
) -> Result<(Bound, Vec<BindFailure>), Fault> {
    let (bound, missing) = Bound::open(config, inherited);
    match Lenient::suffices(manners.lenient, &missing, bound.is_empty()) {
        true => Ok((bound, missing)),
        false => Err(not_bound(&missing, manners)),
    }
}

fn open_door(bind: &Spanned<UnixName>) -> Result<Door, Fault> {
    Door::open(&bind.value).map_err(|error| {
        let what = format!("cannot listen on {} for orders", bind.value);
        let hint = "another replug may run; name another socket with [admin] bind";
        Fault { exit: Exit::NotPermitted, ..Fault::io(&what, &error, hint) }
    })
}

fn not_bound(failures: &[BindFailure], manners: Manners) -> Fault {
    let whole = manners
        .not_bound
        .map(|told| failures.iter().map(|failure| told(&failure.bind, &failure.error)).collect());
    Fault {
        whole: whole.unwrap_or_default(),
        lines: failures.iter().map(ToString::to_string).collect(),
        exit: Exit::NotPermitted,
    }
}

fn take_pidfile(path: &Path, manners: Manners) -> Result<Option<PidFile>, Fault> {
    let fault = match PidFile::take(path) {
        Ok(file) => return Ok(Some(file)),
        Err(fault) => fault,
    };
    let line = format!("cannot write the pid file {}: {fault}", path.display());
    if manners.pidfile_need == PidfileNeed::May {
        tell(&line);
        return Ok(None);
    }
    let whole = match (&fault, manners.no_pidfile) {
        (pidfile::Fault::Io(error), Some(told)) => vec![told(path, error)],
        _ => Vec::new(),
    };
    let exit = match &fault {
        pidfile::Fault::Io(error) => exit_of(error),
        pidfile::Fault::Held { .. } | pidfile::Fault::NotAPidFile => Exit::Failed,
    };
    Err(Fault { whole, lines: vec![line], exit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_start_says_why() {
        let log = model::Log::to(LogTarget::File("/no/such/directory/log".to_owned()));
        let config = Config { logs: vec![log], ..Config::default() };
        let fault = start(&config, &Process::default()).err().expect("there is no such directory");
        assert_eq!(
            fault.lines,
            [
                "cannot open the log /no/such/directory/log: No such file or directory (os error 2); \
              name a file that can be written with --log-to"
            ]
        );
        assert_eq!(fault.exit, Exit::Failed);

        let process =
            Process { user: Some("no-such-user-anywhere".to_owned()), ..Process::default() };
        let fault = start(&Config::default(), &process).err().expect("there is no such user");
        assert_eq!(fault.exit, Exit::Configuration);

        let process = Process { pidfile: Some("/dev/null".into()), ..Process::default() };
        let fault = start(&Config::default(), &process).err().expect("that is a device");
        assert_eq!(
            fault.lines,
            ["cannot write the pid file /dev/null: not a regular file; \
              name a file that can be written"]
        );
    }
}
