//! A world in which a script runs: one server, its owners' devices, and a network between them.

mod rest;

use std::{collections::BTreeSet, fmt};

use mobync::{Diff, client::Request};

use super::{
    convert,
    hand::Place,
    oracle::{Change, Entry, Key, Kind, Objects, without_nulls},
    ours::{Ours, same},
    published::Published,
    server::{Posted, Reply, Server},
    step::{self, Edit, Script, Settings, Step},
    versions::{NEWEST, Version},
};

/// A time long after 1970, in milliseconds.
const T0: i64 = 1_700_000_000_000;

/// A difference from the text.
#[derive(Clone, Debug)]
pub struct Failure(pub String);

impl Failure {
    pub fn of(error: impl fmt::Debug) -> Self {
        Self(format!("{error:?}"))
    }
}

pub struct World<D> {
    server: Server<D>,
    devices: Vec<Device>,
    requests: Vec<Sent>,
    /// For each answer, its request and its contents.
    answers: Vec<(usize, Reply)>,
    now: i64,
    /// The number of changes that published clients have recorded, by owner.
    recorded: Vec<usize>,
    settings: Settings,
}

struct Device {
    owner: usize,
    client: Client,
    /// How far its clock is off, in milliseconds.
    off: i64,
    /// The number of the last request.
    sent: Option<usize>,
}

enum Client {
    Ours(Box<Ours>),
    Published { now: Box<Published>, backup: Option<Box<Published>> },
}

/// A request in the network, which may deliver it at any time, and more than once.
struct Sent {
    device: usize,
    posted: Posted,
    ours: Option<(Request, usize)>,
    /// Whether it is for a page of what is fetched once more.
    is_beside: bool,
}

impl<D: Place> World<D> {
    /// # Errors
    /// The first difference from the text. Without one, how many pages ended below a horizon.
    pub async fn play(database: D, script: &Script) -> Result<usize, Failure> {
        let settings = script.settings.clone();
        let mut devices = Vec::new();
        for (number, kind) in settings.devices.iter().enumerate() {
            let app = Version(settings.versions.then_some(number as u64 % NEWEST + 1));
            let client = match kind {
                step::Kind::Ours { limit } => Client::Ours(Box::new(Ours::new(*limit, app).await)),
                step::Kind::Published => Client::Published { now: Box::default(), backup: None },
            };
            devices.push(Device { owner: number % settings.owners, client, off: 0, sent: None });
        }
        let mut world = Self {
            server: Server::new(database, &settings),
            devices,
            requests: Vec::new(),
            answers: Vec::new(),
            now: T0,
            recorded: vec![0; settings.owners],
            settings: settings.clone(),
        };
        for step in &script.steps {
            world.pass(1);
            world.step(step).await?;
        }
        world.come_to_rest().await?;
        Ok(world.server.pages_below)
    }

    fn pass(&mut self, millis: i64) {
        self.now += millis;
        self.server.set_time(self.now);
        for device in &self.devices {
            if let Client::Ours(ours) = &device.client {
                ours.set_time(self.now + device.off);
            }
        }
    }

    async fn step(&mut self, step: &Step) -> Result<(), Failure> {
        let count = self.devices.len();
        match step {
            Step::Edit { device, edit } => self.edit(device % count, edit).await,
            Step::Sync { device } => self.sync(device % count).await,
            Step::Send { device } => self.send(device % count).await,
            Step::SyncTogether { devices, pace } => {
                self.sync_together(devices.map(|device| device % count), *pace).await
            }
            Step::Deliver { request } if !self.requests.is_empty() => {
                self.deliver(self.before_newest(*request)).await
            }
            Step::DeliverTogether { requests, pace } if !self.requests.is_empty() => {
                let requests = requests.map(|request| self.before_newest(request));
                self.deliver_together(requests, *pace).await
            }
            Step::Hear { device } => self.hear(device % count).await,
            Step::HearLate { answer } if !self.answers.is_empty() => {
                self.hear_late(answer % self.answers.len()).await
            }
            Step::Replay { device, answer } if !self.answers.is_empty() => {
                self.replay(device % count, answer % self.answers.len()).await
            }
            Step::Deliver { .. }
            | Step::DeliverTogether { .. }
            | Step::HearLate { .. }
            | Step::Replay { .. } => Ok(()),
            Step::Jump { device, off } => {
                self.devices[device % count].off = *off;
                self.pass(0);
                Ok(())
            }
            Step::Pass { millis } => {
                self.pass(*millis);
                Ok(())
            }
            Step::Write { owner, edit } => {
                self.server.write(owner % self.settings.owners, edit).await
            }
            Step::Fault { calls, busy } => {
                self.server.fail_in(*calls, *busy);
                Ok(())
            }
            Step::Deploy => {
                if self.settings.versions {
                    self.server.deploy();
                }
                Ok(())
            }
            Step::Compact { owner, calls } => {
                self.compact(owner % self.settings.owners, *calls).await
            }
            Step::Restart => {
                self.server.restart();
                Ok(())
            }
            Step::BackUpServer if self.settings.restores => self.server.back_up().await,
            Step::RestoreServer if self.settings.restores => self.server.restore().await,
            Step::BackUpServer | Step::RestoreServer => Ok(()),
            Step::Hand { transaction } => {
                self.server.begin(transaction);
                self.server.settle().await;
                Ok(())
            }
            Step::HandIn { calls, transaction } => {
                self.server.begin_in(*calls, transaction);
                Ok(())
            }
            Step::Backup { device }
            | Step::Restore { device }
            | Step::Install { device }
            | Step::Kill { device, .. }
            | Step::Update { device, .. }
            | Step::Withdraw { device, .. }
            | Step::Resubmit { device, .. } => self.of_device(device % count, step).await,
        }
    }

