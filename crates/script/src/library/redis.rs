//! `redis`: one command to a Redis server, and its reply.
//!
//! Connections are kept for the next command, a few for each server and each VM. So commands that
//! change a connection for those behind them are not sent.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use engine::Lookups;
use mlua::{IntoLua, Lua, LuaString, Result, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use wire::Parse;
use wire::resp::{self, VALUE_BYTES_MAX, read_value, write_command};

use super::lookup::addresses;

/// Connections to a server that are kept.
const KEPT_MAX: usize = 8;

/// Servers that connections are kept to.
const SERVERS_MAX: usize = 32;

/// How long one that is not used is kept.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Most words of a command.
const WORDS_MAX: usize = 1_024;

/// The port of Redis.
const PORT: u16 = 6379;

/// What changes a connection, or is no question with one reply.
const REFUSED: [&str; 18] = [
    "AUTH",
    "CLIENT",
    "DISCARD",
    "EXEC",
    "HELLO",
    "MONITOR",
    "MULTI",
    "PSUBSCRIBE",
    "PSYNC",
    "PUNSUBSCRIBE",
    "QUIT",
    "RESET",
    "SELECT",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SYNC",
    "UNSUBSCRIBE",
    "WATCH",
];

/// A command for a server.
#[derive(Debug)]
pub(super) struct Question {
    server: Server,
    command: Vec<u8>,
}

/// A server, and what it is told first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Server {
    at: At,
    password: Option<(Option<String>, String)>,
    database: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Host(String, u16),
    Path(String),
}

/// What a server has replied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Text(Vec<u8>),
    Integer(i64),
    List(Vec<Self>),
    /// There is none; `false` to a script, as to one within Redis.
    Nothing,
}

impl IntoLua for Reply {
    fn into_lua(self, lua: &Lua) -> Result<Value> {
        Ok(match self {
            Self::Text(text) => Value::String(lua.create_string(text)?),
            Self::Integer(number) => Value::Integer(number),
            Self::List(replies) => {
                let list = lua.create_table_with_capacity(replies.len(), 0)?;
                for reply in replies {
                    list.push(reply)?;
                }
                Value::Table(list)
            }
            Self::Nothing => Value::Boolean(false),
        })
    }
}

impl Reply {
    fn of(value: resp::Value<'_>) -> Self {
        match value {
            // Only within lists: the error of one of several commands.
            resp::Value::Simple(text) | resp::Value::Bulk(text) | resp::Value::Error(text) => {
                Self::Text(text.to_owned())
            }
            resp::Value::Integer(number) => Self::Integer(number),
            resp::Value::Array(values) => Self::List(values.into_iter().map(Self::of).collect()),
            resp::Value::Null => Self::Nothing,
        }
    }
}

impl Question {
    /// `words`, for the server at `address`.
    pub(super) fn new(address: &str, words: &[LuaString]) -> std::result::Result<Self, String> {
        let words: Vec<_> = words.iter().map(LuaString::as_bytes).collect();
        let Some(name) = words.first() else { return Err("a command is missing".to_owned()) };
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        if REFUSED.contains(&&*name) {
            return Err(format!("{name} would change a connection that others use"));
        }
        if words.len() > WORDS_MAX {
            return Err(format!("a command of more than {WORDS_MAX} words"));
        }
        let mut command = Vec::new();
        write_command(words.iter().map(AsRef::as_ref), &mut command);
        if command.len() > VALUE_BYTES_MAX {
            return Err(format!("a command of more than {VALUE_BYTES_MAX} bytes"));
        }
        Ok(Self { server: Server::parse(address)?, command })
    }

    /// Asks, over a connection that is kept afterwards if its reply was sound.
    pub(super) async fn ask(
        self,
        names: &Lookups,
        connections: &Connections,
    ) -> std::result::Result<Reply, String> {
        let mut kept = connections.take(&self.server);
        let (stream, reply) = loop {
            let is_kept = kept.is_some();
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => self.server.connect(names).await?,
            };
            match exchange(&mut stream, &self.command).await {
                Ok(reply) => break (stream, reply),
                // Servers end connections that have rested; then the command has met nobody.
                Err(Broken { is_unheard: true, .. }) if is_kept => {}
                Err(broken) => return Err(broken.why),
            }
        };
        connections.keep(self.server, stream);
        reply
    }
}

impl Server {
    /// Reads `host`, `host:port`, `[v6]:port`, `unix:/path`, and
    /// `redis://[[user]:password@]host[:port][/database]`.
    fn parse(address: &str) -> std::result::Result<Self, String> {
        const HELP: &str = "write host:6379, redis://user:password@host:6379/0 or unix:/path";
        let wrong = || format!("`{address}` is no address; {HELP}");
        if let Some(path) = address.strip_prefix("unix:") {
            let at = At::Path(path.to_owned());
            return Ok(Self { at, password: None, database: None });
        }
        let Some(url) = address.strip_prefix("redis://") else {
            let at = host_and_port(address).ok_or_else(wrong)?;
            return Ok(Self { at, password: None, database: None });
        };
        // What goes wrong with a password is not shown with it.
        let wrong = || format!("this is no address; {HELP}");
        let (place, database) = match url.split_once('/') {
            Some((place, "")) => (place, None),
            Some((place, number)) => (place, Some(number.parse().map_err(|_| wrong())?)),
            None => (url, None),
        };
        let (password, place) = match place.rsplit_once('@') {
            Some((who, place)) => {
                let (user, password) = who.split_once(':').ok_or_else(wrong)?;
                let user = (!user.is_empty()).then(|| user.to_owned());
                (Some((user, password.to_owned())), place)
            }
            None => (None, place),
        };
        Ok(Self { at: host_and_port(place).ok_or_else(wrong)?, password, database })
    }

