//! Pings the service manager while all shards respond, and only then.
//!
//! A manager that misses the pings ends the service and starts it anew: the one
//! cure for a shard that hangs.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Calls `ping` whenever `respond` has resolved, period after period, for ever. Tells by `hangs` when it
/// does not within a period, once until it does.
pub(crate) async fn keep<R: Future<Output = ()>>(
    period: Duration,
    respond: impl Fn() -> R,
    ping: impl Fn(),
    hangs: impl Fn(),
) {
    loop {
        let mut response = pin!(respond());
        if timeout(period, response.as_mut()).await.is_err() {
            hangs();
            response.await;
        }
        ping();
        sleep(period).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use tokio::sync::watch;
    use tokio::time::Instant;

    const PERIOD: Duration = Duration::from_secs(10);

    /// Time stands still but for what the test waits for, so these seconds take none.
    #[tokio::test(start_paused = true)]
    async fn pings_stop_while_a_shard_hangs() {
        let (hang, mut hung) = watch::channel(false);
        hung.mark_changed();
        let (begin, told) = (Instant::now(), Cell::new(0));
        let pings = RefCell::new(Vec::new());
        let respond = || {
            let mut hung = hung.clone();
            async move { drop(hung.wait_for(|hung| !hung).await) }
        };
        let kept = keep(
            PERIOD,
            respond,
            || pings.borrow_mut().push(begin.elapsed().as_secs()),
            || told.set(told.get() + 1),
        );
        let script = async {
            sleep(Duration::from_secs(25)).await;
            assert_eq!(*pings.borrow(), [0, 10, 20]);
            hang.send_replace(true);
            sleep(Duration::from_secs(100)).await;
            assert_eq!(*pings.borrow(), [0, 10, 20], "a shard hangs");
            assert_eq!(told.get(), 1, "it is told once");
            hang.send_replace(false);
            sleep(Duration::from_secs(1)).await;
            assert_eq!(pings.borrow().len(), 4, "it turns again");
            sleep(2 * PERIOD).await;
            assert_eq!((pings.borrow().len(), told.get()), (6, 1));
        };
        tokio::select! {
            () = script => {}
            () = kept => unreachable!("it goes on for ever"),
        }
    }
}
