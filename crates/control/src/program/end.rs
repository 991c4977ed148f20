//! How a child ends: asked, told, or made to.

use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a child may take to end once its standard input has, and again once it was told to.
const END_MAX: Duration = Duration::from_secs(1);

/// How long what a child has said last is waited for once it has ended: what it has started may
/// hold its standard error open.
const LAST_WORDS_MAX: Duration = Duration::from_millis(200);

/// Waits for the end of a process whose streams are closed; helps it, if it takes too long. `None`:
/// the system says nothing of its end.
pub(crate) async fn in_order(process: &mut Child) -> Option<ExitStatus> {
    for help in [Signal::TERM, Signal::KILL] {
        if let Ok(ended) = timeout(END_MAX, process.wait()).await {
            return ended.ok();
        }
        signal(process, help);
    }
    killed(process).await
}

/// Has a process end now.
pub(crate) async fn at_once(process: &mut Child) -> Option<ExitStatus> {
    signal(process, Signal::KILL);
    killed(process).await
}

/// Waits for what `listener` hears of a process that has ended, but not for long.
pub(crate) async fn hear_out(mut listener: JoinHandle<()>) {
    if timeout(LAST_WORDS_MAX, &mut listener).await.is_err() {
        listener.abort();
    }
}

/// Waits for the end of a process that was killed; one that the kernel holds is left behind.
async fn killed(process: &mut Child) -> Option<ExitStatus> {
    timeout(END_MAX, process.wait()).await.ok()?.ok()
}

/// Sends a signal to a child and to what it has started, unless it was waited for already.
fn signal(process: &Child, signal: Signal) {
    let pid = process.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(group) = pid {
        // One that has ended takes none, which is as well.
        let _ = kill_process_group(group, signal);
    }
}
