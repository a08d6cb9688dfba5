//! The events in a world, drawn from a seed.

use fastrand::Rng;

use super::{hand::Transaction, versions::Version};

/// A world and its history. Each step makes sense in any state, or does nothing, so that a script without
/// some of its steps is still a script.
#[derive(Clone, Debug)]
pub struct Script {
    pub settings: Settings,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a thing of its own")]
pub struct Settings {
    pub owners: usize,
    pub devices: Vec<Kind>,
    /// The greatest number of diffs that the server accepts at once.
    pub max_diffs: usize,
    /// Whether there are changes that a rule of the application forbids.
    pub rules: bool,
    /// Whether there are changes that the database refuses.
    pub constraints: bool,
    /// Whether the database gets its writes in batches, or one by one.
    pub batches: bool,
    /// Whether the field `c` is a number.
    pub numbers: bool,
    /// Whether our devices keep a head.
    pub heads: bool,
    /// How many entries our devices request at most.
    pub page: Option<u64>,
    /// How many entries the server sends at most to clients that set no limit.
    pub page_all: Option<u64>,
    /// Whether the server is restored from backups; then there are only devices that notice it.
    pub restores: bool,
    /// Whether logs are compacted.
    pub compacts: bool,
    /// How many entries a compaction changes in one unit of work.
    pub at_once: usize,
    /// Whether apps have different versions of the schema. Published clients have the first one.
    pub versions: bool,
}

/// The client that a device runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The one of `mobync::client`, with this limit on the diffs of a request.
    Ours { limit: usize },
    /// The one published for Flutter in 2020.
    Published,
}

/// One event. The numbers of devices, objects, requests and answers wrap around.
#[derive(Clone, Debug)]
pub enum Step {
    /// A person creates an object that does not exist, or else updates or deletes it.
    Edit { device: usize, edit: Edit },
    /// A device sends a request, and receives the answer.
    Sync { device: usize },
    /// Two devices send at once, or one sends twice; then they receive their answers.
    SyncTogether { devices: [usize; 2], pace: u64 },
    /// A device sends a request, and abandons the previous one.
    Send { device: usize },
    /// A request arrives, counted from the last one. Each may arrive never, once, or often.
    Deliver { request: usize },
    /// Two requests arrive at once; the pace is the seed of the order in which the database serves them.
    DeliverTogether { requests: [usize; 2], pace: u64 },
    /// A device receives the answer to its request, if there is one.
    Hear { device: usize },
    /// A device receives some old answer.
    HearLate { answer: usize },
    /// A device that waits for an answer receives one to another request.
    Replay { device: usize, answer: usize },
    /// The app is killed at its next operation.
    Kill { device: usize, at: KilledAt },
    /// A copy of a device is saved.
    Backup { device: usize },
    /// A device is restored from its copy.
    Restore { device: usize },
    /// The app is installed again, and has lost everything.
    Install { device: usize },
    /// A person takes a pending change back.
    Withdraw { device: usize, change: usize },
    /// A person resubmits a refused change, in another form.
    Resubmit { device: usize, edit: Edit },
    /// A device's clock jumps to this many milliseconds off the true time.
    Jump { device: usize, off: i64 },
    /// Time passes, in milliseconds.
    Pass { millis: i64 },
    /// The backend writes.
    Write { owner: usize, edit: Edit },
    /// The database fails after this many calls.
    Fault { calls: usize, busy: bool },
    /// The server is restarted, on the same database.
    Restart,
    /// A copy of the server's database is saved.
    BackUpServer,
    /// The server's database is restored from the copy.
    RestoreServer,
    /// An owner's log is compacted. The server dies after this many calls of the database, if it is given.
    Compact { owner: usize, calls: Option<usize> },
    /// The server is replaced by one of the next version of the schema.
    Deploy,
    /// An app is updated, by this many versions of the schema.
    Update { device: usize, versions: u64 },
    /// The application writes to the rows with its own SQL.
    Hand { transaction: Transaction },
    /// The same, while a request is served, after this many calls of the database.
    HandIn { calls: usize, transaction: Transaction },
}

#[derive(Clone, Debug)]
pub struct Edit {
    pub object: usize,
    pub delete: bool,
    /// Pairs of field and value, each by its number.
    pub fields: Vec<(usize, usize)>,
}

/// Where in a local transaction the app dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KilledAt {
    Begin,
    BeforeCommit,
    BehindCommit,
}

