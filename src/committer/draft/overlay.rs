//! What a draft changes, on top of what is published.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// The values that differ from the published ones, by key.
pub(in crate::committer) struct Overlay<K, V>(HashMap<K, V>);

impl<K, V> Default for Overlay<K, V> {
    fn default() -> Self {
        Overlay(HashMap::new())
    }
}

impl<K: Eq + Hash, V> Overlay<K, V> {
    /// Changes a value.
    pub(in crate::committer) fn set(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }

    /// A value as it will be: changed, or else as published.
    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q, published: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        V: Clone,
    {
        self.changed(key).cloned().unwrap_or_else(published)
    }

    /// A value that is changed.
    pub(super) fn changed<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    /// Whether a value is changed.
    pub(super) fn has<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    /// All values that are changed, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter()
    }
}
