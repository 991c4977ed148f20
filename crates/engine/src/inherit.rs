//! Sockets that whoever started this process has opened for it.
//!
//! A service manager hands over sockets that listen, each with a name; inetd hands
//! over one as standard input, which listens or is a client already. They are
//! shared: the one who opened them keeps them open, so clients that come while
//! nobody accepts wait. Their addresses are not ours to remove.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};

use model::{Bind, UnixName};
use socket2::{Socket, Type};

use crate::phase::account::ClientAddress;
use crate::socket;

/// The first descriptor that a manager hands over (sd_listen_fds(3)).
const FIRST: RawFd = 3;

/// What this process was started with.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Handed>,
    standard: Standard,
}

/// A socket of a manager, or of inetd where it listens.
#[derive(Debug)]
struct Handed {
    /// `None`: it was standard input.
    name: Option<String>,
    fitness: Fitness,
}

/// What an inherited descriptor is.
#[derive(Debug)]
enum Fitness {
    /// It listens, here.
    Listens(Socket, Place),
    /// It is a client, or was one.
    Connected(Socket),
    /// It is of no use.
    Unfit(Unfit),
}

/// Where an inherited socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Tcp(SocketAddr),
    Unix(Option<UnixName>),
}

/// What standard input is to the engine.
#[derive(Debug, Default)]
enum Standard {
    /// Nothing.
    #[default]
    Unused,
    /// One of the sockets.
    Listens,
    /// A client, until it is taken.
    Client(Option<Client>),
}

/// A client that was accepted by another process.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: OwnedFd,
    pub(crate) address: ClientAddress,
}

/// Why an inherited socket cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is something else.
    NoSocket,
    /// It is a socket of datagrams.
    Datagrams,
    /// It is a socket of another kind.
    NoStream,
    /// It is connected, where one that listens is needed.
    Connected,
    /// The client it was has gone.
    Gone,
}

/// Why a bind has no inherited socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// None has this name; these there are.
    NoneOfThisName(Vec<String>),
    /// Standard input was not handed over.
    NoStandardInput,
    /// The one there is cannot be used.
    Unfit(Unfit),
    /// Another bind has it.
    Taken,
}

impl Inherited {
    /// Takes the descriptors that a manager has handed over, one for each of `names`.
    ///
    /// # Errors
    /// When one is not there, or was opened by this process.
    pub fn of_manager(names: Vec<String>) -> io::Result<Self> {
        let handed = |(number, name)| {
            let fitness = Fitness::of(relay::take_inherited(number)?);
            Ok(Handed { name: Some(name), fitness })
        };
        let sockets = (FIRST..).zip(names).map(handed).collect::<io::Result<_>>()?;
        Ok(Self { sockets, standard: Standard::Unused })
    }

    /// Adds what inetd has handed over as standard input.
    ///
    /// # Errors
    /// When it is of no use.
    pub fn add_standard_input(&mut self, descriptor: OwnedFd) -> Result<(), Unfit> {
        self.standard = match Fitness::of(descriptor) {
            Fitness::Unfit(unfit) => return Err(unfit),
            Fitness::Listens(socket, place) => {
                let fitness = Fitness::Listens(socket, place);
                self.sockets.push(Handed { name: None, fitness });
                Standard::Listens
            }
            Fitness::Connected(socket) => {
                let address = socket::adopt_client(&socket).map_err(|_| Unfit::Gone)?;
                Standard::Client(Some(Client { socket: socket.into(), address }))
            }
        };
        Ok(())
    }

    /// Whether this process is there for one client, which has come already.
    pub fn is_client(&self) -> bool {
        matches!(self.standard, Standard::Client(_))
    }

    /// The client; once.
    pub(crate) fn take_client(&mut self) -> Option<Client> {
        match &mut self.standard {
            Standard::Client(client) => client.take(),
            Standard::Unused | Standard::Listens => None,
        }
    }

