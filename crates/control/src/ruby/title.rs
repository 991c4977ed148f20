//! What `ps` shows of the workers: how many sessions there are, as ProxyMachine shows it of itself.
//!
//! ```text
//! proxymachine 1.2.4 - route 0.0.0.0:5432 - 3/17/4711 cur/max/tot conns
//! ```

use std::sync::Arc;
use std::time::Duration;

use engine::Gauge;
use engine::script::Scripts;
use script::ruby::{Ruby, Title};
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// A file, and where its listeners listen.
struct Titled {
    ruby: Arc<Ruby>,
    head: String,
}

/// Has the titles of all Ruby files among `scripts` follow, until it is dropped. `addresses` are
/// those of all listeners, by name.
pub(super) async fn follow(scripts: Scripts, addresses: Vec<(Arc<str>, String)>, gauge: Gauge) {
    let all = script::ruby::all(&scripts);
    let all: Vec<_> = all.into_iter().map(|ruby| titled(ruby, &scripts, &addresses)).collect();
    let mut most = 0;
    let mut looks = interval(PERIOD);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !all.is_empty() {
        looks.tick().await;
        let now = gauge.sessions() as u64;
        most = now.max(most);
        for Titled { ruby, head } in &all {
            let sessions = [now, most, ruby.attended()];
            let [now, most, total] = sessions;
            let text = format!("{head} - {now}/{most}/{total} cur/max/tot conns");
            ruby.entitle(Title { sessions, text });
        }
    }
}

fn titled(ruby: Arc<Ruby>, scripts: &Scripts, addresses: &[(Arc<str>, String)]) -> Titled {
    let name = ruby.source().path.file_stem().unwrap_or_default().to_string_lossy();
    let mut head = format!("proxymachine 1.2.4 - {name}");
    let listeners = script::ruby::listeners_of(scripts, &ruby);
    for (_, address) in addresses.iter().filter(|(name, _)| listeners.contains(&&**name)) {
        head += " ";
        head += address;
    }
    Titled { ruby, head }
}
