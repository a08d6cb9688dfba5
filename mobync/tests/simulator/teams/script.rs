//! The events in a world of teams, drawn from a seed.

use fastrand::Rng;

use super::club::{PEOPLE, Role, SPACES, Trouble};
use crate::{
    shrink::History,
    step::{self, Edit, FIELDS, KilledAt, OBJECTS},
};

/// A world and its history.
#[derive(Clone, Debug)]
pub struct Script {
    pub settings: Settings,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub struct Settings {
    /// What the server and the database are like.
    pub server: step::Settings,
    /// The clients, each of which is one person's.
    pub phones: Vec<Kind>,
    pub people: usize,
    /// How many of the spaces everybody joins in the end.
    pub spaces: usize,
    /// Who is a member of which space at first.
    pub members: Vec<(usize, usize, Role)>,
    /// Whether clients ask for the owner, and say it.
    pub names: bool,
}

/// The client on a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One that was written from the text alone, with this limit on the diffs of a space in a request.
    Text { limit: usize },
    /// That of `mobync::client`.
    Ours { limit: usize },
    /// The one published for Flutter in 2020, which knows no spaces.
    Published,
}

/// One event. All numbers wrap around.
#[derive(Clone, Debug)]
pub enum Step {
    /// A person changes something of their own, or of a space that the phone has.
    Edit {
        phone: usize,
        whose: usize,
        edit: Edit,
    },
    /// A phone makes a request for some of what it has, and abandons the previous request for it.
    Send {
        phone: usize,
        some: u64,
    },
    /// A request arrives, counted from the last one: never, once, or often.
    Deliver {
        request: usize,
    },
    /// The last request of a phone arrives.
    Arrive {
        phone: usize,
    },
    /// Two requests arrive at once; the pace is the seed of the order in which the database serves them.
    DeliverTogether {
        requests: [usize; 2],
        pace: u64,
    },
    /// A phone receives the newest answer to its last request.
    Hear {
        phone: usize,
    },
    /// A phone receives some old answer.
    HearLate {
        answer: usize,
    },
    /// Nothing comes back to a phone that waits.
    Lose {
        phone: usize,
    },
    /// A phone sends, and receives the answers, until it has nothing to say.
    Sync {
        phone: usize,
    },
    /// A phone joins a space, whether its person is a member or not.
    Join {
        phone: usize,
        space: usize,
    },
    /// A phone leaves a space, because its person wants to.
    Leave {
        phone: usize,
        space: usize,
    },
    /// On the server, a person becomes a member of a space with that role, or is removed. If there is a number,
    /// this happens only after the application has been asked so often: in the middle of a request.
    Member {
        person: usize,
        space: usize,
        role: Role,
        calls: Option<usize>,
    },
    /// The application has trouble the next time but so many that it is asked.
    Trouble {
        calls: usize,
        trouble: Trouble,
    },
    /// The application does not look at the space any more, or does again.
    Blind {
        is_blind: bool,
    },
    /// The database fails after this many calls.
    Fault {
        calls: usize,
        busy: bool,
    },
    /// Everything of one owner fails until all is open again.
    Shut {
        owner: usize,
        busy: bool,
    },
    OpenAll,
    /// The server is an older one, which does not know `syncs`, or is a new one again.
    Old {
        is_old: bool,
    },
    /// The server is restarted, on the same database.
    Restart,
    /// The backend writes.
    Write {
        owner: usize,
        edit: Edit,
    },
    /// An owner's log is compacted. The server dies after this many calls of the database, if it is given.
    Compact {
        owner: usize,
        calls: Option<usize>,
    },
    /// The app is killed, at this operation of the transaction after so many.
    Kill {
        phone: usize,
        at: KilledAt,
        after: usize,
    },
    /// The app is started with the token of this person, whose phone it may not be.
    Login {
        phone: usize,
        person: usize,
    },
    /// The app is installed again, and has lost everything.
    Install {
        phone: usize,
    },
    /// A copy of a phone is saved.
    Backup {
        phone: usize,
    },
    /// A phone is restored from its copy.
    Restore {
        phone: usize,
    },
    Pass {
        millis: i64,
    },
    Jump {
        phone: usize,
        off: i64,
    },
}