    /// The sockets that `bind` means, by their place in this; empty when a socket is to be
    /// opened for it.
    pub(crate) fn meant_by(&self, bind: &Bind) -> Result<Vec<usize>, Fault> {
        let by = |wanted: &dyn Fn(&Handed) -> bool| -> Vec<usize> {
            let found = self.sockets.iter().enumerate().filter(|(_, handed)| wanted(handed));
            found.map(|(index, _)| index).collect()
        };
        match bind {
            Bind::Inetd => match self.standard {
                Standard::Listens => Ok(by(&|handed| handed.name.is_none())),
                Standard::Unused | Standard::Client(_) => Err(Fault::NoStandardInput),
            },
            Bind::Systemd(name) => {
                let found = by(&|handed| handed.name.as_ref() == Some(name));
                match found.is_empty() {
                    true => Err(Fault::NoneOfThisName(self.names())),
                    false => Ok(found),
                }
            }
            // Sockets of datagrams are not taken over.
            Bind::Udp { .. } => Ok(Vec::new()),
            Bind::Tcp { .. } | Bind::Unix(_) => Ok(by(&|handed| match &handed.fitness {
                Fitness::Listens(_, place) => place.is_meant_by(bind),
                Fitness::Connected(_) | Fitness::Unfit(_) => false,
            })),
        }
    }

    /// The socket at `index`, if it can be used, and where it listens.
    pub(crate) fn socket(&self, index: usize) -> Result<(&Socket, String), Fault> {
        match &self.sockets[index].fitness {
            Fitness::Listens(socket, place) => Ok((socket, place.to_string())),
            Fitness::Connected(_) => Err(Fault::Unfit(Unfit::Connected)),
            Fitness::Unfit(unfit) => Err(Fault::Unfit(*unfit)),
        }
    }

    /// Says what those are that stand not in `used`.
    pub(crate) fn others(&self, used: &[usize]) -> Vec<String> {
        let others = self.sockets.iter().enumerate().filter(|(index, _)| !used.contains(index));
        others.map(|(_, handed)| handed.to_string()).collect()
    }

    /// The names there are, each once.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.sockets.iter().filter_map(|socket| socket.name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl Place {
    /// Whether a configuration that says `bind` means this.
    fn is_meant_by(&self, bind: &Bind) -> bool {
        match (self, bind) {
            (Self::Tcp(at), Bind::Tcp { address: Some(address), port }) => {
                *at == SocketAddr::new(*address, *port)
            }
            // Which families every address is of, the manager has decided.
            (Self::Tcp(at), Bind::Tcp { address: None, port }) => {
                at.ip().is_unspecified() && at.port() == *port
            }
            (Self::Unix(at), Bind::Unix(name)) => at.as_ref() == Some(name),
            _ => false,
        }
    }
}

impl Fitness {
    fn of(descriptor: OwnedFd) -> Self {
        let socket = Socket::from(descriptor);
        match socket.r#type() {
            Err(_) => return Self::Unfit(Unfit::NoSocket),
            Ok(Type::DGRAM) => return Self::Unfit(Unfit::Datagrams),
            Ok(Type::STREAM) => {}
            Ok(_) => return Self::Unfit(Unfit::NoStream),
        }
        let Ok(address) = socket.local_addr() else {
            return Self::Unfit(Unfit::NoSocket);
        };
        let place = match (address.as_socket(), address.is_unix()) {
            (Some(address), _) => Place::Tcp(address),
            (None, true) => Place::Unix(socket::unix_name(&address)),
            // Streams of other families: vsock and such.
            (None, false) => return Self::Unfit(Unfit::NoStream),
        };
        match socket.is_listener() {
            Ok(true) => Self::Listens(socket, place),
            Ok(false) | Err(_) => Self::Connected(socket),
        }
    }
}

impl fmt::Display for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "`{name}`")?,
            None => f.write_str("standard input")?,
        }
        match &self.fitness {
            Fitness::Listens(_, place) => write!(f, " ({place})"),
            Fitness::Connected(_) => write!(f, " ({})", Unfit::Connected),
            Fitness::Unfit(unfit) => write!(f, " ({unfit})"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(name)) => name.fmt(f),
            Self::Unix(None) => f.write_str("unix:"),
        }
    }
}

