//! This test program once more, as a child process that can be killed.

use std::{
    env,
    io::BufReader,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

/// Starts that test alone, with a file in that variable of its environment.
pub fn start(test: &str, variable: &str, file: &Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(variable, file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}
