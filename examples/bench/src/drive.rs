//! The closed loop: each connection sends its next request after it has received the answer.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use futures_util::{TryStreamExt, stream::FuturesUnordered};
use hdrhistogram::Histogram;
use http::Uri;
use serde::Serialize;

use crate::{
    Result, Server, Workload,
    connection::Connection,
    server::{Usage, own_cpu},
    workload::Device,
};

/// When to stop: at whichever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    /// After that time.
    pub elapsed: Duration,
    /// After this number of requests of all connections.
    pub requests: u64,
}

/// The measurement of a number of requests.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measured {
    /// How many were answered, each with success.
    pub requests: u64,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Requests, or transactions, per second.
    pub per_second: f64,
    /// The time from a request to its whole answer, in microseconds.
    pub mean_us: f64,
    /// The median of it.
    pub p50_us: f64,
    /// The 99th percentile of it.
    pub p99_us: f64,
    /// The CPU time of the server's process for a request, in microseconds.
    pub server_cpu_us: Option<f64>,
    /// The CPU time of the generator for a request, in microseconds.
    pub client_cpu_us: f64,
    /// The memory of the server's process before, in MiB.
    pub before_mib: Option<f64>,
    /// The peak of its memory, in MiB.
    pub peak_mib: Option<f64>,
    /// The mean size of a request's body, in bytes.
    pub request_bytes: f64,
    /// The mean size of an answer's body, in bytes.
    pub answer_bytes: f64,
}

impl Measured {
    /// How much the memory of the server's process grew, in MiB.
    pub(crate) fn grown_mib(&self) -> f64 {
        self.peak_mib.zip(self.before_mib).map_or(0.0, |(peak, before)| peak - before)
    }
}

/// The results of the connections so far.
pub(crate) struct Tally {
    latencies: Histogram<u64>,
    sent: u64,
    received: u64,
    pub(crate) begun: Instant,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        // In nanoseconds, to ten minutes; three digits.
        let latencies = Histogram::new_with_bounds(1, 600_000_000_000, 3)?;
        Ok(Self { latencies, sent: 0, received: 0, begun: Instant::now() })
    }

    pub(crate) fn count(&mut self, latency: Duration, sent: usize, received: usize) {
        self.latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        self.sent += sent as u64;
        self.received += received as u64;
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        self.latencies.add(&other.latencies)?;
        Ok(())
    }

    /// Everything except the server's own figures.
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn measured(&self, client_cpu: Duration) -> Measured {
        let requests = self.latencies.len();
        let each = requests.max(1) as f64;
        let seconds = self.begun.elapsed().as_secs_f64();
        let quantile = |q| self.latencies.value_at_quantile(q) as f64 / 1e3;
        Measured {
            requests,
            seconds,
            per_second: requests as f64 / seconds,
            mean_us: self.latencies.mean() / 1e3,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            client_cpu_us: client_cpu.as_secs_f64() * 1e6 / each,
            request_bytes: self.sent as f64 / each,
            answer_bytes: self.received as f64 / each,
            ..Measured::default()
        }
    }
}

/// Lets the devices of a workload sync with the server at this address, over a number of connections. A
/// server that this program has started also reports its CPU time and memory.
///
/// The data that the devices need is created first, and a tenth of the run is a warm-up.
///
/// # Errors
/// If the server cannot be reached, or gives a wrong answer.
pub async fn drive(
    url: &Uri,
    server: Option<&Server>,
    workload: Workload,
    connections: usize,
    until: Until,
) -> Result<Measured> {
    let mut crowd = Crowd::gather(url, workload, connections).await?;
    let measured = crowd.measure(until, server).await?;
    crowd.settle().await?;
    Ok(measured)
}

/// Devices, and the server that they sync with.
pub(crate) struct Crowd {
    pub(crate) url: Uri,
    pub(crate) devices: Vec<Box<dyn Device>>,
}

impl Crowd {
    /// Creates the data that the devices need.
    pub(crate) async fn gather(url: &Uri, workload: Workload, connections: usize) -> Result<Self> {
        let devices = workload.prepare(url, connections).await?;
        Ok(Self { url: url.clone(), devices })
    }

