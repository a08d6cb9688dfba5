//! The first programs of the workspace's README are the programs of this crate. Each runs in an empty
//! folder, and the README's session with two devices prints what the README says.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const README: &str = include_str!("../../../README.md");

/// The languages and texts of the fenced blocks under a heading, in order.
fn blocks(heading: &str) -> Vec<(&'static str, &'static str)> {
    let section = README.split_once(&format!("\n{heading}\n")).unwrap().1;
    let level = heading.split(' ').next().unwrap();
    let section =
        section.split_once(&format!("\n{level} ")).map_or(section, |(section, _)| section);
    let fenced = section.split("\n```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap()).collect()
}

fn the_program_of_the_readme_runs(name: &str, framework: &str, program: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/bin/{name}.rs"));
    let source = fs::read_to_string(source).unwrap().replace("quick_start::port()", "8000");
    let blocks = blocks(&format!("### {framework}"));
    let (_, text) = blocks.iter().find(|(language, _)| language.starts_with("rust")).unwrap();
    let (documentation, source) = source.split_once("\n\n").unwrap();
    assert!(documentation.starts_with("//! "), "{documentation}");
    assert_eq!(format!("{text}\n"), source, "README.md and src/bin/{name}.rs differ");

    let server = Server::start(program);
    two_devices_converge(&server.port.to_string());
}

fn two_devices_converge(port: &str) {
    let blocks = blocks("## Two devices converge");
    let here = |commands: &str| commands.replace(":8000/", &format!(":{port}/"));
    let function = here(blocks[0].1);
    let mut answers = 0;
    for pair in blocks[1..].chunks(2) {
        let [("sh", commands), ("json", expected)] = pair else { panic!("{pair:?}") };
        let script = format!("{function}\n{}", here(commands));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "curl is needed for this test: {output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{expected}\n"));
        answers += 1;
    }
    assert_eq!(answers, 2);
}

/// A program that runs in an empty folder; it ends with the test.
struct Server {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Server {
    fn start(program: &str) -> Self {
        let patience = Instant::now() + Duration::from_mins(1);
        loop {
            // Somebody else may take the port before the program does: then it ends, and another is tried.
            let port =
                TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
            let folder = tempfile::tempdir().unwrap();
            let mut command = Command::new(program);
            command.env("PORT", port.to_string()).env("ROCKET_PORT", port.to_string());
            command.current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::null());
            let mut server = Self { process: command.spawn().unwrap(), port, _folder: folder };
            while server.process.try_wait().unwrap().is_none() {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                    return server;
                }
                assert!(Instant::now() < patience, "{program} does not listen");
                thread::sleep(Duration::from_millis(10));
            }
            assert!(Instant::now() < patience, "{program} ends");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_readme_has_no_rust_that_is_not_run() {
    assert_eq!(README.matches("```rust").count(), 3);
}

#[test]
fn axum() {
    the_program_of_the_readme_runs("axum-app", "axum", env!("CARGO_BIN_EXE_axum-app"));
}

#[test]
fn actix_web() {
    the_program_of_the_readme_runs("actix-app", "actix-web", env!("CARGO_BIN_EXE_actix-app"));
}

#[test]
fn rocket() {
    the_program_of_the_readme_runs("rocket-app", "Rocket", env!("CARGO_BIN_EXE_rocket-app"));
}