impl Script {
    /// With our clients, or with those that were written from the text alone.
    pub fn of_seed(seed: u64, ours: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let settings = Settings::draw(&mut rng, ours);
        let style = Style::draw(&mut rng);
        let length = rng.usize(8..70);
        let mut steps = Vec::new();
        for phone in 0..settings.phones.len() {
            // Most phones have most spaces from the beginning.
            let spaces = (0..SPACES.len()).filter(|_| rng.u8(..3) > 0);
            let spaces: Vec<usize> = spaces.collect();
            steps.extend(spaces.into_iter().map(|space| Step::Join { phone, space }));
        }
        steps.extend((0..length).flat_map(|_| style.steps(&mut rng)));
        Self { settings, steps }
    }
}

impl Settings {
    fn draw(rng: &mut Rng, ours: bool) -> Self {
        let people = rng.usize(1..=PEOPLE.len());
        let published = rng.u8(..4) == 0;
        let phone = |rng: &mut Rng| {
            let limit = [1, 2, 3, 100, 100][rng.usize(..5)];
            match (published && rng.u8(..3) == 0, ours && rng.u8(..4) > 0) {
                (true, _) => Kind::Published,
                (false, true) => Kind::Ours { limit },
                (false, false) => Kind::Text { limit },
            }
        };
        let phones: Vec<Kind> = (0..rng.usize(people..=people + 2)).map(|_| phone(rng)).collect();
        let mut members = Vec::new();
        for person in 0..people {
            for space in 0..SPACES.len() {
                members.push((person, space, Role::draw(rng)));
            }
        }
        // A client of 2020 would send too many diffs for ever.
        let is_small = !phones.contains(&Kind::Published) && rng.u8(..4) == 0;
        let few = |rng: &mut Rng| rng.bool().then(|| rng.u64(1..6));
        let server = step::Settings {
            owners: super::club::OWNERS.len(),
            devices: Vec::new(),
            max_diffs: if is_small { rng.usize(3..=6) } else { 10_000 },
            rules: rng.bool(),
            constraints: rng.bool(),
            batches: rng.bool(),
            numbers: false,
            heads: true,
            page: few(rng),
            page_all: few(rng).filter(|few| *few < 3),
            restores: false,
            compacts: rng.bool(),
            at_once: rng.usize(1..6),
            versions: false,
        };
        Self { server, phones, people, spaces: SPACES.len(), members, names: rng.bool() }
    }
}

/// The probabilities of events in one world.
struct Style {
    calm: bool,
    objects: usize,
    jumps: bool,
    /// How many of a hundred events are changes of who is a member.
    moves: u8,
}

impl Style {
    fn draw(rng: &mut Rng) -> Self {
        let objects = rng.usize(1..=OBJECTS.len());
        Self { calm: rng.u8(..4) == 0, objects, jumps: rng.bool(), moves: rng.u8(3..16) }
    }

    fn edit(&self, rng: &mut Rng) -> Edit {
        let fields = rng.usize(..=2);
        let mut field = || (rng.usize(..FIELDS.len()), rng.usize(..14));
        let fields = (0..fields).map(|_| field()).collect();
        Edit { object: rng.usize(..self.objects), fields, delete: rng.u8(..10) < 3 }
    }

    fn steps(&self, rng: &mut Rng) -> Vec<Step> {
        if rng.u8(..100) < self.moves / 4 {
            // Left and joined again at once, perhaps while a request is under way.
            let (phone, space) = (rng.usize(..12), rng.usize(..12));
            let again = [Step::Leave { phone, space }, Step::Join { phone, space }];
            if rng.bool() {
                return again.to_vec();
            }
            let before = [Step::Send { phone, some: u64::MAX }, Step::Deliver { request: 0 }];
            return [&before[..], &again, &[Step::Hear { phone }]].concat();
        }
        vec![self.step(rng)]
    }

