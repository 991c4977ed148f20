//! Workers with the Ruby of this machine.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use engine::journal::{Entry, Level, Notice};
use script::ruby::{Answer, Ask, Decided, Source, Unanswered};
use wire::ruby::Kind;

use super::*;

/// Longest wait for whatever must come.
const DEADLINE: Duration = Duration::from_secs(60);

/// A file that runs, of its own for each test.
struct Rig {
    path: PathBuf,
    ruby: Arc<Ruby>,
    rubies: Rubies,
    entries: mpsc::Receiver<Entry>,
}

impl Rig {
    fn new(text: &str, deadline: Duration, strict: bool) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("replug-ruby-{}-{number}.rb", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).expect("a file can be written");
        let ruby = Arc::new(Ruby::new(Source {
            path: path.clone(),
            text: "".into(),
            workers: NonZeroU32::MIN,
            deadline,
            strict,
        }));
        let wants = Wants { level: Level::Debug, ..Wants::QUIET };
        let (journal, entries) = journal(wants);
        Self { path, ruby, rubies: Rubies::new(journal), entries }
    }

    /// A file that must load.
    async fn start(text: &str) -> Self {
        Self::start_as(text, DEADLINE, false).await
    }

    async fn start_as(text: &str, deadline: Duration, strict: bool) -> Self {
        let mut rig = Self::new(text, deadline, strict);
        rig.rubies.add(&[Arc::clone(&rig.ruby)]).await.expect("the file is loaded");
        rig
    }

    async fn ask(&self, ask: Ask) -> Answer {
        timeout(DEADLINE, self.ruby.ask(1, ask)).await.expect("there is an answer")
    }

    async fn route(&self, data: &[u8]) -> Decided {
        match self.ask(route(data)).await {
            Answer::Decided(decided) => decided,
            other => panic!("{other:?}"),
        }
    }

    /// What becomes of `data`, in few words.
    async fn shown(&self, data: &[u8]) -> String {
        let Decided { kind, remotes, data, text, .. } = self.route(data).await;
        let text = String::from_utf8_lossy(&text);
        let data = data.map(|data| String::from_utf8_lossy(&data).into_owned()).unwrap_or_default();
        let shown = format!("{kind:?} {} {data} {text}", remotes.join(","));
        shown.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Waits until the log has a line with `wanted` in it.
    fn told(&self, wanted: &str) {
        loop {
            let entry = self.entries.recv_timeout(DEADLINE).expect(wanted);
            if let Entry::Notice(Notice::Remark { text, .. } | Notice::ScriptSays { text, .. }) =
                entry
                && text.contains(wanted)
            {
                return;
            }
        }
    }

    async fn end(mut self) {
        self.rubies.end().await;
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn route(data: &[u8]) -> Ask {
    Ask::Route { client: "10.0.0.1:7".into(), server: "[::1]:80".into(), data: data.into() }
}

#[tokio::test]
async fn blocks_decide_and_fail_one_by_one() {
    let rig = Rig::start(
        r##"
        require 'proxymachine'
        @seen = Hash.new(0)
        proxy do |data, conn|
          @seen[data] += 1
          return { :remote => "#{conn.client_ip}:#{conn.client_port}" } if data == 'from'
          return { :remote => conn.server } if data == 'to'
          case data
          when 'twice' then { :remote => "a:#{@seen[data]}" }
          when 'all' then { :remote => '::1:80', :data => data * 2, :reply => "ok", :connect_timeout => '0.5' }
          when 'list' then { :remote => %w[a:1 b:2] }
          when 'close' then { :close => 42 }
          when 'end' then { :close => true }
          when 'false' then { :close => false, :noop => true }
          when 'strange' then { 'remote' => 'a:1' }
          when 'raise' then raise ArgumentError, 'bad'
          when 'number' then 7
          when 'throw' then throw :out
          when 'break' then break nil
          when 'port' then { :remote => 'localhost' }
          end
        end
        "##,
    )
    .await;
    for (data, expected) in [
        ("from", "Go 10.0.0.1:7"),
        ("to", "Go [::1]:80"),
        ("twice", "Go a:1"),
        ("twice", "Go a:2"),
        ("all", "Go [::1]:80 allall"),
        ("list", "Go a:1,b:2"),
        ("close", "Close 42"),
        ("end", "Close"),
        ("false", "Wait"),
        ("strange", "Close"),
        ("other", "Wait"),
        ("break", "Wait"),
        ("port", "Failed Replug::Unusable - the remote \"localhost\" has no port"),
        ("number", "Failed Replug::Unusable - the block has returned 7 instead of a Hash"),
    ] {
        assert_eq!(rig.shown(data.as_bytes()).await, expected, "{data}");
    }
    assert!(rig.shown(b"raise").await.starts_with("Failed ArgumentError - bad ("));
    assert!(rig.shown(b"throw").await.starts_with("Failed UncaughtThrowError"));
    let all = rig.route(b"all").await;
    assert_eq!(all.connect_timeout, Some(Duration::from_millis(500)));
    assert_eq!((all.inactivity_timeout, &*all.reply), (None, &b"ok"[..]));
    rig.end().await;
}

#[tokio::test]
async fn callbacks_filters_and_lines_are_heard() {
    let rig = Rig::start(
        r##"
        proxy { { :remote => 'a:1' } }
        proxy_connect_error { |remote| LOGGER.warn "lost #{remote}"; puts 'plain'; 7 }
        proxy_inactivity_error { |remote| { :close => "late #{remote}" } }
        proxyfilter { |data| data.upcase }
        "##,
    )
    .await;
    let blocks = rig.ruby.blocks();
    assert!(blocks.routes() && blocks.hears_connect_errors() && blocks.filters());
    let Answer::Decided(done) = rig.ask(Ask::ConnectError("a:1".into())).await else {
        panic!("a decision");
    };
    assert_eq!(done.kind, Kind::Done);
    let Answer::Decided(close) = rig.ask(Ask::Inactivity("b:2".into())).await else {
        panic!("a decision");
    };
    assert_eq!((close.kind, &*close.text), (Kind::Close, &b"late b:2"[..]));
    let all: Vec<u8> = (0..=u8::MAX).collect();
    let filtered = rig.ask(Ask::Filter(all.clone().into())).await;
    assert_eq!(filtered, Answer::Filtered(all.to_ascii_uppercase().into()));
    rig.told("lost a:1");
    rig.told("plain");
    rig.end().await;
}

#[tokio::test]
async fn a_worker_that_dies_is_replaced_and_its_question_put_once_more() {
    let rig = Rig::start(
        r##"
        proxy do |data|
          Process.kill(:KILL, $$) if data == 'always'
          if data == 'once' && !File.exist?(__FILE__ + '.seen')
            File.write(__FILE__ + '.seen', '')
            Process.kill(:KILL, $$)
          end
          exit(3) if data == 'exit'
          { :remote => "#{data}:1" }
        end
        "##,
    )
    .await;
    assert_eq!(rig.shown(b"once").await, "Go once:1");
    std::fs::remove_file(format!("{}.seen", rig.path.display())).expect("it died once");
    assert_eq!(rig.ask(route(b"always")).await, Answer::None(Unanswered::Ended));
    assert!(rig.shown(b"exit").await.starts_with("Failed SystemExit - exit"));
    assert_eq!(rig.shown(b"next").await, "Go next:1");
    rig.told("has ended (signal: 9 (SIGKILL))");
    rig.end().await;
}

#[tokio::test]
async fn a_worker_that_hangs_is_killed_and_others_are_answered() {
    let deadline = Duration::from_millis(300);
    let text = "proxy { |data| loop {} if data == 'hang'; { :remote => 'a:1' } }";
    let rig = Rig::start_as(text, deadline, false).await;
    let (late, fine) = tokio::join!(rig.ask(route(b"hang")), rig.ask(route(b"fine")));
    assert_eq!(late, Answer::None(Unanswered::Late(deadline)));
    assert!(matches!(fine, Answer::Decided(Decided { kind: Kind::Go, .. })));
    rig.told("it did not answer in time");
    rig.end().await;
}

#[tokio::test]
async fn what_cannot_be_loaded_says_why() {
    for (text, wanted) in [
        ("proxy { |data", "SyntaxError"),
        ("raise 'no'", "RuntimeError: no"),
        ("exit 7", "exit(7)"),
        ("exit!", "has ended (exit status: 1)"),
        ("1", "it has no `proxy` block"),
        ("require 'no/such/file'", "LoadError"),
    ] {
        let mut rig = Rig::new(text, DEADLINE, false);
        let why = rig.rubies.add(&[Arc::clone(&rig.ruby)]).await.expect_err(text);
        assert!(why.to_string().contains(wanted), "{text}: {why}");
    }
}

#[tokio::test]
async fn strict_is_as_it_was() {
    let text = "proxy { |data| return { :remote => 'a:1' } if data == 'x'; next nil if data == 'n'
        proxy_connect_error { { :remote => 'b:1' } }; { :noop => true } }
        proxy_connect_error { { :remote => 'b:1' } }";
    let rig = Rig::start_as(text, DEADLINE, true).await;
    assert!(rig.shown(b"x").await.starts_with("Failed LocalJumpError"));
    assert!(rig.shown(b"n").await.starts_with("Failed"));
    assert_eq!(rig.shown(b"w").await, "Wait");
    let Answer::Decided(done) = rig.ask(Ask::ConnectError("a:1".into())).await else {
        panic!("a decision");
    };
    assert_eq!(done.kind, Kind::Done);
    rig.end().await;
}