    /// Runs after a warm-up.
    pub(crate) async fn measure(
        &mut self,
        until: Until,
        server: Option<&Server>,
    ) -> Result<Measured> {
        self.run(until.tenth(), None).await?;
        self.run(until, server).await
    }

    /// Runs without a warm-up, to measure the first requests.
    pub(crate) async fn run(&mut self, until: Until, server: Option<&Server>) -> Result<Measured> {
        let share = until.share(self.devices.len());
        // Servers close idle connections, which these are between two runs.
        let mut members = Vec::new();
        for device in &mut self.devices {
            members.push((Connection::open(&self.url).await?, device));
        }
        let before = server.map(Server::begin).transpose()?;
        let own_before = own_cpu()?;
        let tally = RefCell::new(Tally::new()?);
        let begun = tally.borrow().begun;
        let each = members.iter_mut().map(async |(connection, device)| -> Result<()> {
            let mut done = 0;
            while share.goes_on(done, begun) {
                step(connection, device.as_mut(), &tally).await?;
                done += 1;
            }
            Ok(())
        });
        each.collect::<FuturesUnordered<_>>().try_collect::<()>().await?;
        let mut measured = tally.into_inner().measured(own_cpu()?.saturating_sub(own_before));
        if let (Some(server), Some(before)) = (server, before) {
            let Usage { cpu, peak_mib, .. } = server.usage()?;
            #[allow(clippy::cast_precision_loss, reason = "figures for people")]
            let requests = measured.requests.max(1) as f64;
            let cpu = cpu.saturating_sub(before.cpu).as_secs_f64();
            measured.server_cpu_us = Some(cpu * 1e6 / requests);
            measured.before_mib = Some(before.mib);
            measured.peak_mib = Some(peak_mib);
        }
        Ok(measured)
    }

    /// Lets each device sync a last time, and check that it has everything.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        for device in &mut self.devices {
            if let Some(last) = device.last()? {
                let mut connection = Connection::open(&self.url).await?;
                let answer = connection.send(last).await?;
                device.read(&answer)?;
                device.check_all()?;
            }
        }
        Ok(())
    }
}

async fn step(
    connection: &mut Connection,
    device: &mut dyn Device,
    tally: &RefCell<Tally>,
) -> Result<()> {
    let request = device.next()?;
    let sent = request.body.len();
    let start = Instant::now();
    let answer = connection.send(request).await?;
    tally.borrow_mut().count(start.elapsed(), sent, answer.len());
    device.read(&answer)
}

impl Until {
    /// After that time.
    pub fn elapsed(elapsed: Duration) -> Self {
        Self { elapsed, requests: u64::MAX }
    }

    /// After this number of requests.
    pub fn requests(requests: u64) -> Self {
        Self { elapsed: Duration::MAX, requests }
    }

    /// The end of the warm-up for it.
    pub(crate) fn tenth(self) -> Self {
        Self { elapsed: self.elapsed / 10, requests: self.requests.div_ceil(10) }
    }

    /// Its share for one of several connections.
    pub(crate) fn share(self, connections: usize) -> Self {
        Self { requests: self.requests.div_ceil(connections as u64), ..self }
    }

    pub(crate) fn goes_on(self, done: u64, begun: Instant) -> bool {
        done < self.requests && begun.elapsed() < self.elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_tells_times_in_microseconds_and_sizes_in_bytes() {
        let mut tally = Tally::new().unwrap();
        for millis in [1, 2, 2, 400] {
            tally.count(Duration::from_millis(millis), 10, 20);
        }
        let Measured { requests, mean_us, p50_us, p99_us, request_bytes, answer_bytes, .. } =
            tally.measured(Duration::ZERO);
        assert_eq!(requests, 4);
        for (figure, expected) in [(mean_us, 101_250.0), (p50_us, 2_000.0), (p99_us, 400_000.0)] {
            assert!((figure / expected - 1.0).abs() < 0.002, "{figure} is not {expected}");
        }
        assert!((request_bytes - 10.0).abs() < 1e-9 && (answer_bytes - 20.0).abs() < 1e-9);
    }
}
