//! Where a session's items go.

use std::future::Future;
use std::io;

use crate::pushed::PageInfo;
use dantok_protocol::{Item, MessageRef};

/// The output of a session: items of an answer, or pushes.
pub trait Out: Send {
    /// Takes an item.
    fn item(&mut self, item: Item);
    /// Takes a message.
    fn message(&mut self, message: MessageRef<'_>);
    /// Takes the page that another session was pushed of a room after this seq, if it is still encoded and `is_current`.
    fn repeat_page(&mut self, room: u64, after: u64, is_current: impl FnOnce(&PageInfo) -> bool) -> Option<PageInfo>;
    /// Marks where a page begins …
    fn begin_page(&mut self);
    /// … and where it ends, so that other sessions can [repeat](Out::repeat_page) it.
    fn end_page(&mut self, room: u64, page: PageInfo);
    /// Whether enough waits to be written that the session should stop and [`drain`](Out::drain).
    fn is_full(&self) -> bool;
    /// Writes what waits.
    fn drain(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}
