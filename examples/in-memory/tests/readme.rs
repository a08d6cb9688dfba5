//! The quick start of the workspace's README: its commands print what it says.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::process::Command;

use self::support::Server;

const README: &str = include_str!("../../../README.md");

/// The fenced blocks of these languages between two headings, in order.
fn blocks<'r>(section: &'r str, languages: &[&str]) -> Vec<(&'r str, &'r str)> {
    let section = README.split_once(section).unwrap().1.split_once("\n## ").unwrap().0;
    let fenced = section.split("```").skip(1).step_by(2);
    let blocks = fenced.map(|block| block.split_once('\n').unwrap());
    blocks.filter(|(language, _)| languages.contains(language)).collect()
}

#[test]
fn the_commands_of_the_quick_start_print_what_it_says() {
    let server = Server::start();
    let address = server.address().strip_prefix("http://").unwrap();
    let blocks = blocks("\n## Two devices converge\n", &["sh", "json"]);
    let function = blocks[0].1.replace("127.0.0.1:8000", address);
    let mut answers = 0;
    for pair in blocks[1..].chunks(2) {
        let [("sh", commands), ("json", expected)] = pair else { panic!("{pair:?}") };
        let script = format!("{function}\n{}", commands.replace("127.0.0.1:8000", address));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "curl is needed for this test: {output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), *expected);
        answers += 1;
    }
    assert_eq!(answers, 6);
}
