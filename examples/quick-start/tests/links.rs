//! The links of all documents, as files and in rustdoc.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The documents that `mobync`'s documentation includes. A link definition of `src/links.md` counts before
/// their own.
const INCLUDED: [&str; 7] = [
    "README.md",
    "EXISTING.md",
    "DATABASES.md",
    "PERFORMANCE.md",
    "PROTOCOL.md",
    "SCHEMAS.md",
    "SHARING.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All documents below a folder, without those of dependencies and build output.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
            documents(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// A document without its blocks of code.
fn prose(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        is_code ^= fence;
        !fence && !is_code
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What links to where: targets between parentheses, and the labels without one; and the definitions.
#[derive(Default)]
struct Links {
    targets: Vec<String>,
    labels: Vec<String>,
    definitions: BTreeMap<String, String>,
}

fn links(text: &str) -> Links {
    let mut links = Links::default();
    for line in text.lines() {
        if line.starts_with('[')
            && let Some((label, target)) = line[1..].split_once("]: ")
        {
            links.definitions.insert(label.to_owned(), target.to_owned());
            continue;
        }
        let mut rest = line;
        while let Some((_, after)) = rest.split_once('[') {
            let Some((label, after)) = after.split_once(']') else { break };
            rest = after;
            if let Some(target) = after.strip_prefix('(') {
                links.targets.push(target.split(')').next().unwrap().to_owned());
            } else {
                links.labels.push(label.to_owned());
            }
        }
    }
    links
}

/// The anchor of a heading, as GitHub and rustdoc make it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || ['-', '_'].contains(c)).collect()
}

fn leads_somewhere(document: &Path, target: &str) -> bool {
    if target.starts_with("https://") {
        return true;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() { document.into() } else { document.with_file_name(file) };
    if !file.exists() {
        return false;
    }
    let headings = || prose(&file).lines().map(str::to_owned).collect::<Vec<_>>();
    heading.is_empty()
        || headings().iter().filter(|line| line.starts_with('#')).any(|line| {
            let text = line.trim_start_matches('#').trim();
            anchor(text) == heading
        })
}

#[test]
fn every_link_of_a_document_leads_to_a_file_or_heading() {
    let mut all = Vec::new();
    documents(&root(), &mut all);
    assert!(all.len() > 15, "{all:?}");
    for document in all.iter().filter(|path| !path.ends_with("mobync/src/links.md")) {
        let Links { targets, labels, definitions } = links(&prose(document));
        for target in targets.iter().chain(definitions.values()) {
            assert!(leads_somewhere(document, target), "{}: {target}", document.display());
        }
        for label in labels.iter().filter(|label| label.starts_with('`')) {
            assert!(definitions.contains_key(label), "{}: [{label}]", document.display());
        }
        for label in definitions.keys() {
            assert!(labels.contains(label), "{}: [{label}] is not used", document.display());
        }
    }
}

/// rustdoc checks that the targets in `links.md` exist.
#[test]
fn every_link_of_an_included_document_leads_to_an_item_in_rustdoc() {
    let core = root().join("mobync");
    let items = links(&prose(&core.join("src/links.md"))).definitions;
    let mut used = Vec::new();
    for document in INCLUDED.map(|name| core.join(name)) {
        let Links { targets, definitions, .. } = links(&prose(&document));
        for target in targets {
            let leaves = target.starts_with("https://") || target.starts_with('#');
            assert!(leaves, "{}: {target} needs a label in links.md", document.display());
        }
        for (label, target) in definitions {
            let is_item = items.contains_key(&label) || target.starts_with("https://");
            assert!(is_item, "{}: [{label}] is not in links.md", document.display());
            used.push(label);
        }
    }
    for label in items.keys() {
        assert!(used.contains(label), "links.md: [{label}] is not used");
    }
}
