//! A Ruby file as the script of a listener: what sessions ask becomes questions to its workers, and
//! what its blocks have decided becomes decisions of the engine.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::rc::Rc;
use std::sync::Arc;

use engine::journal::{Journal, Level, Notice};
use engine::script::{
    About, Answers, Asking, Counsel, Decision, Desk, Failure, Filtering, Now, Place, Question,
    Script, Way, Whither,
};
use model::BackendAddress;
use model::address::FaultKind;
use wire::ruby::Kind;

use super::{Answer, Ask, Decided, Ruby, Source};

/// How often a remote is tried again, unless the block says: as often as in ProxyMachine.
const RETRIES: u32 = 10;

/// A Ruby file that listeners have.
#[derive(Debug)]
pub struct File {
    /// What runs it.
    pub ruby: Arc<Ruby>,
    name: String,
}

impl File {
    /// One whose workers nobody has started yet.
    pub fn new(source: Source) -> Self {
        let name = source.path.display().to_string();
        Self { ruby: Arc::new(Ruby::new(source)), name }
    }
}

impl Script for File {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.ruby.source().text.hash(&mut hasher);
        hasher.finish()
    }

    fn desk(&self, place: Place) -> Rc<dyn Desk> {
        Rc::new(AtDesk { ruby: Arc::clone(&self.ruby), journal: place.journal })
    }
}

struct AtDesk {
    ruby: Arc<Ruby>,
    journal: Journal,
}

impl Desk for AtDesk {
    fn answers(&self) -> Answers {
        let blocks = self.ruby.blocks();
        Answers {
            connect: false,
            connect_error: blocks.hears_connect_errors(),
            inactivity: blocks.hears_inactivity(),
        }
    }

    fn attend(&self, about: About) -> Box<dyn Counsel> {
        self.ruby.attends();
        let server = about.local.map(|local| local.to_string()).unwrap_or_default();
        Box::new(Attendant {
            ruby: Arc::clone(&self.ruby),
            journal: self.journal.clone(),
            about,
            server: server.into(),
            asked: None,
        })
    }
}

/// Who is asked about one session.
struct Attendant {
    ruby: Arc<Ruby>,
    journal: Journal,
    about: About,
    server: Box<str>,
    /// How much the client had said when its block was last asked.
    asked: Option<usize>,
}

impl Counsel for Attendant {
    fn ask<'a>(&'a mut self, question: Question<'a>, now: Now) -> Asking<'a> {
        Box::pin(async move {
            let ask = match question {
                // There is no block for it.
                Question::Connect => return Ok(Decision::Wait),
                // A block is asked whenever something has come, and not at the end.
                Question::Route(said) if said.is_empty() || self.asked == Some(said.len()) => {
                    debug_assert!(said.is_empty() || now.has_ended, "nothing is asked twice");
                    return Ok(Decision::Wait);
                }
                Question::Route(said) => {
                    self.asked = Some(said.len());
                    let client = self.about.client.to_string().into();
                    Ask::Route { client, server: self.server.clone(), data: said.into() }
                }
                Question::ConnectError(remote) => Ask::ConnectError(remote.into()),
                Question::Inactivity(remote) => Ask::Inactivity(remote.into()),
            };
            match self.ruby.ask(self.about.id, ask).await {
                Answer::Decided(decided) => self.decision(decided),
                Answer::Filtered(_) => Err(Failure("its answer is to another question".to_owned())),
                Answer::None(why) => Err(Failure(why.to_string())),
            }
        })
    }

    fn filters(&self) -> bool {
        self.ruby.blocks().filters()
    }

    fn filter<'a>(&'a mut self, first: &'a [u8]) -> Filtering<'a> {
        Box::pin(async move {
            match self.ruby.ask(self.about.id, Ask::Filter(first.into())).await {
                Answer::Filtered(bytes) => Ok(bytes),
                Answer::Decided(decided) => {
                    Err(Failure(String::from_utf8_lossy(&decided.text).into_owned()))
                }
                Answer::None(why) => Err(Failure(why.to_string())),
            }
        })
    }
}

impl Attendant {
    fn decision(&self, decided: Decided) -> Result<Decision, Failure> {
        if !decided.shown.is_empty() && self.journal.wants_notices(Level::Debug) {
            self.journal.notice(Notice::ScriptSays {
                level: Level::Debug,
                listener: Arc::clone(&self.about.listener),
                session: Some(self.about.id),
                text: format!("{} {}", self.about.client, decided.shown),
                unsaid: 0,
            });
        }
        match decided.kind {
            Kind::Wait | Kind::Done => Ok(Decision::Wait),
            Kind::Close => Ok(Decision::Close(decided.text.into())),
            Kind::Failed => Err(Failure(String::from_utf8_lossy(&decided.text).into_owned())),
            Kind::Go => way(decided).map(|way| Decision::Go(way.into())),
        }
    }
}

/// The way that a block has named.
fn way(decided: Decided) -> Result<Way, Failure> {
    let to = match decided.pool {
        Some(pool) => Whither::Pool(pool),
        None => {
            let remotes = decided.remotes.iter().map(|remote| address(remote));
            Whither::Remotes(remotes.collect::<Result<_, _>>()?)
        }
    };
    Ok(Way {
        data: decided.data.map(Into::into),
        reply: decided.reply.into(),
        connect_timeout: decided.connect_timeout,
        inactivity_timeout: decided.inactivity_timeout,
        retries: decided.retries.unwrap_or(RETRIES),
        ..Way::new(to)
    })
}

fn address(remote: &str) -> Result<BackendAddress, Failure> {
    BackendAddress::parse(remote, None).map_err(|fault| {
        let why = match fault.kind {
            FaultKind::PortZero | FaultKind::PortRange => "its port is not from 1 to 65535",
            FaultKind::PortText => "its port is no number",
            FaultKind::PortMissing => "it has no port",
            _ => "it is neither an address nor the name of a host",
        };
        Failure(format!("the remote {remote:?} cannot be reached: {why}"))
    })
}