/// The objects of a world, by model and id: few, so that conflicts are common.
pub const OBJECTS: [(&str, &str); 3] = [("tasks", "t0"), ("tasks", "kept"), ("notes", "t0")];
/// The models that a device or a server may have.
pub const MODELS: [&str; 3] = ["tasks", "notes", "counts"];
pub const FIELDS: [&str; 3] = ["a", "b", "c"];

impl Script {
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let settings = Settings::draw(&mut rng);
        let length = rng.usize(8..60);
        let style = Style::draw(&mut rng);
        let steps = (0..length).map(|_| style.step(&mut rng)).collect();
        let script = Self { settings, steps };
        let script = if script.settings.compacts { script.with_compactions(seed) } else { script };
        script.with_versions(seed)
    }
}

impl Script {
    /// The same history without heads, pages and compactions, so that other faults show earlier.
    pub fn plain(mut self) -> Self {
        self.steps.retain(|step| !matches!(step, Step::Compact { .. } | Step::Install { .. }));
        let settings = Settings { heads: false, page: None, page_all: None, ..self.settings };
        Self { settings: Settings { compacts: false, versions: false, ..settings }, ..self }
    }

    /// The same history, with logs that are compacted, and more new devices and small pages.
    fn with_compactions(mut self, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed.rotate_left(32));
        let calm = rng.usize(2..12);
        self.settings.at_once = rng.usize(1..6);
        if rng.bool() {
            (self.settings.heads, self.settings.page) = (true, Some(rng.u64(1..4)));
        }
        for step in std::mem::take(&mut self.steps) {
            if rng.usize(..calm) == 0 {
                let owner = rng.usize(..2);
                let calls = (rng.u8(..3) == 0).then(|| rng.usize(4..24));
                self.steps.push(Step::Compact { owner, calls });
                if calls.is_some() && rng.bool() {
                    // A new device comes before the compaction is finished, and goes on behind it.
                    let device = rng.usize(..12);
                    self.steps.extend([Step::Install { device }, Step::Sync { device }]);
                    self.steps.extend((0..rng.usize(..3)).map(|_| Step::Sync { device }));
                    self.steps.push(Step::Compact { owner, calls: None });
                    self.steps.push(Step::Sync { device });
                }
            }
            if rng.usize(..4 * calm) == 0 {
                let device = rng.usize(..12);
                self.steps.extend([Step::Install { device }, Step::Sync { device }]);
            }
            self.steps.push(step);
        }
        self
    }
}

impl Script {
    /// The same history, with versions of the schema, in some worlds.
    fn with_versions(mut self, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed.rotate_left(16));
        if self.settings.restores || rng.u8(..3) > 0 {
            return self;
        }
        self.settings.versions = true;
        let calm = rng.usize(3..12);
        for step in std::mem::take(&mut self.steps) {
            match rng.usize(..2 * calm) {
                0 => self.steps.push(Step::Deploy),
                1 | 2 => {
                    let (device, versions) = (rng.usize(..12), rng.u64(1..5));
                    self.steps.push(Step::Update { device, versions });
                }
                _ => {}
            }
            self.steps.push(step);
        }
        self
    }
}

impl Settings {
    fn draw(rng: &mut Rng) -> Self {
        let owners = if rng.u8(..4) == 0 { 2 } else { 1 };
        let published = rng.u8(..3) == 0;
        let kind = |rng: &mut Rng| {
            if published && rng.bool() {
                return Kind::Published;
            }
            let limits = [1, 2, 3, 100, 100, 100];
            Kind::Ours { limit: limits[rng.usize(..limits.len())] }
        };
        let devices = (0..rng.usize(2..=4).max(owners)).map(|_| kind(rng)).collect();
        // Published clients would send the same too many diffs forever, and ours send two after doubts.
        let max_diffs = if !published && rng.u8(..4) == 0 { rng.usize(2..=4) } else { 10_000 };
        let [rules, constraints, batches] = std::array::from_fn(|_| rng.bool());
        let few = |rng: &mut Rng| rng.bool().then(|| rng.u64(1..6));
        let (heads, page, page_all) = (rng.bool(), few(rng), few(rng).filter(|few| *few < 3));
        let settings = Self {
            owners,
            devices,
            max_diffs,
            rules,
            constraints,
            batches,
            numbers: false,
            heads,
            page,
            page_all,
            restores: rng.u8(..4) == 0,
            compacts: rng.bool(),
            at_once: 1_000,
            versions: false,
        };
        if settings.restores { settings.noticing() } else { settings }
    }

