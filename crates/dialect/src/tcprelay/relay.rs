//! The section of tcprelay: where sessions go.

use std::net::IpAddr;
use std::time::Duration;

use model::{Backend, BackendAddress, Code, Diagnostic, Span, Spanned, Weight};

use super::Surroundings;
use super::anywhere::Anywhere;
use super::certificate::Certificate;
use super::lex::{Kind, Token};
use super::mavis::Module;
use super::parse::{Block, Cursor};
use super::spawnd::not_yet;
use super::value::{self, Remote};

/// What the section says.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// Each with its weight, which may be larger than ours are.
    pub(super) remotes: Vec<(Spanned<BackendAddress>, u32)>,
    /// Remotes, those that could not be read too.
    pub(super) count: usize,
    pub(super) local: Option<Spanned<IpAddr>>,
    /// Connections after which remotes that are down are tried again.
    pub(super) rebalance: Option<Spanned<u32>>,
    pub(super) idle: Option<Duration>,
    pub(super) retire: Option<Spanned<u32>>,
    /// Who its listeners with TLS are.
    pub(super) certificate: Certificate,
    /// Who decides about clients.
    pub(super) module: Option<Module>,
    pub(super) anywhere: Anywhere,
}

const SECTION: Block = Block {
    name: "a tcprelay section",
    known: &[
        "coredump",
        "debug",
        "idle",
        "local",
        "mavis",
        "proctitle",
        "rebalance",
        "regex-match-case",
        "remote",
        "retire",
        "ssl",
        "syslog",
        "tls",
        "trace",
    ],
};

const REMOTE: Block = Block { name: "a remote", known: &["address", "port", "protocol", "weight"] };

/// A remote as it is read.
#[derive(Default)]
struct Written {
    address: Option<Spanned<Remote>>,
    port: Option<Spanned<u16>>,
    weight: u32,
    /// Something of it could not be read, so what is missing is not missed.
    faulty: bool,
}

/// Reads the section behind its name.
pub(super) fn read(cursor: &mut Cursor<'_>, surroundings: Surroundings<'_>) -> Relay {
    let mut section = Relay::default();
    cursor.block(
        SECTION,
        |cursor, token| section.directive(cursor, token, surroundings),
        |_, _| false,
    );
    section
}

impl Relay {
    fn directive(
        &mut self,
        cursor: &mut Cursor<'_>,
        token: &Token,
        surroundings: Surroundings<'_>,
    ) {
        match &*token.text {
            "remote" => self.remote(cursor, token.span, surroundings),
            "local" => {
                if cursor.keyword(&["address"]).is_some() {
                    self.local = cursor.read(value::source);
                }
            }
            "rebalance" => self.rebalance = cursor.integer().filter(|every| every.value > 0),
            "idle" => {
                if cursor.keyword(&["timeout"]).is_some() {
                    let time = cursor.seconds().map(|time| time.value);
                    self.idle = time.filter(|time| !time.is_zero());
                }
            }
            // The manual has it without `limit`.
            "retire" => {
                let next = cursor.peek();
                if next.kind == Kind::Bare && next.text == "limit" {
                    cursor.take();
                }
                self.retire = cursor.integer();
            }
            "tls" | "ssl" => self.certificate.directive(cursor),
            "mavis" => self.mavis(cursor, token.span),
            name => self.anywhere.directive(cursor, name),
        }
    }

    /// The first module; others, to which it might pass questions on, are refused.
    fn mavis(&mut self, cursor: &mut Cursor<'_>, span: Span) {
        let Some(module) = Module::read(cursor, span) else { return };
        match &self.module {
            None => self.module = Some(module),
            Some(first) => {
                let message = "only one program is asked";
                let help = "have one program ask the other";
                let fault = not_yet(Some(span), message, help);
                cursor.faults.push(fault.related(first.span(), "this one is asked"));
            }
        }
    }

    fn remote(&mut self, cursor: &mut Cursor<'_>, span: Span, surroundings: Surroundings<'_>) {
        let written = std::cell::RefCell::new(Written { weight: 1, ..Written::default() });
        let before = cursor.faults.len();
        cursor.block(
            REMOTE,
            |cursor, token| written.borrow_mut().directive(cursor, token, surroundings),
            |cursor, token| written.borrow_mut().bare(cursor, token),
        );
        let mut written = written.into_inner();
        written.faulty = cursor.faults.len() > before;
        self.count += 1;
        match written.backend(span) {
            Ok(Some(address)) => self.remotes.push((address, written.weight)),
            Ok(None) => {}
            Err(fault) => cursor.faults.push(fault),
        }
    }

