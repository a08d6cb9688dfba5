//! What a merge costs as the request and the window grow: it must be linear in both.
//!
//! `growth` takes requests that are as awkward as a device can make them, and prints how many times as long four times as many
//! diffs take: about 4, and never near 16.
//!
//! `cargo bench -p mobync --bench merge`
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mobync::{
    Diff, Operation, Owner, Window,
    merge::{Merge, Now, Request, Rows},
};

fn diff(id: String, tick: i64, operation: Operation, object: usize) -> Diff {
    Diff {
        id,
        owner: "ada".to_owned(),
        logical_clock: tick,
        utc_timestamp: 1_700_000_000_000 + tick,
        operation,
        model: "tasks".to_owned(),
        json_data: format!(
            r#"{{"id":"object-{object}","name":"Buy {object} bottles of milk","done":false,"position":{object}}}"#
        ),
    }
}

/// A device that has seen nothing, and a log of which four entries in five are updates.
fn window(entries: usize) -> Window {
    let entry = |place: usize| {
        let operation = if place.is_multiple_of(5) { Operation::Create } else { Operation::Update };
        let tick = i64::try_from(place).expect("a small number");
        diff(format!("entry-{place}"), tick, operation, place / 5)
    };
    Window {
        clock: i64::try_from(entries).expect("a small number"),
        entries: (0..entries).map(entry).collect(),
        ..Window::default()
    }
}

/// Updates of objects of which every second one is in the window.
fn diffs(count: usize, window: usize) -> Vec<Diff> {
    let object = |place: usize| {
        if place.is_multiple_of(2) { place % (window / 5).max(1) } else { window + place }
    };
    (0..count)
        .map(|place| diff(format!("new-{place}"), 0, Operation::Update, object(place)))
        .collect()
}

fn merge(
    request: &Request<'_>,
    window: &mut Window,
    owner: &Owner,
    refuses: impl Fn(&Diff) -> bool,
) -> usize {
    let objects = request.objects();
    window.existing = vec![true; objects.len()];
    let now = Now { utc: 1_800_000_000_000, drift: 300_000 };
    let mut merge = Merge::new(0, request, &objects, window, now).expect("a sound log");
    for place in merge.steps() {
        let is_refused = |place| refuses(request.diff(place));
        while let Some(delete) = merge.parts_until(place).filter(|delete| is_refused(*delete)) {
            merge.foresee_refusal(delete);
        }
        let step = merge.plan(place);
        black_box(merge.write(&step));
        merge.settle(step, is_refused(place), String::new);
    }
    for entries in merge.log(owner, 1_000) {
        black_box(entries);
    }
    merge.finish(owner, &Rows::new(), |_, _| None, String::new).diffs.len()
}

