//! No task and no thread dies unnoticed: whatever the daemon runs beside its connections is started here, and a panic in it is
//! logged with its name and either begins it again or ends the daemon.

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

/// What follows where something died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It begins again, soon: what it does, it does from what is stored, or each time anew.
    BeginsAgain,
    /// The daemon ends with exit code 1: what it has begun can't be known to be whole.
    EndsTheDaemon,
}

/// Something that runs as long as the daemon.
#[derive(Debug)]
pub struct Duty {
    /// What the log calls it.
    pub name: &'static str,
    /// What follows where it died.
    pub then: Then,
}

impl Duty {
    /// Something that begins again where it died.
    pub const fn beginning_again(name: &'static str) -> Duty {
        Duty { name, then: Then::BeginsAgain }
    }

    /// Something that ends the daemon where it died.
    pub const fn ending_the_daemon(name: &'static str) -> Duty {
        Duty { name, then: Then::EndsTheDaemon }
    }
}

/// Before what died begins again: what dies at once each time is not to fill the log.
const PAUSE: Duration = Duration::from_millis(500);

/// What a panic said.
pub fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why")
}

/// A future, and what it panicked with.
#[derive(Debug)]
pub struct Caught<F>(pub F);

impl<F: Future + Unpin> Future for Caught<F> {
    type Output = std::thread::Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // After a panic it is not polled again; and what it shared with others is whole between any two steps.
        match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut self.0).poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

/// Runs a duty for as long as the daemon runs; `make` makes it anew where it died.
pub fn task<F>(duty: &'static Duty, make: impl Fn() -> F + Send + Sync + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "this is where it is looked after")]
    tokio::spawn(async move {
        loop {
            let begun = std::pin::pin!(async {
                fail_point(duty.name);
                make().await;
            });
            let Err(panic) = Caught(begun).await else { return };
            tracing::error!("{} died: {}; this is a bug; it begins again", duty.name, said(&*panic));
            tokio::time::sleep(PAUSE).await;
        }
    })
}

/// Runs something that is soon over.
pub fn brief(name: &'static str, future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    #[expect(clippy::disallowed_methods, reason = "this is where it is looked after")]
    tokio::spawn(async move {
        if let Err(panic) = Caught(std::pin::pin!(future)).await {
            tracing::error!("{name} died: {}; this is a bug", said(&*panic));
        }
    })
}

/// Runs something that blocks. A panic in it is one of the caller, who is looked after.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The daemon ends.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Starts a thread. A panic in it is logged with its name by the [hook](log_panics); what follows is for whoever joins it.
///
/// # Errors
/// What the system says.
pub fn thread<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<T>> {
    #[expect(clippy::disallowed_methods, reason = "this is where it is looked after")]
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Has every panic logged, with its thread and place, as everything else is.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        let what = said(info.payload());
        tracing::error!(
            thread = thread.name().unwrap_or("unnamed"),
            place,
            "panicked: {what}; this is a bug{backtrace}"
        );
    }));
}

/// Panics once where a test of a debug build wants it, by `$DANTOK_TEST_PANIC`, so that what follows can be seen. A release build has
/// nothing of it.
#[cfg(debug_assertions)]
pub fn fail_point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    static WANTED: OnceLock<Option<String>> = OnceLock::new();
    static DONE: AtomicBool = AtomicBool::new(false);
    let wanted = WANTED.get_or_init(|| std::env::var("DANTOK_TEST_PANIC").ok());
    if wanted.as_deref() == Some(name) && !DONE.swap(true, Ordering::Relaxed) {
        #[expect(clippy::panic, reason = "it is what is asked for")]
        {
            panic!("{name} was told to by DANTOK_TEST_PANIC");
        }
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub fn fail_point(_name: &str) {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_died_begins_again_until_it_ends_by_itself() {
        static TRIED: Duty = Duty::beginning_again("tried");
        static BEGUN: AtomicUsize = AtomicUsize::new(0);
        let running = task(&TRIED, || async {
            tokio::task::yield_now().await;
            if BEGUN.fetch_add(1, Ordering::Relaxed) < 2 {
                blocking(|| panic!("deep down")).await
            }
        });
        running.await.unwrap();
        assert_eq!(BEGUN.load(Ordering::Relaxed), 3);
    }
}
