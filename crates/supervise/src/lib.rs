//! Supervises every task and thread, so that no panic goes unnoticed: it is logged with the name of the task or thread, which is then
//! restarted, or the daemon ends.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::disallowed_methods
    )
)]
#![warn(clippy::disallowed_methods)]

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;

/// What to do after a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPanic {
    /// Restart it after a short pause: it keeps no state of its own that a restart would lose.
    Restart,
    /// End the daemon with exit code 1, because its work may be incomplete.
    EndDaemon,
}

/// A task or thread that runs as long as the daemon.
#[derive(Debug)]
pub struct Duty {
    /// Its name in the log.
    pub name: &'static str,
    /// What to do if it panics.
    pub on_panic: OnPanic,
}

impl Duty {
    /// A duty that is restarted after a panic.
    pub const fn restarted(name: &'static str) -> Duty {
        Duty { name, on_panic: OnPanic::Restart }
    }

    /// A duty whose panic ends the daemon.
    pub const fn vital(name: &'static str) -> Duty {
        Duty { name, on_panic: OnPanic::EndDaemon }
    }
}

/// Pause before a restart, so that a task that panics at once each time does not fill the log.
const PAUSE: Duration = Duration::from_millis(500);

/// A panic's message.
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Wraps a future and returns its panic as an error.
#[derive(Debug)]
pub struct Caught<F>(pub F);

impl<F: Future + Unpin> Future for Caught<F> {
    type Output = std::thread::Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // It is not polled again after a panic, and what it shares with others is consistent between any two steps.
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

/// Runs a duty for as long as the daemon runs; after a panic, `make` creates it again.
pub fn task<F>(duty: &'static Duty, make: impl Fn() -> F + Send + Sync + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "supervised here")]
    tokio::spawn(async move {
        loop {
            let running = std::pin::pin!(async {
                fail_point(duty.name);
                make().await;
            });
            let Err(panic) = Caught(running).await else { return };
            tracing::error!("{} panicked: {}; this is a bug; restarting it", duty.name, panic_message(&*panic));
            tokio::time::sleep(PAUSE).await;
        }
    })
}

/// Runs a task that may end at any time; a panic in it is only logged.
pub fn brief(name: &'static str, future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    #[expect(clippy::disallowed_methods, reason = "supervised here")]
    tokio::spawn(async move {
        if let Err(panic) = Caught(std::pin::pin!(future)).await {
            tracing::error!("{name} panicked: {}; this is a bug", panic_message(&*panic));
        }
    })
}

/// Runs something that blocks. A panic in it becomes a panic of the caller, which is supervised itself.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is shutting down, because the daemon ends.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Starts a thread. The [hook](log_panics) logs a panic in it with its name; whoever joins the thread decides what follows.
///
/// # Errors
/// The thread can't be created.
pub fn thread<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<T>> {
    #[expect(clippy::disallowed_methods, reason = "supervised here")]
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Sends every panic to the log, with its thread and place.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        let what = panic_message(info.payload());
        tracing::error!(
            thread = thread.name().unwrap_or("unnamed"),
            place,
            "panicked: {what}; this is a bug{backtrace}"
        );
    }));
}

/// In debug builds, panics once if `$DANTOK_TEST_PANIC` is this name, so that tests can check what follows. Release builds do not
/// contain this.
#[cfg(debug_assertions)]
pub fn fail_point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    static WANTED: OnceLock<Option<String>> = OnceLock::new();
    static DONE: AtomicBool = AtomicBool::new(false);
    let wanted = WANTED.get_or_init(|| std::env::var("DANTOK_TEST_PANIC").ok());
    if wanted.as_deref() == Some(name) && !DONE.swap(true, Ordering::Relaxed) {
        #[expect(clippy::panic, reason = "the test asks for it")]
        {
            panic!("{name} was told to panic by DANTOK_TEST_PANIC");
        }
    }
}

/// Does nothing in a release build.
#[cfg(not(debug_assertions))]
pub fn fail_point(_name: &str) {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_died_begins_again_until_it_ends_by_itself() {
        static TRIED: Duty = Duty::restarted("tried");
        static STARTS: AtomicUsize = AtomicUsize::new(0);
        let running = task(&TRIED, || async {
            tokio::task::yield_now().await;
            if STARTS.fetch_add(1, Ordering::Relaxed) < 2 {
                blocking(|| panic!("deep down")).await
            }
        });
        running.await.unwrap();
        assert_eq!(STARTS.load(Ordering::Relaxed), 3);
    }
}