    /// The laws are about requests that repeat nothing that is forgotten. A device that has received
    /// something then learns that it is too old; one that has received nothing yet does not.
    async fn compact(&mut self, owner: usize, calls: Option<usize>) -> Result<(), Failure> {
        let mut repeated = BTreeSet::new();
        for device in self.devices.iter().filter(|device| device.owner == owner) {
            match &device.client {
                Client::Ours(ours) => repeated.extend(ours.repeats_from_0().cloned()),
                Client::Published { now, backup } => {
                    let both = [Some(now), backup.as_ref()].into_iter().flatten();
                    repeated.extend(both.flat_map(|it| it.repeats_from_0().cloned()));
                }
            }
        }
        self.server.compact(owner, calls, &repeated).await
    }

    /// The events of a single device.
    async fn of_device(&mut self, device: usize, step: &Step) -> Result<(), Failure> {
        match (&mut self.devices[device].client, step) {
            (Client::Ours(ours), Step::Backup { .. }) => ours.back_up().await,
            (Client::Ours(ours), Step::Restore { .. }) => ours.restore().await?,
            (Client::Ours(ours), Step::Install { .. }) => **ours = ours.anew().await,
            (Client::Ours(ours), Step::Kill { at, .. }) => ours.kill(*at),
            (Client::Ours(ours), Step::Update { versions, .. }) => ours.update(*versions).await?,
            (Client::Ours(ours), Step::Withdraw { change, .. }) => ours.withdraw(*change).await?,
            (Client::Ours(ours), Step::Resubmit { edit, .. }) => {
                ours.resubmit(edit, &edit.values(&self.settings)).await?;
            }
            (Client::Published { now, backup }, Step::Backup { .. }) => *backup = Some(now.clone()),
            (Client::Published { now, backup: Some(backup) }, Step::Restore { .. }) => {
                now.clone_from(backup);
                self.devices[device].sent = None;
            }
            _ => {}
        }
        Ok(())
    }

    async fn edit(&mut self, device: usize, edit: &Edit) -> Result<(), Failure> {
        let Device { client, off, .. } = &mut self.devices[device];
        let key = edit.key();
        let fields = edit.values(&self.settings);
        match client {
            Client::Ours(ours) => {
                let kind = kind(edit, ours.objects().contains_key(&key));
                ours.edit(&key, kind, &fields).await
            }
            Client::Published { now, .. } => {
                let kind = kind(edit, now.objects.contains_key(&key));
                let recorded = &mut self.recorded[device % self.settings.owners];
                *recorded += 1;
                // Devices of two owners have the same ids.
                let id = recorded.to_string();
                let (model, object) = key;
                let at = (self.now + *off).max(0);
                let fields = self.settings.published().writable(&model, &fields);
                now.record(Change { id, at, kind, model, object, fields });
                Ok(())
            }
        }
    }

    async fn sync(&mut self, device: usize) -> Result<(), Failure> {
        let before = self.requests.len();
        self.send(device).await?;
        if self.requests.len() > before {
            self.deliver(before).await?;
            self.hear(device).await?;
        }
        Ok(())
    }

    async fn sync_together(&mut self, devices: [usize; 2], pace: u64) -> Result<(), Failure> {
        let before = self.requests.len();
        for device in devices {
            self.send(device).await?;
        }
        match self.requests.len() - before {
            0 => {}
            1 => self.deliver(before).await?,
            _ => self.deliver_together([before, before + 1], pace).await?,
        }
        for device in devices {
            self.hear(device).await?;
        }
        Ok(())
    }

