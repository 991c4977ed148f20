//! Names against a name server of our own.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};

use engine::journal::{self, Entry, Level, Wants};
use tokio::sync::mpsc as events;

use super::*;

/// Longest wait for anything to happen.
const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn answers_are_posted_and_followed() {
    let mut rig = Rig::start("follow");
    rig.server.say(Say::Answer(&[1, 2], 0));
    let _names = rig.follow("db.example");
    assert_eq!(rig.next().await, "posted 10.0.0.1 10.0.0.2");
    // A TTL of 0 counts as one second, so the changed answer comes by itself.
    rig.server.say(Say::Answer(&[3], 1));
    rig.until("posted 10.0.0.3").await;
    assert_eq!(rig.told(), "db.example is at 10.0.0.1 10.0.0.2");
    assert_eq!(rig.told(), "db.example is at 10.0.0.3");
}

#[tokio::test]
async fn a_failing_server_is_told_once_and_its_last_answer_stays() {
    let mut rig = Rig::start("servfail");
    rig.server.say(Say::Answer(&[1], 1));
    let names = rig.follow("db.example");
    assert_eq!(rig.next().await, "posted 10.0.0.1");
    rig.server.say(Say::ServerFailure);
    rig.until("failed").await;
    rig.until("failed").await;
    rig.server.say(Say::Answer(&[1], 300));
    rig.until("posted 10.0.0.1").await;
    assert_eq!(rig.told(), "db.example is at 10.0.0.1");
    assert_eq!(
        rig.told(),
        "db.example could not be resolved again, the last answer stays: \
         the name server answers Server Failure"
    );
    assert_eq!(rig.told(), "db.example is at 10.0.0.1");
    // An operator need not wait for the 300 seconds.
    rig.server.say(Say::Answer(&[9], 300));
    names.resolve_again();
    assert_eq!(rig.next().await, "posted 10.0.0.9");
}

#[tokio::test]
async fn what_was_kept_stands_for_files_that_are_not_there() {
    let mut rig = Rig::start("kept");
    rig.server.say(Say::Answer(&[1], 300));
    rig.sources = rig.sources.clone().keep();
    let files = ["hosts", "resolv.conf"].map(|name| rig.directory.join(name));
    files.iter().for_each(|file| fs::remove_file(file).expect("the rig has written it"));
    let _gate = rig.follow("gate.example");
    assert_eq!(rig.next().await, "posted 10.7.0.1");
    let _names = rig.follow("db.example");
    assert_eq!(rig.next().await, "posted 10.0.0.1");
    // A file that is there says more than what was kept.
    fs::write(&files[0], "10.7.0.2 gate.example\n").expect("the directory is ours");
    let _gate = rig.follow("gate.example");
    assert_eq!(rig.next().await, "posted 10.7.0.2");
}

#[tokio::test]
async fn a_silent_server_is_a_failure() {
    let mut rig = Rig::start("silent");
    rig.server.say(Say::Nothing);
    let _names = rig.follow("db.example");
    assert_eq!(rig.next().await, "failed");
    assert_eq!(rig.told(), "db.example could not be resolved: the name servers do not answer");
    rig.server.say(Say::Answer(&[4], 60));
    rig.until("posted 10.0.0.4").await;
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    let mut rig = Rig::start("nxdomain");
    rig.server.say(Say::NoSuchName);
    let _names = rig.follow("db.example");
    assert_eq!(rig.next().await, "failed");
    assert_eq!(rig.told(), "db.example could not be resolved: there is no such name (NXDOMAIN)");
}

