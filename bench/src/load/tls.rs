//! Clients that speak TLS: each connection has a thread, which blocks.
//!
//! They take any certificate without looking at it: what a client does costs the same whoever ends its TLS,
//! and the less it is the more is left to what is measured.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme,
    StreamOwned,
};

use super::bulk::{Flow, nothing_more};
use super::hold::echo;
use super::{PATIENCE, Tally, Window, Worker, connect, worker};
use crate::pattern::{self, opening};

/// A connection in TLS.
pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Which handshakes clients ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// Whole ones.
    Full,
    /// Those that go on with the session of the connection before.
    Resumed,
}

/// Workers that keep `connections` connections under way: one byte each way, then the client ends first.
pub(crate) fn handshakes(
    target: SocketAddr,
    connections: usize,
    handshake: Handshake,
) -> Vec<Worker> {
    let thread = |first: u64| {
        let step = connections as u64;
        let open = move || {
            let client = Client::new(handshake);
            // The first one has no session to go on with.
            end(client.served(target, first)?)?;
            Ok(client)
        };
        worker(open, move |client: Client, window, tally| {
            let mut number = first;
            while !window.ended() {
                number += step;
                visit(&client, target, number, window, tally);
            }
            Ok(())
        })
    };
    (0..connections as u64).map(thread).collect()
}

/// One connection, from connect to the last FIN.
fn visit(client: &Client, target: SocketAddr, number: u64, window: &Window, tally: &mut Tally) {
    let started = Instant::now();
    let visited = client.served(target, number).and_then(|stream| {
        let expected = match client.handshake {
            Handshake::Full => HandshakeKind::Full,
            Handshake::Resumed => HandshakeKind::Resumed,
        };
        match stream.conn.handshake_kind() {
            Some(kind) if kind == expected => end(stream),
            other => Err(io::Error::other(format!("the handshake was {other:?}"))),
        }
    });
    match visited {
        Ok(()) if window.counts() => tally.record(started.elapsed()),
        Ok(()) => {}
        Err(error) => tally.fail(&error),
    }
}

/// Ends a connection on which nothing is under way.
fn end(mut stream: Stream) -> io::Result<()> {
    finish_sending(&mut stream)?;
    while stream.sock.read(&mut [0; 64])? > 0 {}
    Ok(())
}

/// What connections of one client share.
#[derive(Debug)]
pub(crate) struct Client {
    config: Arc<ClientConfig>,
    handshake: Handshake,
}

impl Client {
    /// One that has not met any server.
    pub(crate) fn new(handshake: Handshake) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let anyone = Arc::new(Anyone(Arc::clone(&provider)));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for them")
            .dangerous()
            .with_custom_certificate_verifier(anyone)
            .with_no_client_auth();
        config.resumption = match handshake {
            Handshake::Full => Resumption::disabled(),
            Handshake::Resumed => Resumption::in_memory_sessions(1),
        };
        Self { config: Arc::new(config), handshake }
    }

    /// Connection `number`, whose handshake is done and which was served once; it blocks.
    ///
    /// # Errors
    /// Those of the socket and of TLS, and `InvalidData` where the reply differs.
    pub(crate) fn served(&self, target: SocketAddr, number: u64) -> io::Result<Stream> {
        let mut stream = self.begin(target, number)?;
        echo(&mut stream, &[pattern::echo_byte(number, 1, 0)])?;
        Ok(stream)
    }

    fn begin(&self, target: SocketAddr, number: u64) -> io::Result<Stream> {
        let socket = connect(target, number)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(opening::host(0)).expect("it is a name");
        let connection = ClientConnection::new(Arc::clone(&self.config), name);
        Ok(Stream::new(connection.map_err(io::Error::other)?, socket))
    }
}

impl Flow for Stream {
    fn begin(target: SocketAddr, number: u64) -> io::Result<Self> {
        Client::new(Handshake::Full).begin(target, number)
    }

    fn pass(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    /// Some peers end a session without saying so in TLS, or close it when the backend has ended: what the
    /// flow was about has come by then, and was compared.
    fn finish(&mut self) -> io::Result<()> {
        match finish_sending(self).and_then(|()| self.read(&mut [0])) {
            Ok(read) => nothing_more(read),
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::NotConnected
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionReset => Ok(()),
                _ => Err(error),
            },
        }
    }
}

/// Sends the end of what `stream` has to say, in TLS and in TCP.
fn finish_sending(stream: &mut Stream) -> io::Result<()> {
    stream.conn.send_close_notify();
    stream.flush()?;
    stream.sock.shutdown(Shutdown::Write)
}

/// Takes every certificate.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
