//! What a plan takes over from the one before it.

use super::*;
use crate::pick::Pick;
use model::{Balance, Spanned, Sticky};

fn now() -> Tick {
    Tick::from_millis(1_000_000)
}

fn config(targets: &[&str], on_removed: OnRemoved) -> Config {
    let backend = |text: &&str| {
        let address = BackendAddress::parse(text, None).expect("a legal target");
        model::Backend::new(Spanned::default_of(address))
    };
    let name = || Spanned::default_of("main".to_owned());
    let sticky = Sticky { ttl: Duration::from_secs(60), ..Sticky::default() };
    Config {
        listeners: vec![model::Listener::new("main", name())],
        pools: vec![model::Pool {
            on_removed,
            sticky: Some(sticky),
            balance: Balance::RoundRobin,
            ..model::Pool::new(name(), targets.iter().map(backend).collect())
        }],
        ..Config::default()
    }
}

fn plan(targets: &[&str], previous: Option<&Plan>) -> Plan {
    Plan::compile(&config(targets, OnRemoved::Keep), previous)
}

fn next(plan: &Plan) -> String {
    let mut pick = Pick::new(&plan.pools[0], None, 1);
    let place = pick.next(now()).expect("a place");
    let label = place.backend().label.to_string();
    let _ = place.keep();
    label
}

#[test]
fn counts_marks_and_turns_go_on_in_the_next_plan() {
    let first = plan(&["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"], None);
    assert_eq!(next(&first), "10.0.0.1:1");
    first.pools[0].backends[2].mark.failed(now(), Duration::from_secs(9));
    let second = plan(&["10.0.0.3:1", "10.0.0.1:1", "10.0.0.4:1"], Some(&first));
    let [third, one, new] = &*second.pools[0].backends else { panic!("three backends") };
    assert_eq!((third.load.sessions(), one.load.sessions(), new.load.sessions()), (0, 1, 0));
    // The second turn: the first is over, and the backend that has it goes on.
    assert_eq!(next(&second), "10.0.0.1:1");
    first.pools[0].backends[0].load.leave();
    assert_eq!(one.load.sessions(), 1, "a session that began before leaves the same count");
    assert_eq!(next(&second), "10.0.0.4:1", "the third is down still");
    assert_eq!(third.mark(Carries::Datagrams).standing(now()), crate::mark::Standing::Up);
}

#[test]
fn clients_stick_to_their_backend_wherever_it_stands_now() {
    let client = std::net::IpAddr::from([192, 0, 2, 1]);
    let first = plan(&["10.0.0.1:1", "10.0.0.2:1"], None);
    let remembered = |plan: &Plan| {
        let number = plan.pools[0].sticky.as_ref()?.recall(client, now())?;
        let index = plan.pools[0].numbered(number)?;
        Some(plan.pools[0].backend(index).label.to_string())
    };
    let second_number = first.pools[0].backends[1].number;
    let memory = first.pools[0].sticky.as_ref().expect("a sticky pool");
    memory.remember(client, second_number, now());
    let moved = plan(&["10.0.0.9:1", "10.0.0.2:1", "10.0.0.1:1"], Some(&first));
    assert_eq!(remembered(&moved).as_deref(), Some("10.0.0.2:1"));
    let gone = plan(&["10.0.0.9:1"], Some(&moved));
    assert_eq!(remembered(&gone), None);
    let other = plan(&["10.0.0.8:1", "10.0.0.9:1", "10.0.0.7:1"], Some(&gone));
    assert_eq!(remembered(&other), None, "a new one never has the number of one that is gone");
}

