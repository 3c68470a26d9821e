//! Suggestions for mistyped names.

/// Suggests the nearest of the known names; if none is near, returns `otherwise`.
pub(super) fn meant<'a>(name: &str, names: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    nearest(name, names).map_or_else(|| otherwise.to_owned(), |near| format!("did you mean {near}?"))
}

/// The nearest of the known names; `None` if none is near.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let far = |near: &str| {
        let edits = strsim::damerau_levenshtein(name, near);
        // Half a name is often meant as all of it: rooms for max-rooms.
        if name.len() > 3 && (near.contains(name) || name.contains(near)) { edits.min(2) } else { edits }
    };
    let (edits, near) = names.map(|near| (far(near), near)).min_by_key(|(edits, _)| *edits)?;
    (edits <= (name.chars().count() / 3).max(2)).then_some(near)
}
