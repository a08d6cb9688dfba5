//! What a merge costs as the request and the window grow: it must be linear in both.
//!
//! `cargo bench -p mobync --bench merge`
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

use std::hint::black_box;

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

fn merge(request: &Request<'_>, window: &mut Window, owner: &Owner) -> usize {
    let objects = request.objects();
    window.existing = vec![true; objects.len()];
    let now = Now { utc: 1_800_000_000_000, drift: 300_000 };
    let mut merge = Merge::new(0, request, &objects, window, now).expect("a sound log");
    for place in merge.steps() {
        let step = merge.plan(place).expect("a new diff");
        black_box(merge.write(&step));
        merge.settle(step, false, String::new);
    }
    for entries in merge.log(owner, 1_000) {
        black_box(entries);
    }
    merge.finish(owner, &Rows::new(), String::new).diffs.len()
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
            bencher.iter(|| merge(&request, &mut window, &owner));
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

criterion_group!(benches, bench);
criterion_main!(benches);