    /// With devices that notice another history, and start again.
    fn noticing(mut self) -> Self {
        for device in self.devices.iter_mut().filter(|kind| **kind == Kind::Published) {
            *device = Kind::Ours { limit: 100 };
        }
        Self { heads: true, compacts: false, ..self }
    }
}

impl Settings {
    /// The version of published clients, which do not say it.
    pub fn published(&self) -> Version {
        Version(self.versions.then_some(1))
    }

    /// A value of a field, neither of which is forbidden. The numbers are not among those that a column
    /// keeps.
    pub fn value(&self, field: usize, number: usize) -> serde_json::Value {
        match u32::try_from(number) {
            Ok(0) | Err(_) => serde_json::Value::Null,
            Ok(number) if self.numbers && FIELDS[field % FIELDS.len()] == "c" => {
                (f64::from(number) + 0.127).into()
            }
            Ok(number) => format!("v{number}").into(),
        }
    }
}

/// The probabilities of events in one world.
struct Style {
    calm: bool,
    objects: usize,
    jumps: bool,
}

impl Style {
    fn draw(rng: &mut Rng) -> Self {
        Self { calm: rng.u8(..4) == 0, objects: rng.usize(1..=OBJECTS.len()), jumps: rng.bool() }
    }

    fn edit(&self, rng: &mut Rng) -> Edit {
        let fields = rng.usize(..=2);
        let mut field = || (rng.usize(..FIELDS.len()), rng.usize(..14));
        let fields = (0..fields).map(|_| field()).collect();
        Edit { object: rng.usize(..self.objects), fields, delete: rng.u8(..10) < 3 }
    }

    fn step(&self, rng: &mut Rng) -> Step {
        let device = rng.usize(..12);
        let edit = self.edit(rng);
        match rng.u8(..104) {
            100 | 101 => Step::BackUpServer,
            102 | 103 => Step::RestoreServer,
            0..32 => Step::Edit { device, edit },
            32..36 => Step::Replay { device, answer: rng.usize(..20) },
            36..50 => Step::Sync { device },
            50 | 51 => Step::SyncTogether { devices: [device, rng.usize(..12)], pace: rng.u64(..) },
            52..60 => Step::Send { device },
            60..70 => Step::Deliver { request: if rng.bool() { 0 } else { rng.usize(..20) } },
            70..78 => Step::Hear { device },
            78..82 => Step::Pass { millis: [1, 2, 50, 400_000][rng.usize(..4)] },
            82..85 => Step::Write { owner: device, edit },
            85..88 if self.jumps => {
                let off = [0, 0, 5, -5, 20, -20, -3000, 600_000, 10_000_000_000];
                Step::Jump { device, off: off[rng.usize(..off.len())] }
            }
            88 => Step::Withdraw { device, change: rng.usize(..4) },
            89 => Step::Resubmit { device, edit },
            _ if self.calm => Step::Sync { device },
            90 => Step::HearLate { answer: rng.usize(..20) },
            91 | 92 => {
                let places = [KilledAt::Begin, KilledAt::BeforeCommit, KilledAt::BehindCommit];
                Step::Kill { device, at: places[rng.usize(..3)] }
            }
            93 => Step::Backup { device },
            94 => Step::Restore { device },
            95 | 96 => Step::Fault { calls: rng.usize(..12), busy: rng.bool() },
            97 => Step::Restart,
            98 => Step::DeliverTogether {
                requests: [rng.usize(..3), rng.usize(..20)],
                pace: rng.u64(..),
            },
            _ => Step::Edit { device, edit },
        }
    }
}

impl Edit {
    /// The same without one of its fields.
    pub fn less(&self) -> Vec<Self> {
        let without = (0..self.fields.len()).map(|place| {
            let mut less = self.clone();
            less.fields.remove(place);
            less
        });
        without.collect()
    }

    pub fn key(&self) -> (String, String) {
        let (model, id) = OBJECTS[self.object % OBJECTS.len()];
        (model.to_owned(), id.to_owned())
    }

    /// The fields with their values. Some worlds have values that are not accepted.
    pub fn values(&self, settings: &Settings) -> super::oracle::Fields {
        let value = |field: usize, number: usize| match number {
            _ if settings.numbers && FIELDS[field % FIELDS.len()] == "c" => {
                settings.value(field, number)
            }
            1 if settings.rules => "no".into(),
            2 if settings.constraints => "bad".into(),
            3 if settings.constraints => "orphan".into(),
            number => settings.value(field, number),
        };
        self.fields
            .iter()
            .map(|(field, number)| {
                (FIELDS[field % FIELDS.len()].to_owned(), value(*field, *number))
            })
            .collect()
    }
}
