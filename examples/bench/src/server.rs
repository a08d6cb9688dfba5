//! A server in a separate process, so that its CPU time and memory can be measured.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use http::Uri;

use crate::{Database, Framework, Result, serve::What};

/// Linux counts the time of processes in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A server; it ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Its sync route.
    pub url: Uri,
    child: Child,
}

/// The CPU time and memory of a server so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) mib: f64,
    /// The most since [`Server::begin`].
    pub(crate) peak_mib: f64,
}

impl Server {
    /// Starts a server, with this program, on the database at this address.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(
        program: &Path,
        framework: Framework,
        database: Database,
        what: What,
        at: &str,
    ) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["serve", framework.name(), database.name(), what.name(), at])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut port = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut port)?;
        }
        let server = Self { url: format!("http://127.0.0.1:{}/sync", port.trim()).parse()?, child };
        if server.url.port_u16().is_none() {
            return Err("the server ended before it began".into());
        }
        Ok(server)
    }

    /// Begins to measure the peak of its memory, and returns what it has used so far.
    pub(crate) fn begin(&self) -> Result<Usage> {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?;
        self.usage()
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let process = self.child.id().to_string();
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let mib = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next());
            Ok(kib.ok_or("the kernel tells no memory")?.parse::<f64>()? / 1024.0)
        };
        Ok(Usage { cpu: cpu_of(&process)?, mib: mib("VmRSS:")?, peak_mib: mib("VmHWM:")? })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The CPU time of this process so far.
pub(crate) fn own_cpu() -> Result<Duration> {
    cpu_of("self")
}

fn cpu_of(process: &str) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, which may contain anything, is in brackets; user and system time are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(')').ok_or("the kernel tells no times")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Ok(TICK * ticks.sum::<Result<u32, _>>()?)
}
