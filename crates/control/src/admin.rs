//! Orders to a running replug, by a unix socket.
//!
//! Who connects writes one line and reads the answer to its end. The first line of the answer
//! is the exit code for whoever asked; what follows is for standard output if that is 0, and for
//! standard error otherwise.
//!
//! ```text
//! > reload                    > reload dry-run
//! < 0                         < 3
//! < ~ pool.db.balance: ...    < error[E0103]: ...
//! ```
//!
//! Whoever may open the socket's file may give orders: it is its owner's alone.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net as blocking;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::UnixName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::exit::Exit;
use crate::reload::Extent;

/// Longest wait for somebody who has connected to say what he wants.
const ASK_MAX: Duration = Duration::from_secs(5);

/// Longest wait for an answer to be taken.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long to rest when descriptors have run out.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Longest order, in bytes.
const ORDER_BYTES_MAX: usize = 256;

/// Orders that are read or carried out at a time; further ones wait in the kernel's queue.
pub(crate) const ORDERS_MAX: usize = 16;

/// Longest wait of [`ask`] for the answer.
const CARRIED_OUT_MAX: Duration = Duration::from_secs(60);

/// An order, and the way back to whoever gave it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) order: Order,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// What can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Reload(Extent),
}

impl Order {
    const WORDS: [(&str, Self); 2] =
        [("reload", Self::Reload(Extent::All)), ("reload dry-run", Self::Reload(Extent::DryRun))];

    fn of_line(line: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(word, _)| *word == line.trim()).map(|(_, order)| order)
    }
}

/// What is said about an order.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

/// A socket for orders to come in by; its file is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Door {
    socket: blocking::UnixListener,
    path: Option<PathBuf>,
}

impl Door {
    /// Opens the socket. A file that a dead process left behind is replaced.
    ///
    /// # Errors
    /// When somebody listens there, or the system refuses.
    pub(crate) fn open(name: &UnixName) -> io::Result<Self> {
        let address = address(name)?;
        let socket = match blocking::UnixListener::bind_addr(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_dead(&address)?;
                blocking::UnixListener::bind_addr(&address)?
            }
            result => result?,
        };
        let path = address.as_pathname().map(PathBuf::from);
        let door = Self { socket, path };
        if let Some(path) = &door.path {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        }
        door.socket.set_nonblocking(true)?;
        Ok(door)
    }

    /// Gives the socket to the user that replug goes on as.
    ///
    /// # Errors
    /// What chown(2) says.
    pub(crate) fn give_to(&self, user: u32, group: u32) -> io::Result<()> {
        match &self.path {
            Some(path) => std::os::unix::fs::chown(path, Some(user), Some(group)),
            None => Ok(()),
        }
    }
}

impl Door {
    /// Calls the file as it will be called behind `--chroot`. One that cannot be reached there
    /// stays behind, and the next start replaces it.
    pub(crate) fn rename(&mut self, inside: impl Fn(&Path) -> Option<PathBuf>) {
        self.path = self.path.as_deref().and_then(inside);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Somebody may have removed it; nothing can be done about any other failure.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A door with somebody behind it: orders are taken as long as this lives.
#[derive(Debug)]
pub(crate) struct Desk {
    clerk: JoinHandle<()>,
    _door: Door,
}

impl Desk {
    /// Takes orders at `door`, on the runtime this is called in, and puts them into `orders`.
    ///
    /// # Errors
    /// When the socket cannot be registered.
    pub(crate) fn open(door: Door, orders: &mpsc::Sender<Asked>) -> io::Result<Self> {
        let socket = UnixListener::from_std(door.socket.try_clone()?)?;
        let clerk = tokio::spawn(take_orders(socket, orders.clone()));
        Ok(Self { clerk, _door: door })
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.clerk.abort();
    }
}

async fn take_orders(socket: UnixListener, orders: mpsc::Sender<Asked>) {
    let places = Arc::new(Semaphore::new(ORDERS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((caller, _)) = socket.accept().await else {
            // Out of descriptors, for a moment.
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        let orders = orders.clone();
        tokio::spawn(async move {
            hear(caller, orders).await;
            drop(place);
        });
    }
}

/// One caller, from the order to the answer.
async fn hear(mut caller: UnixStream, orders: mpsc::Sender<Asked>) {
    let Ok(line) = timeout(ASK_MAX, order_line(&mut caller)).await else { return };
    let answer = match Order::of_line(&line) {
        None => Answer {
            exit: Exit::Usage,
            text: format!("replug: there is no order `{}`\n", line.trim().escape_debug()),
        },
        Some(order) => {
            let (answer, answered) = oneshot::channel();
            let asked = Asked { order, answer };
            let is_taken = orders.send(asked).await.is_ok();
            match is_taken.then_some(answered) {
                Some(answered) => match answered.await {
                    Ok(answer) => answer,
                    Err(_) => return,
                },
                None => return,
            }
        }
    };
    let text = format!("{}\n{}", answer.exit.code(), answer.text);
    // A caller that has gone does not want to know.
    let _ = timeout(ANSWER_MAX, caller.write_all(text.as_bytes())).await;
}

/// The first line, as far as it was sent; bytes that are no text stand for no order.
async fn order_line(caller: &mut UnixStream) -> String {
    let mut line = Vec::new();
    while !line.contains(&b'\n') && line.len() < ORDER_BYTES_MAX {
        match caller.read_buf(&mut line).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    String::from_utf8_lossy(&line).lines().next().unwrap_or_default().to_owned()
}

/// Gives an order to the replug that listens at `name`; returns its answer.
///
/// # Errors
/// When nobody listens there, or no answer comes.
pub fn ask(name: &UnixName, order: &str) -> io::Result<(Exit, String)> {
    let mut socket = blocking::UnixStream::connect_addr(&address(name)?)?;
    socket.set_read_timeout(Some(CARRIED_OUT_MAX))?;
    socket.set_write_timeout(Some(ASK_MAX))?;
    socket.write_all(format!("{order}\n").as_bytes())?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    let (code, text) = text.split_once('\n').unwrap_or_default();
    let code = code.parse().map_err(|_| io::Error::other("the answer is not one of replug"))?;
    Ok((Exit::of_code(Some(code)), text.to_owned()))
}

fn address(name: &UnixName) -> io::Result<std::os::unix::net::SocketAddr> {
    match name {
        UnixName::Path(path) => blocking::SocketAddr::from_pathname(path),
        UnixName::Abstract(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            blocking::SocketAddr::from_abstract_name(name)
        }
    }
}

/// Removes a socket's file that nobody listens at any more.
fn remove_dead(address: &blocking::SocketAddr) -> io::Result<()> {
    let in_use = || io::Error::from(io::ErrorKind::AddrInUse);
    let path = address.as_pathname().ok_or_else(in_use)?;
    let is_socket = std::fs::symlink_metadata(path)?.file_type().is_socket();
    let refused = blocking::UnixStream::connect_addr(address);
    match refused {
        Err(error) if is_socket && error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(in_use()),
    }
}
