//! Texts and blocks in SQL, whatever is in them.

/// A text, whatever the server's settings are.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\047"))
}

/// The body of a block or a function. A name in it could have the mark that ends it.
pub(super) fn body(text: &str) -> String {
    let mut mark = "$mobync$".to_owned();
    while text.contains(&mark) {
        mark.insert(1, 'x');
    }
    format!("{mark}{text}{mark}")
}
