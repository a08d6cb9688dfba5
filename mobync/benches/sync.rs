//! What a sync costs besides its database: parsing, answering, and the whole endpoint in memory.
//!
//! `bare` reads the same JSON into plain structs and checks nothing: the least that a server must do.
//!
//! `cargo bench -p mobync --all-features --bench sync`
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark")]

use std::{hint::black_box, sync::atomic::AtomicUsize, sync::atomic::Ordering};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::Request;
use http_body_util::Full;
use mobync::{
    Diff, Mobync, Operation, Owner, SyncRequest, SyncResponse,
    http::{Endpoint, respond},
    memory::MemoryDatabase,
};

#[derive(serde::Deserialize)]
struct Bare {
    logical_clock: i64,
    diffs: Vec<Diff>,
}

/// A create of about 150 bytes of json_data.
fn create(place: usize) -> Diff {
    Diff {
        id: format!("5a0c4b1e-0000-4000-8000-{place:012}"),
        owner: String::new(),
        logical_clock: 0,
        utc_timestamp: 1_700_000_000_000,
        operation: Operation::Create,
        model: "tasks".to_owned(),
        json_data: format!(
            r#"{{"id":"7b1d4b1e-0000-4000-8000-{place:012}","name":"Buy {place} bottles of milk","note":"The one with the blue cap","done":false,"position":{place}}}"#
        ),
    }
}

fn body(diffs: usize) -> Bytes {
    let request = SyncRequest::new(0, (0..diffs).map(create).collect());
    serde_json::to_vec(&request).expect("JSON").into()
}

fn read_bare(body: &[u8]) -> usize {
    let bare: Bare = serde_json::from_slice(body).expect("a sound body");
    black_box(bare.logical_clock);
    let read = |diff: &Diff| -> serde_json::Value {
        serde_json::from_str(&diff.json_data).expect("a sound diff")
    };
    bare.diffs.iter().map(read).map(black_box).count()
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for diffs in [0, 10, 10_000] {
        let body = body(diffs);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("bare", diffs), &body, |bencher, body| {
            bencher.iter(|| read_bare(black_box(body)));
        });
        group.bench_with_input(BenchmarkId::new("mobync", diffs), &body, |bencher, body| {
            bencher.iter(|| {
                let request = SyncRequest::from_slice(black_box(body)).expect("a sound body");
                mobync::merge::Request::new(&request.diffs).expect("sound diffs").len()
            });
        });
    }
    group.finish();
}

fn answer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("answer");
    for diffs in [0, 100, 10_000] {
        let answer = SyncResponse::new(7, (0..diffs).map(create).collect());
        group.throughput(Throughput::Elements(diffs as u64));
        group.bench_with_input(BenchmarkId::from_parameter(diffs), &answer, |bencher, answer| {
            bencher.iter(|| respond(Ok(black_box(answer))));
        });
    }
    group.finish();
}

fn endpoint(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = criterion.benchmark_group("endpoint");
    for diffs in [0, 10] {
        let body = body(diffs);
        let endpoint =
            Endpoint::new(Mobync::new(MemoryDatabase::new()), |credentials| async move {
                Ok(Owner::new(credentials.token()?)?)
            });
        let owners = AtomicUsize::new(0);
        group.bench_with_input(BenchmarkId::from_parameter(diffs), &body, |bencher, body| {
            bencher.iter(|| {
                let owner = owners.fetch_add(1, Ordering::Relaxed);
                let request = Request::post("/sync")
                    .header("content-type", "application/json")
                    .header("authorization", format!("Bearer owner{owner}"))
                    .body(Full::new(body.clone()))
                    .expect("a request");
                let response = runtime.block_on(endpoint.handle(request));
                assert_eq!(response.status(), 200);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parse, answer, endpoint);
criterion_main!(benches);
