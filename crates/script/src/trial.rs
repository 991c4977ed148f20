//! A decision without a session: what a script makes of bytes that somebody has at hand.
//!
//! It is asked as sessions ask ([`engine::script`]): when the client has come, then again with each
//! piece that it says, until there is a decision. Nothing is connected to.

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::{Duration, Instant};

use engine::script::{About, Decision, Desk, Failure, Now, Question};

/// What a client says.
#[derive(Clone, Debug)]
pub struct Client {
    /// Who it is, and where it came to.
    pub about: About,
    /// All that it says.
    pub data: Vec<u8>,
    /// How many bytes come at a time.
    pub piece: NonZeroUsize,
    /// Whether it ends its stream behind that.
    pub has_end: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// How often the script was asked.
    pub questions: u32,
    /// How many bytes had come by then.
    pub bytes: usize,
    /// What the client was greeted with.
    pub greeting: Vec<u8>,
    /// What was decided, [`Decision::Wait`] to the end, or how the script has failed.
    pub outcome: Result<Decision, Failure>,
    /// How long all of it has taken, look-ups included.
    pub took: Duration,
}

/// Asks the script of this desk about a client.
pub async fn run(desk: &Rc<dyn Desk>, client: &Client) -> Trial {
    let begun = Instant::now();
    let mut trial = Trial {
        questions: 0,
        bytes: 0,
        greeting: Vec::new(),
        outcome: Ok(Decision::Wait),
        took: Duration::ZERO,
    };
    let mut counsel = desk.attend(client.about.clone());
    let mut questions = Vec::new();
    if desk.answers().connect {
        questions.push((None, false));
    }
    let pieces = client.data.len().div_ceil(client.piece.get());
    let end = |piece: usize| (piece * client.piece.get()).min(client.data.len());
    questions.extend((1..=pieces).map(|piece| (Some(end(piece)), false)));
    if client.has_end {
        questions.push((Some(client.data.len()), true));
    }
    for (said, has_ended) in questions {
        trial.bytes = said.unwrap_or(0);
        let question = match said {
            Some(bytes) => Question::Route(&client.data[..bytes]),
            None => Question::Connect,
        };
        let now = Now { elapsed: begun.elapsed(), attempt: 0, has_ended };
        trial.questions += 1;
        match counsel.ask(question, now).await {
            Ok(Decision::Wait) => {}
            Ok(Decision::Greet(text)) => trial.greeting.extend(text),
            outcome => {
                trial.outcome = outcome;
                break;
            }
        }
    }
    trial.took = begun.elapsed();
    trial
}