#[tokio::test]
async fn without_resolv_conf_hosts_and_localhost_still_work() {
    let mut rig = Rig::start("offline");
    fs::remove_file(rig.directory.join("resolv.conf")).expect("the file is ours");
    let _hosts = rig.follow("gate.example");
    assert_eq!(rig.next().await, "posted 10.7.0.1");
    let _localhost = rig.follow("localhost");
    assert_eq!(rig.next().await, "posted 127.0.0.1 ::1");
    let names = rig.follow("db.example");
    assert_eq!(rig.next().await, "failed");
    let told = [rig.told(), rig.told(), rig.told(), rig.told()];
    assert!(told[2].starts_with("no name server can be asked, only names of "), "{}", told[2]);
    assert!(told[3].starts_with("db.example could not be resolved: no name server"), "{}", told[3]);

    rig.write_resolv_conf();
    rig.server.say(Say::Answer(&[5], 60));
    names.resolve_again();
    assert_eq!(rig.next().await, "posted 10.0.0.5");
}

#[tokio::test]
async fn sessions_get_names_that_nobody_follows() {
    let rig = Rig::start("asked");
    rig.server.say(Say::Answer(&[1, 2], 300));
    let lookups = Lookups::default();
    let mut names = Names::follow::<Board>(&[], rig.sources.clone(), &rig.journal);
    names.answer(&lookups);
    let ask = |host: &'static str| lookups.addresses(host, DEADLINE);
    let expected: Arc<[IpAddr]> = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from).into();
    // Many at once are one look-up, and the answer serves those who come later.
    let (one, other) = tokio::join!(ask("db.example"), ask("DB.example"));
    assert_eq!((one.as_ref(), other.as_ref()), (Ok(&expected), Ok(&expected)));
    rig.server.say(Say::NoSuchName);
    assert_eq!(ask("db.example").await, Ok(expected));
    let told = ask("none.example").await.map_err(|error| error.to_string());
    assert_eq!(told, Err("there is no such name (NXDOMAIN)".to_owned()));
    assert_eq!(ask("gate.example").await, Ok([IpAddr::from([10, 7, 0, 1])].into()));
}

#[tokio::test]
async fn more_names_than_are_looked_up_at_a_time_wait_in_line() {
    let rig = Rig::start("line");
    rig.server.say(Say::Answer(&[1], 300));
    let lookups = Lookups::default();
    let mut names = Names::follow::<Board>(&[], rig.sources.clone(), &rig.journal);
    names.answer(&lookups);
    let mut asking = JoinSet::new();
    for n in 0..300 {
        let lookups = lookups.clone();
        asking
            .spawn(async move { lookups.addresses(&format!("host-{n}.example"), DEADLINE).await });
    }
    let answers = asking.join_all().await;
    assert_eq!(answers.len(), 300);
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|found| found.len() == 1)));
}

#[test]
fn rests_grow_up_to_their_limit() {
    let rests: Vec<u64> = [1, 2, 3, 5, 6, 7, u32::MAX].map(rest_after).map(|d| d.as_secs()).into();
    assert_eq!(rests, [1, 2, 4, 16, 30, 30, 30]);
}

/// A name server, the files that lead to it, and what came of following a name.
struct Rig {
    server: Server,
    sources: Sources,
    directory: PathBuf,
    journal: Journal,
    entries: mpsc::Receiver<Entry>,
    posts: events::UnboundedSender<String>,
    posted: events::UnboundedReceiver<String>,
}

impl Rig {
    fn start(name: &str) -> Self {
        let server = Server::start();
        let directory =
            std::env::temp_dir().join(format!("replug-names-{name}-{}", std::process::id()));
        fs::create_dir(&directory).expect("a new directory");
        let sources = Sources {
            resolv_conf: directory.join("resolv.conf").into(),
            hosts: directory.join("hosts").into(),
            port: server.port,
        };
        fs::write(directory.join("hosts"), "10.7.0.1 gate.example\n").expect("a new file");
        let (journal, entries) = journal::journal(Wants { level: Level::Debug, ..Wants::QUIET });
        let (posts, posted) = events::unbounded_channel();
        let rig = Self { server, sources, directory, journal, entries, posts, posted };
        rig.write_resolv_conf();
        rig
    }

