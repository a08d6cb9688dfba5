//! Starts servers and makes measurements, one after another.

use tokio::runtime::{Builder, Runtime};

use super::Options;
use crate::{
    Database, Framework, Measured, Places, Report, Result, Server, Until, What, Workload,
    drive::{Crowd, drive},
    report::{Goal, Round},
};

/// Starts servers, and measures them.
pub(crate) struct Lab {
    pub(crate) options: Options,
    pub(crate) places: Places,
    /// The generator has one thread, because the servers need the other cores.
    pub(crate) client: Runtime,
    /// Transactions without HTTP have as many threads as servers do.
    pub(crate) bare: Runtime,
}

impl Lab {
    pub(crate) fn new(options: Options, places: Places) -> Result<Self> {
        let client = Builder::new_current_thread().enable_all().build()?;
        let bare = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        Ok(Self { options, places, client, bare })
    }

    pub(crate) fn until(&self) -> Until {
        Until { elapsed: self.options.time, requests: self.options.scale.requests }
    }

    pub(crate) fn has(&self, database: Database) -> bool {
        self.options.databases.contains(&database)
    }

    /// The framework for rows that do not depend on it.
    pub(crate) fn framework(&self) -> Framework {
        self.options.frameworks.first().copied().unwrap_or(Framework::Axum)
    }

    pub(crate) fn make(&mut self, database: Database) -> Result<String> {
        self.client.block_on(self.places.make(database))
    }

    pub(crate) fn start(
        &self,
        framework: Framework,
        database: Database,
        what: What,
        at: &str,
    ) -> Result<Server> {
        Server::start(&self.options.program, framework, database, what, at)
    }

    /// Measures a workload on a new server, on a new database.
    pub(crate) fn try_on(
        &mut self,
        framework: Framework,
        database: Database,
        what: What,
        workload: Workload,
        connections: usize,
    ) -> Result<Measured> {
        let at = self.make(database)?;
        let server = self.start(framework, database, what, &at)?;
        let run = drive(&server.url, Some(&server), workload, connections, self.until());
        self.client.block_on(run)
    }

    pub(crate) fn gather(
        &self,
        server: &Server,
        workload: Workload,
        connections: usize,
    ) -> Result<Crowd> {
        self.client.block_on(Crowd::gather(&server.url, workload, connections))
    }

    pub(crate) fn measure(
        &self,
        crowd: &mut Crowd,
        server: &Server,
        until: Until,
    ) -> Result<Measured> {
        self.client.block_on(crowd.measure(until, Some(server)))
    }

    /// Measures the floor and the library alternately, and reports how a figure of the two compares.
    pub(crate) fn contest(
        &mut self,
        mut goal: Goal,
        report: &mut Report,
        figure: impl Fn(&Measured) -> f64,
        mut floor: impl FnMut(&mut Self) -> Result<Measured>,
        mut ours: impl FnMut(&mut Self) -> Result<Measured>,
    ) -> Result<()> {
        for _ in 0..self.options.rounds {
            let measured = [floor(self)?, ours(self)?];
            let [floor, ours] = measured.each_ref().map(&figure);
            goal.rounds.push(Round::new(floor, ours, measured.to_vec()));
        }
        report.add(goal);
        Ok(())
    }
}