    async fn connect(&self, names: &Lookups) -> std::result::Result<Stream, String> {
        let mut stream = match &self.at {
            At::Path(path) => {
                let stream = UnixStream::connect(path).await;
                Stream::Unix(stream.map_err(|error| format!("{path}: {error}"))?)
            }
            At::Host(host, port) => {
                let mut last = Err(format!("{host}: it has no address"));
                let found = addresses(names, host).await;
                for address in found.map_err(|why| format!("{host}: {why}"))?.iter() {
                    let address = SocketAddr::new(*address, *port);
                    last = TcpStream::connect(address)
                        .await
                        .map_err(|error| format!("{address}: {error}"));
                    if last.is_ok() {
                        break;
                    }
                }
                let stream = last?;
                // Commands are small and written at once; without it nothing but time is lost.
                let _ = stream.set_nodelay(true);
                Stream::Tcp(stream)
            }
        };
        let first = |words: &[&str]| {
            let mut command = Vec::new();
            write_command(words.iter().map(|word| word.as_bytes()), &mut command);
            command
        };
        let mut greetings = Vec::new();
        match &self.password {
            Some((Some(user), password)) => greetings.push(first(&["AUTH", user, password])),
            Some((None, password)) => greetings.push(first(&["AUTH", password])),
            None => {}
        }
        if let Some(database) = self.database {
            greetings.push(first(&["SELECT", &database.to_string()]));
        }
        for command in greetings {
            exchange(&mut stream, &command).await.map_err(|broken| broken.why)??;
        }
        Ok(stream)
    }
}

fn host_and_port(text: &str) -> Option<At> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(At::Host(address.ip().to_string(), address.port()));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, PORT),
    };
    (!host.is_empty() && !host.contains(':')).then(|| At::Host(host.to_owned(), port))
}

/// A connection.
#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).await,
            Self::Unix(stream) => stream.write_all(bytes).await,
        }
    }

    async fn receive(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_buf(to).await,
            Self::Unix(stream) => stream.read_buf(to).await,
        }
    }

    /// Whether the server has neither ended it nor said anything unasked.
    fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut byte),
            Self::Unix(stream) => stream.try_read(&mut byte),
        };
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Why a connection is of no more use.
#[derive(Debug)]
struct Broken {
    why: String,
    /// The server has not said a word behind the command.
    is_unheard: bool,
}

/// One command and its reply, which may be an error.
async fn exchange(
    stream: &mut Stream,
    command: &[u8],
) -> std::result::Result<std::result::Result<Reply, String>, Broken> {
    let unheard = |error: io::Error| Broken { why: error.to_string(), is_unheard: true };
    stream.send(command).await.map_err(unheard)?;
    let mut received = Vec::new();
    loop {
        let is_unheard = received.is_empty();
        let broken = |why: &dyn ToString| Broken { why: why.to_string(), is_unheard };
        match stream.receive(&mut received).await {
            Ok(0) => return Err(broken(&"the server has closed the connection")),
            Ok(_) => {}
            Err(error) => return Err(broken(&error)),
        }
        let broken = |why: &dyn ToString| Broken { why: why.to_string(), is_unheard: false };
        match read_value(&received) {
            Parse::Whole { length, .. } if length < received.len() => {
                return Err(broken(&"the server says more than it was asked"));
            }
            Parse::Whole { value: resp::Value::Error(why), .. } => {
                return Ok(Err(String::from_utf8_lossy(why).into_owned()));
            }
            Parse::Whole { value, .. } => return Ok(Ok(Reply::of(value))),
            Parse::Partial => {}
            Parse::Foreign(why) => return Err(broken(&why)),
        }
    }
}

/// Connections of a VM that wait for their next command.
#[derive(Default)]
pub(super) struct Connections(RefCell<HashMap<Server, Vec<(Stream, Instant)>>>);

impl Connections {
    fn take(&self, server: &Server) -> Option<Stream> {
        let mut kept = self.0.borrow_mut();
        let kept = kept.get_mut(server)?;
        while let Some((stream, since)) = kept.pop() {
            if since.elapsed() < KEPT_FOR && stream.is_quiet() {
                return Some(stream);
            }
        }
        None
    }

    fn keep(&self, server: Server, stream: Stream) {
        let mut kept = self.0.borrow_mut();
        for kept in kept.values_mut() {
            kept.retain(|(_, since)| since.elapsed() < KEPT_FOR);
        }
        kept.retain(|_, kept| !kept.is_empty());
        if kept.len() < SERVERS_MAX || kept.contains_key(&server) {
            let kept = kept.entry(server).or_default();
            if kept.len() < KEPT_MAX {
                kept.push((stream, Instant::now()));
            }
        }
    }
}
