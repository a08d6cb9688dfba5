//! The results, for people and for programs.

use std::fmt::{self, Write};

use serde::Serialize;

use crate::{Database, Framework, Measured, Workload};

/// Everything that a run measured.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// How many cores there are for servers, databases and the generator together.
    pub cores: usize,
    /// Measurements that are compared with a floor.
    pub goals: Vec<Goal>,
    /// Measurements without a floor.
    pub servers: Vec<Line>,
}

/// A workload on a server.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "their names say it")]
pub struct Line {
    pub framework: Framework,
    pub database: Database,
    pub workload: Workload,
    pub connections: usize,
    pub measured: Measured,
}

/// A goal, and the measured ratio.
#[derive(Debug, Serialize)]
pub struct Goal {
    /// The row of the goal.
    pub row: &'static str,
    /// Which server, or database.
    pub subject: String,
    /// What is compared.
    pub figure: &'static str,
    /// What it is compared with.
    pub floor: &'static str,
    /// What the ratio should be.
    pub bound: Bound,
    /// The rounds in their order.
    pub rounds: Vec<Round>,
}

/// What a ratio should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "their names say it")]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// The floor, and then the library.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// The floor's measurement.
    pub floor: f64,
    /// The library's measurement.
    pub ours: f64,
    /// The library's figure divided by the floor's.
    pub ratio: f64,
    /// The server's CPU time for a request, divided by the floor's.
    pub cpu_ratio: Option<f64>,
    /// All measurements of the two.
    pub measured: Vec<Measured>,
}

impl Round {
    pub(crate) fn new(floor: f64, ours: f64, measured: Vec<Measured>) -> Self {
        let cpu = |place: usize| measured.get(place).and_then(|measured| measured.server_cpu_us);
        let cpu_ratio = cpu(0).zip(cpu(1)).map(|(floor, ours)| ours / floor);
        Self { floor, ours, ratio: ours / floor, cpu_ratio, measured }
    }
}

impl Report {
    /// Adds a goal, and prints it.
    pub(crate) fn add(&mut self, goal: Goal) {
        eprintln!("{goal}");
        self.goals.push(goal);
    }
}

impl Goal {
    pub(crate) fn new(
        (row, subject): (&'static str, String),
        (figure, floor): (&'static str, &'static str),
        bound: Bound,
    ) -> Self {
        Self { row, subject, figure, floor, bound, rounds: Vec::new() }
    }

    /// The median of the rounds' ratios, the least and the greatest.
    pub fn ratio(&self) -> (f64, f64, f64) {
        let ratios = self.sorted(|round| Some(round.ratio));
        let end = |ratio: Option<&f64>| ratio.copied().unwrap_or(f64::NAN);
        (median(&ratios), end(ratios.first()), end(ratios.last()))
    }

    /// Whether the median meets the goal.
    pub fn is_met(&self) -> bool {
        let (ratio, ..) = self.ratio();
        match self.bound {
            Bound::AtLeast(bound) => ratio >= bound,
            Bound::AtMost(bound) => ratio <= bound,
        }
    }

    fn sorted(&self, figure: impl Fn(&Round) -> Option<f64>) -> Vec<f64> {
        let mut figures: Vec<f64> = self.rounds.iter().filter_map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures
    }

    fn cells(&self) -> Vec<String> {
        let (ratio, least, greatest) = self.ratio();
        let cpu = self.sorted(|round| round.cpu_ratio);
        vec![
            self.row.to_owned(),
            self.subject.clone(),
            format!("{} / {}", self.figure, self.floor),
            number(median(&self.sorted(|round| Some(round.floor)))),
            number(median(&self.sorted(|round| Some(round.ours)))),
            format!("{ratio:.2}"),
            format!("{least:.2}–{greatest:.2}"),
            self.bound.to_string(),
            if self.is_met() { "ok" } else { "missed" }.to_owned(),
            if cpu.is_empty() { String::new() } else { format!("{:.2}", median(&cpu)) },
        ]
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ratio, least, greatest) = self.ratio();
        let met = if self.is_met() { "ok" } else { "missed" };
        let Self { row, subject, bound, .. } = self;
        write!(f, "{row} {subject}: {ratio:.2} ({least:.2}–{greatest:.2}), goal {bound}: {met}")
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound:.2}"),
            Self::AtMost(bound) => write!(f, "≤ {bound:.2}"),
        }
    }
}

impl Line {
    fn cells(&self) -> Vec<String> {
        let Measured { per_second, p50_us, p99_us, client_cpu_us, .. } = self.measured;
        let Measured { request_bytes, answer_bytes, .. } = self.measured;
        let optional = |figure: Option<f64>| figure.map(number).unwrap_or_default();
        vec![
            self.workload.to_string(),
            self.framework.name().to_owned(),
            self.database.name().to_owned(),
            self.connections.to_string(),
            number(per_second),
            number(p50_us / 1e3),
            number(p99_us / 1e3),
            optional(self.measured.server_cpu_us),
            number(client_cpu_us),
            optional(self.measured.peak_mib),
            number(request_bytes),
            number(answer_bytes),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.goals.is_empty() {
            let head = [
                "row",
                "of",
                "figure",
                "floor",
                "ours",
                "ratio",
                "min–max",
                "goal",
                "",
                "CPU ratio",
            ];
            table(f, &head, &self.goals.iter().map(Goal::cells).collect::<Vec<_>>())?;
        }
        if !self.servers.is_empty() {
            let head = [
                "workload",
                "framework",
                "database",
                "conns",
                "req/s",
                "p50 ms",
                "p99 ms",
                "CPU µs/req",
                "client µs",
                "peak MiB",
                "bytes in",
                "bytes out",
            ];
            table(f, &head, &self.servers.iter().map(Line::cells).collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

/// A Markdown table with columns as wide as necessary.
fn table(f: &mut fmt::Formatter<'_>, head: &[&str], rows: &[Vec<String>]) -> fmt::Result {
    let head: Vec<String> = head.iter().map(|&name| name.to_owned()).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = std::iter::once(&head).chain(rows).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        })
        .collect();
    let rule = widths.iter().map(|&width| "-".repeat(width)).collect();
    for row in [head, rule].iter().chain(rows) {
        let mut line = String::new();
        for (cell, &width) in row.iter().zip(&widths) {
            write!(line, "| {cell:<width$} ")?;
        }
        writeln!(f, "{line}|")?;
    }
    writeln!(f)
}

/// Three digits at the least.
fn number(figure: f64) -> String {
    match figure.abs() {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

fn median(sorted: &[f64]) -> f64 {
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(sorted.len().saturating_sub(1) / 2), at(sorted.len() / 2))
}
