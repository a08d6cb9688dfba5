//! When two worlds are alike, so that the same can follow from both.
//!
//! * *Names.* Every edit has its own id and writes its own value. Both are only ever compared for equality
//!   (the ids would decide the log's order last, but no two entries of an object have the same tick and
//!   time: `Server::check`). So an edit may be named by its place in the log, or, while only one device
//!   knows it, by its place on that device.
//! * *Devices.* A device is only its state and its request: the server does not know which device sends.
//!   So worlds whose devices are the same in another order are alike.
//! * *Fields.* The two fields are always together, or one is as the other: every rule is per field.
//!   So worlds are alike if one is the other with `a` and `b` exchanged.
//! * *Ids and ticks of answers.* No device uses them.

use std::hash::{DefaultHasher, Hasher};

use super::{
    oracle::{Change, Entry, Fields, Kind, Objects, device::Device},
    support::T0,
    world::{Flight, Server, World},
};

/// A fingerprint under either naming of the fields.
pub type Likeness = [u128; 2];

/// The same for worlds that are alike.
pub fn of_world(world: &World) -> u128 {
    let of = |naming: usize| {
        let mut parts: Vec<u128> = world.parts.iter().map(|part| part.likeness[naming]).collect();
        parts.sort_unstable();
        let World { edits_left, losses_left, pages_left, compactions_left, .. } = world;
        let left = [*edits_left, *losses_left, *pages_left, *compactions_left];
        let left = left.map(|left| left as u128);
        let all = [world.server.likeness[naming]].into_iter().chain(parts).chain(left);
        hash(&all.flat_map(u128::to_le_bytes).collect::<Vec<u8>>())
    };
    of(0).min(of(1))
}

/// The same for a device and a server that are alike.
pub fn of_pair(world: &World, device: usize) -> u128 {
    let of = |naming: usize| {
        let pair = [world.server.likeness[naming], world.parts[device].likeness[naming]];
        hash(&pair.map(u128::to_le_bytes).concat())
    };
    of(0).min(of(1))
}

pub fn of_server(server: &Server) -> Likeness {
    [false, true].map(|is_swapped| {
        let mut text = Text::new(server, is_swapped);
        text.many(&server.log, |text, entry| {
            text.number(entry.tick);
            text.entry(entry);
        });
        text.objects(&server.rows);
        text.number(server.horizon);
        text.number(server.forgotten);
        hash(&text.bytes)
    })
}

pub fn of_part(told: &Device, flight: Option<&Flight>, server: &Server) -> Likeness {
    [false, true].map(|is_swapped| {
        let mut text = Text::new(server, is_swapped);
        text.number(told.clock);
        text.many(&told.pending, Text::change);
        text.objects(&told.objects);
        assert!(told.refused.is_empty(), "nothing is refused here");
        text.many(&told.sent, |text, id| text.name(number_of(id)));
        text.number(i64::from(!told.waiting.is_empty()));
        text.number(i64::from(told.anew));
        text.number((told.latest - T0).clamp(0, 100));
        assert!(told.left_out.is_empty(), "each request has all that is pending");
        text.many(flight, |text, flight| {
            text.number(flight.clock);
            text.number(flight.too_old.map_or(0, |forgotten| 1 + i64::from(forgotten)));
            text.many(&flight.sent, Text::change);
            text.many(&flight.answer, Text::entry);
            text.objects(&flight.rows);
        });
        hash(&text.bytes)
    })
}

/// A text in names that are the same for alike worlds.
struct Text<'s> {
    log: &'s [Entry],
    is_swapped: bool,
    /// Edits that are not in the log.
    others: Vec<u64>,
    bytes: Vec<u8>,
}

impl<'s> Text<'s> {
    fn new(server: &'s Server, is_swapped: bool) -> Self {
        Self { log: &server.log, is_swapped, others: Vec::new(), bytes: Vec::with_capacity(256) }
    }

    fn number(&mut self, number: i64) {
        self.bytes.push(u8::try_from(number).expect("a small world"));
    }

    fn many<T>(&mut self, many: impl IntoIterator<Item = T>, mut say: impl FnMut(&mut Self, T)) {
        let place = self.bytes.len();
        self.bytes.push(0);
        for one in many {
            self.bytes[place] += 1;
            say(self, one);
        }
    }

    fn name(&mut self, edit: u64) {
        let logged =
            self.log.iter().position(|entry| entry.id.as_deref().map(number_of) == Some(edit));
        let name = logged.unwrap_or_else(|| {
            let other = self.others.iter().position(|other| *other == edit);
            let other = other.unwrap_or_else(|| {
                self.others.push(edit);
                self.others.len() - 1
            });
            100 + other
        });
        self.bytes.push(u8::try_from(name).expect("a small world"));
    }

    fn change(&mut self, change: &Change) {
        self.name(number_of(&change.id));
        self.what(change.kind, change.at, &change.fields);
    }

    fn entry(&mut self, entry: &Entry) {
        self.what(entry.kind, entry.at, &entry.fields);
    }

    fn what(&mut self, kind: Kind, at: i64, fields: &Fields) {
        self.bytes.push(kind as u8);
        // The server's time is far away.
        self.number((at - T0).min(100));
        self.fields(fields);
    }

    fn objects(&mut self, objects: &Objects) {
        self.many(objects.values(), Text::fields);
    }

    fn fields(&mut self, fields: &Fields) {
        let names = if self.is_swapped { ["b", "a"] } else { ["a", "b"] };
        for name in names {
            match fields.get(name) {
                None => self.bytes.push(u8::MAX),
                Some(value) => self.name(value.as_u64().expect("an edit's number")),
            }
        }
    }
}

/// The number of an edit, from its id.
fn number_of(id: &str) -> u64 {
    id.trim_start_matches('d').parse().expect("an edit's id")
}

/// 128 bits, so that among hundreds of millions of worlds no two different ones seem the same.
fn hash(bytes: &[u8]) -> u128 {
    [0, 1].into_iter().fold(0, |hash, half| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(half);
        hasher.write(bytes);
        hash << 64 | u128::from(hasher.finish())
    })
}
