//! The full screen: the loop that connects the terminal, the daemon and the outbox.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event};
use crossterm::execute;
use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use dantok_client::{Client, Error, Feed, News, Options};
use futures_util::FutureExt;
use jiff::tz::TimeZone;
use ratatui::DefaultTerminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::Outcome;
use crate::app::App;
use crate::ask::Ask;
use crate::draw::{draw, message_area};
use crate::keys;
use crate::net::{self, Report};
use dantok_client::outbox::{Outbox, Waiting};

/// News handled between two redraws.
const BATCH: usize = 512;
/// How long quitting waits for messages in flight.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Restores the terminal however the program ends.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    let _ = execute!(io::stdout(), DisableBracketedPaste);
    ratatui::restore();
}

/// Switches the terminal to the full screen.
fn take_terminal() -> io::Result<(DefaultTerminal, Restore)> {
    let terminal = ratatui::try_init()?;
    let restore_it = Restore;
    // After a panic in a task, nothing would update the screen any more. The outbox is on disk, so it is safe to exit.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore();
        report(info);
        std::process::exit(101);
    }));
    execute!(io::stdout(), EnableBracketedPaste)?;
    Ok((terminal, restore_it))
}

/// Reads the terminal in a thread, because a read can't be cancelled.
fn read_terminal() -> mpsc::Receiver<io::Result<Event>> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        loop {
            let read = event::read();
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

async fn news(feed: &mut Option<Feed>) -> Option<Result<News, Error>> {
    match feed {
        Some(feed) => feed.next().await,
        None => std::future::pending().await,
    }
}

/// Everything that does I/O.
struct Backend {
    outbox: Outbox,
    client: Option<Arc<Client>>,
    feed: Option<Feed>,
    /// Requests made while there was no client.
    held: Vec<Ask>,
    /// Messages for the task that sends them.
    typed: mpsc::UnboundedSender<Waiting>,
    unsent: Option<mpsc::UnboundedReceiver<Waiting>>,
    reports: net::Reports,
}

impl Backend {
    fn ready(&mut self, client: Arc<Client>) {
        self.feed = Some(client.feed());
        if let Some(unsent) = self.unsent.take() {
            tokio::spawn(net::deliver(client.clone(), unsent, self.reports.clone()));
        }
        for ask in std::mem::take(&mut self.held) {
            net::ask(&client, ask, &self.reports);
        }
        self.client = Some(client);
    }

    /// Handles news from the feed.
    fn news(&mut self, app: &mut App, news: News) {
        if let (News::Restored(epoch), Some(client)) = (&news, &self.client) {
            // From now on, all requests are about the restored rooms.
            client.adopt(epoch);
        }
        app.news(news);
        self.serve(app);
    }

    /// Whether this epoch is from before the rooms were restored.
    fn is_past(&self, epoch: &str) -> bool {
        self.client.as_ref().is_some_and(|client| *client.epoch() != *epoch)
    }

    /// Carries out the state's requests.
    fn serve(&mut self, app: &mut App) {
        let mut done = Vec::new();
        for ask in std::mem::take(&mut app.asks) {
            match (ask, &self.feed, &self.client) {
                (Ask::Done(id), ..) => done.push(id),
                (Ask::Send(room, text, reply), ..) => self.send(app, &room, &text, reply),
                (Ask::Follow(room, after), Some(feed), _) => feed.follow(&room, Some(after)),
                (Ask::Unfollow(room), Some(feed), _) => feed.unfollow(&room),
                (ask, _, Some(client)) => net::ask(client, ask, &self.reports),
                (ask, ..) => self.held.push(ask),
            }
        }
        if !done.is_empty()
            && let Err(error) = self.outbox.done(&done)
        {
            app.notice = Some(format!("can't update the outbox: {error}"));
        }
    }

    fn send(&mut self, app: &mut App, room: &str, text: &str, reply: Option<u64>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch = self.client.as_ref().map(|client| client.epoch().to_string());
        match self.outbox.keep(room, text, reply, epoch, u64::try_from(now.as_millis()).unwrap_or(0)) {
            Ok(waiting) => {
                app.wait(waiting.clone());
                if let Some(room) = app.room_mut() {
                    room.new_after = None;
                    room.go_to_end();
                }
                let _ = self.typed.send(waiting);
            }
            Err(error) => {
                // Put the text back into the input line, or it would be lost.
                app.input.older();
                app.notice = Some(format!("not sent, because the outbox can't be written: {error}"));
            }
        }
    }
}

/// Runs the full screen until the person quits. Returns how many messages are still unsent.
pub async fn run(options: Options, rooms: Vec<String>, outbox: Outbox) -> Outcome<usize> {
    let (reports, mut incoming) = mpsc::unbounded_channel();
    let (typed, unsent) = mpsc::unbounded_channel();
    for waiting in outbox.waiting() {
        typed.send(waiting.clone())?;
    }
    let mut app = App::new(&options.client, &options.address, TimeZone::system(), &rooms, outbox.waiting());
    net::connect(options, rooms, reports.clone());
    let mut backend =
        Backend { outbox, client: None, feed: None, held: Vec::new(), typed, unsent: Some(unsent), reports };

    let mut term = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (mut terminal, _restore) = take_terminal()?;
    let mut terminal_events = read_terminal();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut quit_at: Option<Instant> = None;
    loop {
        picture(&mut app, &mut backend, &mut terminal)?;
        if app.quit {
            let at = *quit_at.get_or_insert_with(|| Instant::now() + LAST_ANSWERS);
            if app.waiting() == 0 || !app.is_up() || Instant::now() >= at {
                return Ok(backend.outbox.waiting().len());
            }
        }
        tokio::select! {
            first = terminal_events.recv() => {
                let Some(first) = first else { return Ok(backend.outbox.waiting().len()) };
                let mut next = Some(first);
                while let Some(key) = next {
                    keys::event(&mut app, key?);
                    // What a key does may depend on the requests of the one before.
                    backend.serve(&mut app);
                    next = terminal_events.try_recv().ok();
                }
            }
            told = news(&mut backend.feed) => {
                backend.news(&mut app, told.ok_or(Error::Closed)??);
                for _ in 1..BATCH {
                    let Some(Some(told)) = news(&mut backend.feed).now_or_never() else { break };
                    backend.news(&mut app, told?);
                }
            }
            Some(first) = incoming.recv() => {
                let mut next = Some(first);
                while let Some(one) = next {
                    match one {
                        Report::Ready(client) => backend.ready(client),
                        Report::Told(told, epoch) => match backend.is_past(&epoch) {
                            true => app.told_late(told),
                            false => app.told(told),
                        },
                        Report::Failed(error) => return Err(error.into()),
                    }
                    next = incoming.try_recv().ok();
                }
            }
            _ = second.tick() => app.tick(),
            _ = term.recv() => return Ok(backend.outbox.waiting().len()),
            _ = hangup.recv() => return Ok(backend.outbox.waiting().len()),
        }
    }
}

fn picture(app: &mut App, backend: &mut Backend, terminal: &mut DefaultTerminal) -> io::Result<()> {
    let area = message_area(terminal.size()?.into());
    let (zone, own) = (app.zone.clone(), app.own.clone());
    if let Some(room) = app.room_mut() {
        room.look(usize::from(area.width), usize::from(area.height), &zone, &own);
    }
    app.tend();
    backend.serve(app);
    // Terminals that support synchronized updates never show half a redraw.
    execute!(io::stdout(), BeginSynchronizedUpdate)?;
    terminal.draw(|frame| draw(app, frame))?;
    execute!(io::stdout(), EndSynchronizedUpdate)
}