#[test]
fn the_pool_says_what_becomes_of_sessions_of_removed_backends() {
    let targets = ["10.0.0.1:1", "10.0.0.2:1"];
    let minute = Duration::from_secs(60);
    for (on_removed, ends) in [
        (OnRemoved::Keep, None),
        (OnRemoved::Cut, Some(now())),
        (OnRemoved::Drain(minute), Some(now().after(minute))),
    ] {
        let first = Plan::compile(&config(&targets, on_removed), None);
        let second = plan(&targets[1..], Some(&first));
        assert_eq!(first.retire(&second, now()), ends.into_iter().collect::<Vec<_>>());
        let [gone, stays] = &*first.pools[0].backends else { panic!("two backends") };
        assert!(!stays.load.has_retired(Tick::NEVER));
        assert_eq!(gone.load.has_retired(Tick::NEVER), ends.is_some());
        if let Some(ends) = ends {
            assert!(gone.load.has_retired(ends));
        }
    }
}

#[test]
fn sessions_count_on_against_the_limits_of_the_next_plan() {
    let limited = |sessions, previous: Option<&Plan>| {
        let mut config = config(&["10.0.0.1:1"], OnRemoved::Keep);
        config.listeners[0].limits.sessions = std::num::NonZeroUsize::new(sessions);
        Plan::compile(&config, previous)
    };
    let first = limited(1, None);
    let held = first.listeners[0].gates.enter().expect("free").keep();
    let second = limited(2, Some(&first));
    let gates = &second.listeners[0].gates;
    let another = gates.enter().expect("there are two now");
    assert!(gates.enter().is_none(), "one was taken before");
    first.listeners[0].gates.leave(held, None);
    assert!(gates.enter().is_some());
    drop(another);
}

#[test]
fn whoever_gives_a_place_back_wakes_the_first_who_waits() {
    #[derive(Default)]
    struct Woken(std::sync::atomic::AtomicBool);
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let mut config = config(&["10.0.0.1:1"], OnRemoved::Keep);
    let (length, wait) = (std::num::NonZeroUsize::MIN, Duration::from_secs(1));
    config.pools[0].queue = Some(Spanned::default_of(model::Queue { length, wait }));
    let first = Plan::compile(&config, None);
    let second = Plan::compile(&config, Some(&first));
    let place = Pick::new(&first.pools[0], None, 1).next(now()).expect("a place");
    let turn = second.pools[0].queue.as_ref().and_then(Queue::join).expect("room");
    let woken = Arc::new(Woken::default());
    let waker = std::task::Waker::from(Arc::clone(&woken));
    assert!(turn.poll(&std::task::Context::from_waker(&waker)).is_ready());
    drop(place);
    assert!(woken.0.load(std::sync::atomic::Ordering::SeqCst));
}

#[test]
fn a_program_goes_on_in_the_next_plan_unless_it_changes() {
    let asking = |arguments: &[&str], previous: Option<&Plan>| {
        let mut config = config(&["10.0.0.1:1"], OnRemoved::Keep);
        config.listeners = arguments
            .iter()
            .map(|argument| {
                let exec = vec!["/bin/check".to_owned(), (*argument).to_owned()];
                let authorize = model::Authorize::new(Program::new(exec));
                let authorize = Some(Spanned::default_of(authorize));
                model::Listener { authorize, ..config.listeners[0].clone() }
            })
            .collect();
        Plan::compile(&config, previous)
    };
    let first = asking(&["a", "b", "a"], None);
    assert_eq!(first.authorities.len(), 2);
    let asked = |plan: &Plan, at: usize| {
        let authorize = plan.listeners[at].authorize.as_ref();
        Arc::clone(&authorize.expect("each asks").authority)
    };
    assert!(Arc::ptr_eq(&asked(&first, 0), &asked(&first, 2)));
    let second = asking(&["c", "a"], Some(&first));
    assert!(Arc::ptr_eq(&asked(&second, 1), &asked(&first, 0)));
    assert_eq!(second.authorities.len(), 2);
}

#[test]
fn names_keep_their_answers() {
    let first = plan(&["db.example:1"], None);
    first.names[0].post(vec![[192, 0, 2, 7].into()]);
    let second = plan(&["db.example:2", "web.example:1"], Some(&first));
    assert!(Arc::ptr_eq(&first.names[0], &second.names[0]));
    assert_eq!(second.names.len(), 2);
}