    fn step(&self, rng: &mut Rng) -> Step {
        let phone = rng.usize(..12);
        let edit = self.edit(rng);
        let space = rng.usize(..12);
        if rng.u8(..100) < self.moves {
            return match rng.u8(..4) {
                0 | 1 => {
                    let calls = (!self.calm && rng.bool()).then(|| rng.usize(..6));
                    let role = Role::draw(rng);
                    Step::Member { person: rng.usize(..12), space, role, calls }
                }
                2 => Step::Join { phone, space },
                _ if rng.bool() => Step::Leave { phone, space },
                _ => Step::Join { phone, space },
            };
        }
        match rng.u8(..100) {
            0..34 => Step::Edit { phone, whose: rng.usize(..12), edit },
            34..46 => Step::Sync { phone },
            46..56 => Step::Send { phone, some: rng.u64(..) },
            56..61 => Step::Deliver { request: if rng.bool() { 0 } else { rng.usize(..20) } },
            61..66 => Step::Arrive { phone },
            66..76 => Step::Hear { phone },
            76..79 => Step::Write { owner: rng.usize(..12), edit },
            79..81 => Step::Pass { millis: [1, 2, 50, 400_000][rng.usize(..4)] },
            81..83 if self.jumps => {
                let off = [0, 0, 5, -5, 20, -20, -3000, 600_000];
                Step::Jump { phone, off: off[rng.usize(..off.len())] }
            }
            _ if self.calm => Step::Sync { phone },
            83 => Step::Lose { phone },
            84 => Step::HearLate { answer: rng.usize(..20) },
            85 | 86 => Step::DeliverTogether {
                requests: [rng.usize(..3), rng.usize(..20)],
                pace: rng.u64(..),
            },
            87 => Step::Fault { calls: rng.usize(..16), busy: rng.bool() },
            88 => Step::Shut { owner: rng.usize(..12), busy: rng.bool() },
            89 => Step::OpenAll,
            90 => Step::Trouble { calls: rng.usize(..5), trouble: Trouble::draw(rng) },
            91 => Step::Old { is_old: rng.u8(..3) == 0 },
            92 => Step::Blind { is_blind: rng.u8(..4) == 0 },
            93 => Step::Restart,
            94 | 95 => {
                let places = [KilledAt::Begin, KilledAt::BeforeCommit, KilledAt::BehindCommit];
                Step::Kill { phone, at: places[rng.usize(..3)], after: rng.usize(..6) }
            }
            96 => Step::Install { phone },
            97 if rng.bool() => Step::Backup { phone },
            97 => Step::Restore { phone },
            98 if rng.bool() => Step::Login { phone, person: rng.usize(..12) },
            98 => {
                let calls = (rng.u8(..3) == 0).then(|| rng.usize(4..24));
                Step::Compact { owner: rng.usize(..12), calls }
            }
            _ => Step::Edit { phone, whose: rng.usize(..12), edit },
        }
    }
}

impl History for Script {
    type Step = Step;

    fn steps(&self) -> &Vec<Step> {
        &self.steps
    }

    fn steps_mut(&mut self) -> &mut Vec<Step> {
        &mut self.steps
    }

    fn simpler(step: &Step) -> Vec<Step> {
        match step {
            Step::Edit { phone, whose, edit } => {
                let less = edit.less().into_iter();
                less.map(|edit| Step::Edit { phone: *phone, whose: *whose, edit }).collect()
            }
            Step::Write { owner, edit } => {
                edit.less().into_iter().map(|edit| Step::Write { owner: *owner, edit }).collect()
            }
            Step::DeliverTogether { requests, .. } => {
                requests.iter().map(|request| Step::Deliver { request: *request }).collect()
            }
            Step::Member { person, space, role, calls: Some(_) } => {
                let (person, space, role) = (*person, *space, *role);
                vec![Step::Member { person, space, role, calls: None }]
            }
            Step::Compact { owner, calls: Some(_) } => {
                vec![Step::Compact { owner: *owner, calls: None }]
            }
            _ => Vec::new(),
        }
    }

    fn settings(&self) -> String {
        format!("{:?}", self.settings)
    }
}