    fn write_resolv_conf(&self) {
        let text = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
        fs::write(self.directory.join("resolv.conf"), text).expect("the directory is ours");
    }

    fn follow(&self, host: &str) -> Names {
        let board = Arc::new(Board {
            host: host.to_owned(),
            last: Mutex::default(),
            posts: self.posts.clone(),
        });
        Names::follow(&[board], self.sources.clone(), &self.journal)
    }

    async fn next(&mut self) -> String {
        let next = timeout(DEADLINE, self.posted.recv()).await;
        next.expect("an event within DEADLINE").expect("the rig holds a sender")
    }

    async fn until(&mut self, expected: &str) {
        while self.next().await != expected {}
    }

    /// The next notice.
    fn told(&self) -> String {
        match self.entries.recv_timeout(DEADLINE) {
            Ok(Entry::Notice(notice)) => notice.to_string(),
            other => panic!("a notice should come, not {other:?}"),
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Tells what is posted.
struct Board {
    host: String,
    last: Mutex<Vec<IpAddr>>,
    posts: events::UnboundedSender<String>,
}

impl Listing for Board {
    fn host(&self) -> &str {
        &self.host
    }

    fn post(&self, addresses: Vec<IpAddr>) -> bool {
        let shown: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
        let _ = self.posts.send(format!("posted {}", shown.join(" ")));
        let mut last = self.last.lock().unwrap();
        std::mem::replace(&mut *last, addresses.clone()) != addresses
    }

    fn fail(&self) -> bool {
        let _ = self.posts.send("failed".to_owned());
        !self.last.lock().unwrap().is_empty()
    }
}

/// What the name server does with a question.
#[derive(Clone, Copy)]
enum Say {
    /// 10.0.0.x for each x, with this TTL; nothing for IPv6.
    Answer(&'static [u8], u32),
    ServerFailure,
    NoSuchName,
    Nothing,
}

/// A name server on a thread that ends with the datagram `end`.
struct Server {
    port: u16,
    say: Arc<Mutex<Say>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = socket.local_addr().expect("it is bound").port();
        let say = Arc::new(Mutex::new(Say::Nothing));
        let script = Arc::clone(&say);
        let thread = std::thread::spawn(move || {
            let mut question = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut question).expect("a datagram");
                if &question[..length] == b"end" {
                    return;
                }
                let say = *script.lock().unwrap();
                if let Some(reply) = reply(&question[..length], say) {
                    socket.send_to(&reply, from).expect("loopback takes it");
                }
            }
        });
        Self { port, say, thread: Some(thread) }
    }

    fn say(&self, say: Say) {
        *self.say.lock().unwrap() = say;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.send_to(b"end", (Ipv4Addr::LOCALHOST, self.port)).expect("loopback takes it");
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends well");
        }
    }
}

/// The reply to a question (RFC 1035 section 4.1), or none.
fn reply(question: &[u8], say: Say) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let name_end = HEADER + question[HEADER..].iter().position(|&byte| byte == 0)?;
    let end = name_end + 5;
    let is_a = question[name_end + 1..name_end + 3] == [0, 1];
    let (code, hosts, ttl) = match say {
        Say::Nothing => return None,
        Say::ServerFailure => (2, &[][..], 0),
        Say::NoSuchName => (3, &[][..], 0),
        Say::Answer(hosts, ttl) if is_a => (0, hosts, ttl),
        Say::Answer(..) => (0, &[][..], 0),
    };
    let count = u8::try_from(hosts.len()).expect("a short list");
    let mut reply = question[..2].to_vec();
    // Response, recursion desired and available; one question, `count` answers.
    reply.extend([0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    reply.extend(&question[HEADER..end]);
    for host in hosts {
        // The name of the question, type A, class IN, TTL, four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, 4, 10, 0, 0, *host]);
    }
    Some(reply)
}