    async fn send(&mut self, device: usize) -> Result<(), Failure> {
        let number = self.requests.len();
        let owner = self.devices[device].owner;
        if self.send_beside(device).await? {
            return Ok(());
        }
        let sent = match &mut self.devices[device].client {
            Client::Ours(ours) => ours.send(number, self.settings.page).await?.map(|request| {
                let body = request.body();
                let seen = ours.seen.log.clone();
                let asked = posted(number, owner, body.logical_clock, body.diffs.clone(), seen);
                let head = body.head.clone().filter(|_| self.settings.heads);
                let (limit, schema) = (body.limit.or(self.settings.page), body.schema);
                let posted = Posted { head, limit, schema, ..asked };
                Sent { device, posted, ours: Some((request, ours.life)), is_beside: false }
            }),
            Client::Published { now, .. } => {
                let clock = now.clock;
                let diffs = now.request();
                let version = self.settings.published();
                let diffs = diffs.iter().map(|change| version.diff(convert::diff(change, clock)));
                let diffs = diffs.collect();
                let seen = self.server.oracle(owner).past(clock).log().to_vec();
                let posted = posted(number, owner, clock, diffs, seen);
                Some(Sent { device, posted, ours: None, is_beside: false })
            }
        };
        self.devices[device].sent = sent.is_some().then_some(number);
        self.requests.extend(sent);
        Ok(())
    }

    /// Sends a request for a page of what one of our devices fetches once more, if it does.
    async fn send_beside(&mut self, device: usize) -> Result<bool, Failure> {
        let (number, owner) = (self.requests.len(), self.devices[device].owner);
        let Client::Ours(ours) = &mut self.devices[device].client else { return Ok(false) };
        let Some(request) = ours.fetch_beside(number, self.settings.page).await? else {
            return Ok(false);
        };
        let body = request.body();
        let clock = body.logical_clock;
        let seen = self.server.oracle(owner).seen(clock);
        let asked = posted(number, owner, clock, Vec::new(), seen);
        let head = body.head.clone().filter(|_| self.settings.heads);
        let posted = Posted { head, limit: body.limit, schema: body.schema, ..asked };
        let ours = Some((request, ours.life));
        self.devices[device].sent = Some(number);
        self.requests.push(Sent { device, posted, ours, is_beside: true });
        Ok(true)
    }

    /// A request, counted back from the newest one, wrapping around.
    fn before_newest(&self, request: usize) -> usize {
        let count = self.requests.len();
        count - 1 - request % count
    }

    async fn deliver(&mut self, request: usize) -> Result<(), Failure> {
        let reply = self.server.sync(&self.requests[request].posted).await?;
        self.answers.push((request, reply));
        Ok(())
    }

    async fn deliver_together(&mut self, requests: [usize; 2], pace: u64) -> Result<(), Failure> {
        let posted = requests.map(|request| &self.requests[request].posted);
        let replies = self.server.sync_together(posted, pace).await?;
        self.answers.extend(requests.into_iter().zip(replies));
        Ok(())
    }

    async fn hear(&mut self, device: usize) -> Result<(), Failure> {
        let waits_for = self.devices[device].sent;
        let answer = self.answers.iter().rposition(|(request, _)| Some(*request) == waits_for);
        match answer {
            Some(answer) => self.hear_answer(answer).await,
            None => Ok(()),
        }
    }

    /// An app that was restarted has no request that the answer could belong to, and the published one does
    /// not listen any more.
    async fn hear_late(&mut self, answer: usize) -> Result<(), Failure> {
        match &self.requests[self.answers[answer].0].ours {
            Some(_) => self.hear_answer(answer).await,
            None => Ok(()),
        }
    }

    async fn replay(&mut self, device: usize, answer: usize) -> Result<(), Failure> {
        let Some(number) = self.devices[device].sent else { return Ok(()) };
        let (_, Reply::Answer { answer, .. }) = &self.answers[answer] else { return Ok(()) };
        let Some((request, life)) = &self.requests[number].ours else { return Ok(()) };
        match &mut self.devices[device].client {
            Client::Ours(ours) if ours.life == *life => {
                if self.requests[number].is_beside {
                    return Ok(());
                }
                ours.hear_replayed(number, request, answer).await
            }
            _ => Ok(()),
        }
    }

