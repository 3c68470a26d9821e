//! The full screen: the loop that joins the terminal, the daemon and the outbox.

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
use crate::net::{self, Heard};
use dantok_client::outbox::{Outbox, Waiting};

/// What is taken between two pictures.
const BATCH: usize = 512;
/// How long the end waits for messages that are on their way.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Gives the terminal back as it was, however this ends.
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

/// Takes the terminal.
fn take_terminal() -> io::Result<(DefaultTerminal, Restore)> {
    let terminal = ratatui::try_init()?;
    let restore_it = Restore;
    // A panic of a task would leave a screen that nobody serves: the outbox is on disk, so this is the end of all.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore();
        report(info);
        std::process::exit(101);
    }));
    execute!(io::stdout(), EnableBracketedPaste)?;
    Ok((terminal, restore_it))
}

/// Reads the terminal on a thread: a read can't be stopped.
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

/// What is not the picture.
struct Works {
    outbox: Outbox,
    client: Option<Arc<Client>>,
    feed: Option<Feed>,
    /// Asked for while there was no client.
    held: Vec<Ask>,
    /// To the task that sends.
    typed: mpsc::UnboundedSender<Waiting>,
    unsent: Option<mpsc::UnboundedReceiver<Waiting>>,
    ears: net::Ears,
}

impl Works {
    fn ready(&mut self, client: Arc<Client>) {
        self.feed = Some(client.feed());
        if let Some(unsent) = self.unsent.take() {
            tokio::spawn(net::deliver(client.clone(), unsent, self.ears.clone()));
        }
        for ask in std::mem::take(&mut self.held) {
            net::ask(&client, ask, &self.ears);
        }
        self.client = Some(client);
    }

    /// Takes what the feed tells.
    fn news(&mut self, app: &mut App, news: News) {
        if let (News::Restored(epoch), Some(client)) = (&news, &self.client) {
            // From here on all that is asked is about the restored rooms.
            client.adopt(epoch);
        }
        app.news(news);
        self.serve(app);
    }

    /// Whether seqs of this epoch are of before the rooms were restored.
    fn is_past(&self, epoch: &str) -> bool {
        self.client.as_ref().is_some_and(|client| *client.epoch() != *epoch)
    }

    /// Does what the picture asks for.
    fn serve(&mut self, app: &mut App) {
        let mut done = Vec::new();
        for ask in std::mem::take(&mut app.asks) {
            match (ask, &self.feed, &self.client) {
                (Ask::Done(id), ..) => done.push(id),
                (Ask::Send(room, text, reply), ..) => self.send(app, &room, &text, reply),
                (Ask::Follow(room, after), Some(feed), _) => feed.follow(&room, Some(after)),
                (Ask::Unfollow(room), Some(feed), _) => feed.unfollow(&room),
                (ask, _, Some(client)) => net::ask(client, ask, &self.ears),
                (ask, ..) => self.held.push(ask),
            }
        }
        if !done.is_empty()
            && let Err(error) = self.outbox.done(&done)
        {
            app.notice = Some(format!("the outbox: {error}"));
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
                // Back to the keyboard: it would be lost with this process.
                app.input.older();
                app.notice = Some(format!("this is not sent, the outbox can't keep it: {error}"));
            }
        }
    }
}

/// Shows the rooms until one has enough. Returns how many messages wait for the next time.
pub async fn run(options: Options, rooms: Vec<String>, outbox: Outbox) -> Outcome<usize> {
    let (ears, mut heard) = mpsc::unbounded_channel();
    let (typed, unsent) = mpsc::unbounded_channel();
    for waiting in outbox.waiting() {
        typed.send(waiting.clone())?;
    }
    let mut app = App::new(&options.client, &options.address, TimeZone::system(), &rooms, outbox.waiting());
    net::connect(options, rooms, ears.clone());
    let mut works = Works { outbox, client: None, feed: None, held: Vec::new(), typed, unsent: Some(unsent), ears };

    let mut term = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (mut terminal, _restore) = take_terminal()?;
    let mut terminal_events = read_terminal();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut quit_at: Option<Instant> = None;
    loop {
        picture(&mut app, &mut works, &mut terminal)?;
        if app.quit {
            let at = *quit_at.get_or_insert_with(|| Instant::now() + LAST_ANSWERS);
            if app.waiting() == 0 || !app.is_up() || Instant::now() >= at {
                return Ok(works.outbox.waiting().len());
            }
        }
        tokio::select! {
            first = terminal_events.recv() => {
                let Some(first) = first else { return Ok(works.outbox.waiting().len()) };
                let mut next = Some(first);
                while let Some(key) = next {
                    keys::event(&mut app, key?);
                    // What a key does may depend on what the one before it asked for.
                    works.serve(&mut app);
                    next = terminal_events.try_recv().ok();
                }
            }
            told = news(&mut works.feed) => {
                works.news(&mut app, told.ok_or(Error::Closed)??);
                for _ in 1..BATCH {
                    let Some(Some(told)) = news(&mut works.feed).now_or_never() else { break };
                    works.news(&mut app, told?);
                }
            }
            Some(first) = heard.recv() => {
                let mut next = Some(first);
                while let Some(one) = next {
                    match one {
                        Heard::Ready(client) => works.ready(client),
                        Heard::Told(told, epoch) => match works.is_past(&epoch) {
                            true => app.told_late(told),
                            false => app.told(told),
                        },
                        Heard::Failed(error) => return Err(error.into()),
                    }
                    next = heard.try_recv().ok();
                }
            }
            _ = second.tick() => app.tick(),
            _ = term.recv() => return Ok(works.outbox.waiting().len()),
            _ = hangup.recv() => return Ok(works.outbox.waiting().len()),
        }
    }
}

fn picture(app: &mut App, works: &mut Works, terminal: &mut DefaultTerminal) -> io::Result<()> {
    let area = message_area(terminal.size()?.into());
    let (zone, own) = (app.zone.clone(), app.own.clone());
    if let Some(room) = app.room_mut() {
        room.look(usize::from(area.width), usize::from(area.height), &zone, &own);
    }
    app.tend();
    works.serve(app);
    // Half of a picture is not shown, where the terminal knows how to wait for the other half.
    execute!(io::stdout(), BeginSynchronizedUpdate)?;
    terminal.draw(|frame| draw(app, frame))?;
    execute!(io::stdout(), EndSynchronizedUpdate)
}
