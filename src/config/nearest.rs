//! Which name somebody meant who mistyped one.

/// Suggests the nearest of some names for one that is none of them; where all are far, says something else.
pub(super) fn meant<'a>(name: &str, names: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    nearest(name, names).map_or_else(|| otherwise.to_owned(), |near| format!("is {near} meant?"))
}

/// The nearest of some names; none where all are far.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = |near: &str| {
        let edits = strsim::damerau_levenshtein(name, near);
        // Half a name is often enough said: rooms for max-rooms.
        if name.len() > 3 && (near.contains(name) || name.contains(near)) { edits.min(2) } else { edits }
    };
    let (edits, near) = names.map(|near| (far(near), near)).min_by_key(|(edits, _)| *edits)?;
    (edits <= (name.chars().count() / 3).max(2)).then_some(near)
}