    /// The backends, with weights that we can have: as large as they are, if they share no factor
    /// and are not too large; else as near to their shares as can be, which is told.
    pub(super) fn backends(&self) -> (Vec<Backend>, Option<Diagnostic>) {
        let weights = self.remotes.iter().map(|(_, weight)| *weight);
        let largest = weights.clone().max().unwrap_or(1);
        let scaled = |weight: u32| match largest {
            ..=Weight::MAX => weight,
            _ => {
                let exact = u64::from(weight) * u64::from(Weight::MAX);
                let half = u64::from(largest / 2);
                u32::try_from((exact + half) / u64::from(largest)).map_or(Weight::MAX, |w| w.max(1))
            }
        };
        let factor = weights.fold(0, divisor).max(1);
        let exact = largest / factor <= Weight::MAX;
        let fitting = |weight: u32| match (largest <= Weight::MAX, exact) {
            (true, _) => weight,
            (false, true) => weight / factor,
            (false, false) => scaled(weight),
        };
        let told = (!exact && largest > Weight::MAX).then(|| {
            let at = self.remotes.iter().find(|(_, weight)| *weight == largest);
            let span = at.and_then(|(address, _)| address.span);
            Diagnostic::new(Code::ReadAs, span, "weights end at 256")
                .label("the heaviest")
                .help("all weights are made smaller so that the shares stay nearly the same")
        });
        let backend = |(address, weight): &(Spanned<BackendAddress>, u32)| Backend {
            weight: Weight::new(fitting(*weight)).unwrap_or(Weight::ONE),
            ..Backend::new(address.clone())
        };
        (self.remotes.iter().map(backend).collect(), told)
    }
}

impl Written {
    fn directive(
        &mut self,
        cursor: &mut Cursor<'_>,
        token: &Token,
        surroundings: Surroundings<'_>,
    ) {
        match &*token.text {
            "address" => self.address = cursor.read(value::remote),
            "port" => self.port = cursor.read(|token| value::port(token, surroundings)),
            "weight" => {
                if let Some(weight) = cursor.read(weight) {
                    self.weight = weight.value;
                }
            }
            _ => {
                const KNOWN: [(&str, bool); 3] = [("SCTP", false), ("TCP", true), ("tcp", true)];
                if let Some(Spanned { value: false, span }) = cursor.choice(&KNOWN) {
                    cursor.faults.push(not_yet(span, "SCTP is not spoken", "use TCP"));
                }
            }
        }
    }

    /// A bare address, as the manual has it in listeners.
    fn bare(&mut self, cursor: &mut Cursor<'_>, token: &Token) -> bool {
        let looks = token.text.contains(['.', ':', '/']);
        match value::remote(token) {
            Ok(address) if looks => {
                self.address = Some(Spanned::at(address, token.span));
                cursor.take();
                true
            }
            _ => false,
        }
    }

    fn backend(&self, block: Span) -> Result<Option<Spanned<BackendAddress>>, Diagnostic> {
        let missing = |what: &str| {
            let message = format!("this remote has no {what}");
            Diagnostic::new(Code::KeyMissing, block, message)
                .label("where is it?")
                .help("write `remote = { address = 10.0.0.11 port = 80 }`")
        };
        let Some(address) = &self.address else {
            return if self.faulty { Ok(None) } else { Err(missing("address")) };
        };
        let port = || match &self.port {
            Some(Spanned { value: 0, span }) => {
                Err(Diagnostic::new(Code::Port, *span, "nothing can be reached at port 0")
                    .label("not a port to connect to"))
            }
            Some(port) => Ok(Some(port.value)),
            None if self.faulty => Ok(None),
            None => Err(missing("port")),
        };
        let whole = match &address.value {
            Remote::Whole(whole) => Some(whole.clone()),
            Remote::Ip(ip) => port()?.map(|port| BackendAddress::Ip((*ip, port).into())),
            Remote::Name(host) => {
                port()?.map(|port| BackendAddress::Name { host: host.clone(), port })
            }
        };
        Ok(whole.map(|value| Spanned { value, span: address.span }))
    }
}

/// A weight; one that is negative or nothing is 1.
fn weight(token: &Token) -> Result<u32, Diagnostic> {
    let negative = token.text.strip_prefix('-');
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match negative {
        Some(rest) if digits(rest) => Ok(1),
        _ => value::integer(token).map(|weight| weight.max(1)),
    }
}

/// The greatest common divisor.
fn divisor(mut a: u32, mut b: u32) -> u32 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}