/// What it is instead, to stand behind its name.
impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSocket => "it is no socket",
            Self::Datagrams => "it is a socket of datagrams, and those replug opens itself",
            Self::NoStream => "it is a socket of neither TCP nor unix streams",
            Self::Connected => "it does not listen: write `Accept=no` in its socket unit",
            Self::Gone => "its client has gone already",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneOfThisName(names) if names.is_empty() => f.write_str(
                "no socket was handed over; a service has it when its socket unit started it",
            ),
            Self::NoneOfThisName(names) => write!(
                f,
                "no socket of this name was handed over; those there are: {}",
                names.join(", ")
            ),
            Self::NoStandardInput => {
                f.write_str("standard input was not handed over; inetd does that")
            }
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::Taken => f.write_str("another bind has this socket"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::unix::net::{UnixListener, UnixStream};

    fn handed(sockets: Vec<(&str, OwnedFd)>) -> Inherited {
        let handed = |(name, descriptor): (&str, _)| Handed {
            name: Some(name.to_owned()),
            fitness: Fitness::of(descriptor),
        };
        let sockets = sockets.into_iter().map(handed).collect();
        Inherited { sockets, standard: Standard::Unused }
    }

    fn listener(address: &str) -> (OwnedFd, u16) {
        let listener = TcpListener::bind(address).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        (listener.into(), port)
    }

    #[track_caller]
    fn meant(inherited: &Inherited, bind: &str, expected: Result<&[usize], Fault>) {
        let parsed = Bind::parse(bind).expect("a legal bind");
        assert_eq!(inherited.meant_by(&parsed), expected.map(<[_]>::to_vec), "{bind}");
    }

    #[test]
    fn sockets_are_found_by_name_and_by_address() {
        let ((one, port), (all, open), (web, _)) =
            (listener("127.0.0.1:0"), listener("0.0.0.0:0"), listener("[::1]:0"));
        let inherited = handed(vec![("web", one), ("all", all), ("web", web)]);
        meant(&inherited, "systemd:web", Ok(&[0, 2]));
        let names = vec!["all".to_owned(), "web".to_owned()];
        meant(&inherited, "systemd:wbe", Err(Fault::NoneOfThisName(names)));
        meant(&inherited, &format!("127.0.0.1:{port}"), Ok(&[0]));
        meant(&inherited, &format!("127.0.0.2:{port}"), Ok(&[]));
        meant(&inherited, &format!(":{port}"), Ok(&[]));
        meant(&inherited, &format!(":{open}"), Ok(&[1]));
        meant(&inherited, "127.0.0.1:0", Ok(&[]));
        meant(&inherited, "inetd", Err(Fault::NoStandardInput));
        let others = [format!("`all` (0.0.0.0:{open})")];
        assert_eq!(inherited.others(&[0, 2]), others);
    }

    #[test]
    fn unix_sockets_are_found_by_their_names() {
        let path = std::env::temp_dir().join(format!("replug-inherit-{}", std::process::id()));
        let listener = UnixListener::bind(&path).expect("a new socket");
        let inherited = handed(vec![("a", listener.into())]);
        meant(&inherited, &format!("unix:{}", path.display()), Ok(&[0]));
        meant(&inherited, "unix:/elsewhere", Ok(&[]));
        std::fs::remove_file(&path).expect("it is ours");
    }

    #[test]
    fn what_is_of_no_use_is_told() {
        let (listening, port) = listener("127.0.0.1:0");
        let client = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let file = std::fs::File::open("/dev/null").expect("every system has it");
        drop(listening);
        let sockets = vec![("c", client.into()), ("d", datagrams.into()), ("f", file.into())];
        let inherited = handed(sockets);
        let unfit = [0, 1, 2].map(|index| inherited.socket(index).err());
        let expected = [Unfit::Connected, Unfit::Datagrams, Unfit::NoSocket];
        assert_eq!(unfit, expected.map(|unfit| Some(Fault::Unfit(unfit))));
    }

    #[test]
    fn standard_input_is_a_client_or_listens() {
        let inetd = Bind::Inetd;
        let mut inherited = Inherited::default();
        let (client, _peer) = UnixStream::pair().expect("two sockets");
        inherited.add_standard_input(client.into()).expect("a client");
        assert!(inherited.is_client());
        let client = inherited.take_client().expect("it was not taken yet");
        assert_eq!(client.address, ClientAddress::Unix);
        assert!(inherited.take_client().is_none());
        assert_eq!(inherited.meant_by(&inetd), Err(Fault::NoStandardInput));

        let mut inherited = Inherited::default();
        inherited.add_standard_input(listener("127.0.0.1:0").0).expect("it listens");
        assert!(!inherited.is_client());
        assert_eq!(inherited.meant_by(&inetd), Ok(vec![0]));

        let file = std::fs::File::open("/dev/null").expect("every system has it");
        assert_eq!(Inherited::default().add_standard_input(file.into()), Err(Unfit::NoSocket));
    }
}