    async fn hear_answer(&mut self, answer: usize) -> Result<(), Failure> {
        let (number, reply) = &self.answers[answer];
        let sent = &self.requests[*number];
        let device = &mut self.devices[sent.device];
        let rows = match (&mut device.client, reply) {
            (Client::Ours(ours), reply) => {
                let Some((request, life)) = &sent.ours else { return Ok(()) };
                if *life != ours.life {
                    return Ok(());
                }
                let oracle = self.server.oracle(device.owner);
                if sent.is_beside {
                    return match reply {
                        Reply::Answer { answer, .. } => {
                            ours.hear_beside(request, answer, oracle).await
                        }
                        Reply::Noticed | Reply::TooOld { .. } => {
                            ours.begin_beside_again(request).await
                        }
                        Reply::TooLarge | Reply::Failed => Ok(()),
                    };
                }
                match reply {
                    // Nobody noticed that the device's data is of another history.
                    Reply::Answer { seen: None, .. } => {
                        **ours = ours.anew().await;
                        return Ok(());
                    }
                    Reply::Answer { answer, told, rows, marked, seen: Some(seen) } => {
                        let applied =
                            ours.hear(*number, request, answer, told, seen, oracle).await?;
                        if !applied || !ours.is_quiet() {
                            return Ok(());
                        }
                        let [held, said] =
                            [ours.objects(), rows].map(|it| but(&ours.sent_of(it), marked));
                        return same_rows("a device that has heard", &held, &said);
                    }
                    Reply::Noticed => return ours.start_again(*number).await,
                    Reply::TooOld { forgotten } => {
                        return ours.hear_too_old(*number, request, *forgotten).await;
                    }
                    Reply::TooLarge => return ours.hear_too_large(*number, request).await,
                    Reply::Failed => return Ok(()),
                }
            }
            (Client::Published { now, .. }, Reply::Answer { answer, rows, marked, .. }) => {
                device.sent = None;
                let changes: Vec<Change> = sent.posted.diffs.iter().map(convert::change).collect();
                let entries: Vec<Entry> = answer.diffs.iter().map(convert::entry).collect();
                if !now.receive(&changes, answer.logical_clock, &entries) {
                    return Ok(());
                }
                // Its version of these objects may be newer than the log's.
                if !marked.is_empty() {
                    return Ok(());
                }
                rows
            }
            (Client::Published { now, .. }, other) => {
                now.is_lost |= matches!(other, Reply::TooOld { .. });
                device.sent = None;
                return Ok(());
            }
        };
        device.compare(rows, self.settings.published())
    }
}

impl Device {
    /// Whether it will never get an answer again.
    fn is_lost(&self) -> bool {
        matches!(&self.client, Client::Published { now, .. } if now.is_lost)
    }

    /// Its rows are these, except objects that went astray in the published client.
    fn compare(&self, rows: &Objects, version: Version) -> Result<(), Failure> {
        match &self.client {
            Client::Ours(ours) => {
                let [held, said] = [ours.objects(), rows].map(|it| ours.sent_of(it));
                same_rows("one of our devices", &held, &said)
            }
            Client::Published { .. } if self.is_lost() => Ok(()),
            Client::Published { now, .. } => {
                let but_astray = |rows: &Objects| -> Objects {
                    let rows = rows.iter().filter(|(key, _)| !now.astray.contains(*key));
                    version.rows(&rows.map(|(key, row)| (key.clone(), row.clone())).collect())
                };
                same_rows("a published device", &but_astray(&now.objects), &but_astray(rows))
            }
        }
    }
}

/// A request, with options that depend on its number.
fn posted(number: usize, owner: usize, clock: i64, diffs: Vec<Diff>, seen: Vec<Entry>) -> Posted {
    let (report, check) = (number % 4 < 3, number % 4 > 1);
    Posted { owner, clock, diffs, seen, report, check, ..Posted::default() }
}

/// Without objects that others have changed in the meantime.
fn but(objects: &Objects, marked: &BTreeSet<Key>) -> Objects {
    let others = objects.iter().filter(|(key, _)| !marked.contains(*key));
    others.map(|(key, row)| (key.clone(), row.clone())).collect()
}

fn same_rows(what: &str, is: &Objects, said: &Objects) -> Result<(), Failure> {
    same(what, &without_nulls(is), &without_nulls(said))
}

/// What a person does to an object that exists, or does not.
pub fn kind(edit: &Edit, is_there: bool) -> Kind {
    match (is_there, edit.delete) {
        (false, _) => Kind::Create,
        (true, false) => Kind::Update,
        (true, true) => Kind::Delete,
    }
}
