//! Who sends a request, and their session, which outlives it.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use hyper::StatusCode;
use hyper::header::HeaderName;
use subtle::ConstantTimeEq;

use super::bad;
use super::input::{Query, header};
use super::respond::unexpected;
use super::session::{Session, ended};
use crate::hub::Hub;
use crate::web::call::Call;
use crate::web::problem::Problem;
use crate::web::socket::Line;
use dantok_protocol::{ErrorCode, Refusal, Reply, VERSION, Welcome, commands};

const CLIENT: HeaderName = HeaderName::from_static("dantok-client");

/// The client of requests that name none, where no tokens are used.
const NOBODY: &str = "http";

/// What requests on a connection leave for the next one.
#[derive(Default)]
pub struct Kept {
    session: Mutex<Option<Box<Caller>>>,
    line: OnceLock<Line>,
}

impl Kept {
    /// Notes how to find out whether the peer is still there.
    pub(in crate::web) fn set_line(&self, line: Line) {
        // Only the first call counts.
        let _ = self.line.set(line);
    }

    /// How to find out whether the peer is still there.
    pub(super) fn line(&self) -> Option<Line> {
        self.line.get().cloned()
    }

    fn session(&self) -> MutexGuard<'_, Option<Box<Caller>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who a request says that its sender is.
#[derive(Debug)]
pub(super) struct Who {
    client: Option<String>,
    token: Option<String>,
}

impl Who {
    /// Reads the headers, and `client` in the query.
    ///
    /// # Errors
    /// They are malformed, or name different clients.
    pub(super) fn of(call: &Call, query: &mut Query) -> Result<Who, Problem> {
        let token = call.token()?;
        let client = match (header(call.headers(), &CLIENT)?, query.take("client")) {
            (Some(header), Some(query)) if header != query => {
                return Err(bad("Dantok-Client and client= name different clients"));
            }
            (header, query) => header.or(query),
        };
        Ok(Who { client, token })
    }

    fn is_same(&self, other: &Who) -> bool {
        // Behind a proxy, others may share the connection.
        let bytes = |token: &Option<String>| token.clone().unwrap_or_default();
        self.client == other.client
            && self.token.is_some() == other.token.is_some()
            && bool::from(bytes(&self.token).as_bytes().ct_eq(bytes(&other.token).as_bytes()))
    }

    /// The client's name: that of the token, if the request does not say.
    fn name(&self, hub: &Hub) -> String {
        let of_token = || {
            hub.tokens.refresh();
            hub.tokens.client_of(self.token.as_deref()?)
        };
        self.client.clone().or_else(of_token).unwrap_or_else(|| NOBODY.to_owned())
    }
}

/// A client with a session.
pub struct Caller {
    who: Who,
    welcome: Welcome,
    session: Session,
}

impl Caller {
    /// The session of a request: that of the request before it on the same connection, if it may be.
    ///
    /// # Errors
    /// The client may not connect.
    pub(super) async fn of(call: &Call, who: Who) -> Result<Box<Caller>, Problem> {
        let kept = call.kept.session().take();
        if let Some(mut caller) = kept.filter(|caller| caller.who.is_same(&who))
            && caller.is_good().await
        {
            caller.clear();
            return Ok(caller);
        }
        let Some(line) = call.kept.line() else { return Err(Problem::from(ended())) };
        let client = who.name(&call.hub);
        let hello = commands::Hello { version: VERSION, client, token: who.token.clone(), epoch: None };
        let mut session = Session::new(call.hub.clone(), line, call.stop.clone());
        match session.ask(hello).await {
            Ok(Reply::Welcome(welcome)) => Ok(Box::new(Caller { who, welcome, session })),
            Ok(_) => Err(unexpected().into()),
            Err(refusal) if refusal.code == ErrorCode::Denied => {
                Err(Problem { status: StatusCode::UNAUTHORIZED, ..Problem::from(refusal) })
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Leaves the session to the next request on the connection.
    pub(super) fn leave_to(self: Box<Caller>, kept: &Kept) {
        if !self.session.has_ended() {
            *kept.session() = Some(self);
        }
    }

    /// What the client was told at its HELLO.
    pub(super) fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Checks whether seqs of this epoch still mean the same.
    ///
    /// # Errors
    /// They don't.
    pub(super) async fn check_epoch(&mut self, epoch: Option<String>) -> Result<(), Refusal> {
        if epoch.is_some() {
            let (client, token) = (self.welcome.client.to_string(), self.who.token.clone());
            self.ask(commands::Hello { version: VERSION, client, token, epoch }).await?;
        }
        Ok(())
    }

    /// Ends a FOLLOW; the session, if that is not possible now.
    pub(super) async fn stop_following(&mut self, room: &str) {
        // What is pushed meanwhile is not for this response.
        self.items().limit(0);
        if self.ask(commands::Unfollow { room: room.to_owned() }).await.is_err() {
            self.end();
        }
    }
}

impl Deref for Caller {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Caller {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}
