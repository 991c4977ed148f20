//! `replug demo`: two web servers behind a listener, to see forwarding work.
//!
//! The servers answer on ports of 127.0.0.1 that the kernel chose. In front of
//! them runs the very configuration that a quick command line makes, and that
//! command line is shown.

mod backend;

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use control::{Exit, Process};
use dialect::quick::{self, Words};
use model::{Config, Diagnostic, Sources};

use crate::cli::{Demo, PROGRAM};
use crate::{say, tell};

/// The names of the backends, in their order.
const BACKENDS: [&str; 2] = ["A", "B"];

/// Requests that `--once` makes: each backend answers half of them.
const REQUESTS: usize = 4;

/// A browser keeps a connection in hand that it never uses; it shall not delay Ctrl-C.
const IDLE: &str = "5s";

/// Longest wait of `--once` for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Runs the demo until Ctrl-C, or with `--once` until it has shown itself.
pub(crate) fn run(demo: &Demo) -> Exit {
    let backends = match backend::start(BACKENDS) {
        Ok(backends) => backends,
        Err(error) => {
            tell(&format!("{PROGRAM}: the demo's web servers cannot start: {error}\n"));
            return Exit::Failed;
        }
    };
    let words = words(&backends);
    let config = match config(&words) {
        Ok(config) => config,
        Err(faults) => {
            tell(&format!("{PROGRAM}: the demo's command line has faults: {faults:?}\n"));
            return Exit::Failed;
        }
    };
    let (tried, trial) = mpsc::channel();
    let once = demo.once;
    let exit =
        control::run(config, control::Scripts::default(), None, &Process::default(), |addresses| {
            let address = addresses.first().map_or("", |(_, address)| address).to_owned();
            match once {
                false => say(&invitation(&words, &address)),
                true => drop(thread::spawn(move || {
                    // The receiver waits for this below, once this process has been told to end.
                    let _ = tried.send(try_out(&address));
                    end();
                })),
            }
        });
    match trial.recv() {
        Ok(Err(why)) => {
            tell(&format!("{PROGRAM}: the demo failed: {why}\n"));
            Exit::Failed
        }
        // Tried with success; or nothing was to be tried; or control has said why it did not start.
        Ok(Ok(())) | Err(_) => exit,
    }
}

/// The quick command line of the demo.
fn words(backends: &[SocketAddr]) -> Vec<String> {
    let mut words = vec!["--idle".to_owned(), IDLE.to_owned(), "127.0.0.1:0".to_owned()];
    words.extend(backends.iter().map(SocketAddr::to_string));
    words
}

fn config(words: &[String]) -> Result<Config, Vec<Diagnostic>> {
    let args: Vec<_> = words.iter().map(OsString::from).collect();
    let reading = quick::read(
        Words { program: PROGRAM, args: &args, commands: &[] },
        &mut Sources::default(),
    );
    match reading.diagnostics.is_empty() {
        true => Ok(reading.config),
        false => Err(reading.diagnostics),
    }
}

/// What to try.
fn invitation(words: &[String], address: &str) -> String {
    format!(
        "\
Two web servers, A and B, run behind {address}, as with

    {PROGRAM} {words}

Try, in another terminal:

    curl http://{address}/
    for i in 1 2 3 4; do curl http://{address}/; done

or open http://{address}/ in a browser and reload it.
Each session is told here as it ends. Ctrl-C ends the demo.

",
        words = words.join(" "),
    )
}

/// Makes a few requests through the listener; every backend must answer.
fn try_out(address: &str) -> Result<(), String> {
    let mut answers = Vec::new();
    for _ in 0..REQUESTS {
        let answer =
            request(address).map_err(|error| format!("no answer from {address}: {error}"))?;
        say(&answer);
        answers.push(answer);
    }
    for name in BACKENDS {
        if !answers.iter().any(|answer| answer.contains(&backend::greeting(name))) {
            return Err(format!("backend {name} has answered none of {REQUESTS} requests"));
        }
    }
    Ok(())
}

/// The body of one answer, as curl would be given it.
fn request(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    write!(
        stream,
        "GET / HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("not the demo's page: {answer:?}"))),
    }
}

/// Ends this process as Ctrl-C does.
fn end() {
    use rustix::process::{Signal, getpid, kill_process};
    kill_process(getpid(), Signal::INT).expect("a process may signal itself (kill(2))");
}