fn bench(criterion: &mut Criterion) {
    let owner = Owner::new("ada").expect("a name");
    let mut group = criterion.benchmark_group("merge");
    group.sample_size(10);
    for (new, entries) in
        [(10, 0), (10, 1_000), (1_000, 10_000), (10_000, 10_000), (10_000, 100_000)]
    {
        let (diffs, mut window) = (diffs(new, entries), window(entries));
        let request = Request::new(&diffs).expect("sound diffs");
        group.throughput(Throughput::Elements((new + entries) as u64));
        let name = BenchmarkId::from_parameter(format!("{new} diffs, window of {entries}"));
        group.bench_function(name, |bencher| {
            bencher.iter(|| merge(&request, &mut window, &owner, |_| false));
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("check");
    for new in [10, 10_000] {
        let diffs = diffs(new, 0);
        group.throughput(Throughput::Elements(new as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{new} diffs")), |bencher| {
            bencher.iter(|| Request::new(black_box(&diffs)).expect("sound diffs").len());
        });
    }
    group.finish();
}

/// A request, and the log before it.
struct Shape {
    diffs: Vec<Diff>,
    entries: Vec<Diff>,
    /// Whether all deletes are refused.
    refuses_deletes: bool,
}

/// Creates and deletes of one object in turn.
fn lives(count: usize, id: &str, tick: i64) -> Vec<Diff> {
    let operations = [Operation::Create, Operation::Delete].into_iter().cycle();
    let life = |(place, operation): (usize, Operation)| {
        let utc_timestamp = i64::try_from(place).expect("a small number");
        Diff { utc_timestamp, ..diff(format!("{id}-{place}"), tick, operation, 0) }
    };
    (0..count).zip(operations).map(life).collect()
}

/// Updates of one object, each of another field.
fn other_fields(count: usize) -> Vec<Diff> {
    let update = |place: usize| Diff {
        json_data: format!(r#"{{"id":"object-0","field-{place}":{place}}}"#),
        ..diff(format!("new-{place}"), 0, Operation::Update, 0)
    };
    (0..count).map(update).collect()
}

/// One update of so many fields.
fn many_fields(count: usize) -> Vec<Diff> {
    let fields: Vec<String> =
        (0..count).map(|place| format!(r#""field-{place}":{place}"#)).collect();
    let json_data = format!(r#"{{"id":"object-0",{}}}"#, fields.join(","));
    vec![Diff { json_data, ..diff("new".to_owned(), 0, Operation::Update, 0) }]
}

/// Updates and a create of each of so many objects, in the wrong order.
fn first_creates(count: usize) -> Vec<Diff> {
    let pair = |place: usize| {
        let operation = if place < count / 2 { Operation::Update } else { Operation::Create };
        diff(format!("new-{place}"), 0, operation, place % (count / 2))
    };
    (0..count).map(pair).collect()
}

type Shaped = fn(usize) -> Shape;

const SHAPES: [(&str, Shaped); 8] = [
    ("one object, created and deleted in turn", |count| Shape {
        diffs: lives(count, "new", 0),
        entries: Vec::new(),
        refuses_deletes: false,
    }),
    ("the same beside a life of others, deletes refused", |count| Shape {
        diffs: lives(count, "new", 0),
        entries: vec![diff("old".to_owned(), 0, Operation::Create, 0)],
        refuses_deletes: true,
    }),
    ("the same, all known", |count| Shape {
        diffs: lives(count, "new", 0),
        entries: lives(count, "new", 0),
        refuses_deletes: false,
    }),
    ("a log of one object's lives", |count| Shape {
        diffs: lives(2, "new", 0),
        entries: (0i64..)
            .zip(lives(count, "old", 0))
            .map(|(tick, entry)| Diff { logical_clock: tick, ..entry })
            .collect(),
        refuses_deletes: false,
    }),
    ("updates of one object, each of another field", |count| Shape {
        diffs: other_fields(count),
        entries: vec![diff("old".to_owned(), 0, Operation::Create, 0)],
        refuses_deletes: false,
    }),
    ("one update of many fields", |count| Shape {
        diffs: many_fields(count),
        entries: vec![diff("old".to_owned(), 0, Operation::Create, 0)],
        refuses_deletes: false,
    }),
    ("known diffs, sent under another object", |count| Shape {
        diffs: diffs(count, 5),
        entries: (0..count)
            .map(|place| diff(format!("new-{place}"), 0, Operation::Create, count + place))
            .collect(),
        refuses_deletes: false,
    }),
    ("updates of many objects before their creates", |count| Shape {
        diffs: first_creates(count),
        entries: Vec::new(),
        refuses_deletes: false,
    }),
];

impl Shape {
    /// The least time of a few.
    fn time(&self, owner: &Owner) -> Duration {
        let clock = self.entries.iter().map(|entry| entry.logical_clock + 1).max().unwrap_or(0);
        let mut window = Window { clock, entries: self.entries.clone(), ..Window::default() };
        let mut run = || {
            let started = Instant::now();
            let request = Request::new(&self.diffs).expect("sound diffs");
            black_box(request.misnamed_objects(&window).expect("a sound log").len());
            let refuses = |diff: &Diff| self.refuses_deletes && diff.operation == Operation::Delete;
            black_box(merge(&request, &mut window, owner, refuses));
            started.elapsed()
        };
        (0..5).map(|_| run()).min().unwrap_or_default()
    }
}

fn growth(_: &mut Criterion) {
    let owner = Owner::new("ada").expect("a name");
    for (name, shape) in SHAPES {
        let [few, many] = [2_500, 10_000].map(|count| shape(count).time(&owner));
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!("growth: {name}: 10,000 in {many:.1?}, {ratio:.1} times as long as 2,500");
    }
}

criterion_group!(benches, bench, growth);
criterion_main!(benches);
