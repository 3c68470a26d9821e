//! Links of a document to files and headings of the repository.

use std::path::Path;

use crate::protocol_doc::index::headings;

/// The targets of a document's links, but for those to other places.
pub fn relative(doc: &str) -> Vec<String> {
    let targets = doc.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// What the link leads to exists.
pub fn check(document: &str, link: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let path = match file {
        "" => root.join(document),
        _ => root.join(document).parent().unwrap().join(file),
    };
    assert!(path.exists(), "{document}: there is no {file}");
    if let Some(anchor) = anchor {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(headings(&text).iter().any(|heading| heading.anchor == anchor), "{document}: no heading has {link}");
    }
}
