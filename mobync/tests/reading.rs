//! What a backend and its rules can read: the owner's records, and the log, which is a model too.

mod support;

use mobync::{
    Access, Database, Diff, Owner, ReadFilter, Record, UnitOfWork, memory::MemoryDatabase,
};
use serde_json::{Value, json};
use support::{Server, ada, create, databases::on_every_database, delete, diffs, owner, update};

on_every_database! {
    super::Server::new;
    the_log_is_read_by_every_filter_like_any_other_model
    the_log_is_empty_before_the_first_sync
    a_unit_of_work_reads_what_it_appended
}

/// The seven columns of the log, each with values that entries have, and with some that none has.
fn columns(log: &[Diff]) -> Vec<(&'static str, Vec<Value>)> {
    let of_entries = |member: fn(&Diff) -> Value| log.iter().map(member);
    let texts = || ["", "a", "~", "bob", "bobs"].map(Value::from);
    let numbers = || [json!(-1), json!(1), json!(1.5), json!(i64::MAX)];
    vec![
        ("id", of_entries(|entry| json!(entry.id)).chain(texts()).collect()),
        ("owner", of_entries(|entry| json!(entry.owner)).chain(texts()).collect()),
        ("type", of_entries(|entry| json!(entry.operation)).chain(texts()).collect()),
        ("model", of_entries(|entry| json!(entry.model)).chain(texts()).collect()),
        ("json_data", of_entries(|entry| json!(entry.json_data)).chain(texts()).collect()),
        (
            "logical_clock",
            of_entries(|entry| json!(entry.logical_clock)).chain(numbers()).collect(),
        ),
        (
            "utc_timestamp",
            of_entries(|entry| json!(entry.utc_timestamp)).chain(numbers()).collect(),
        ),
    ]
}

/// Every kind of filter with each of the values.
fn filters(log: &[Diff]) -> Vec<ReadFilter> {
    let mut filters = Vec::new();
    for (column, values) in columns(log) {
        filters.push(ReadFilter::equal(column, Value::Null));
        filters.push(ReadFilter::any_of(column, values.iter().skip(1).step_by(2).cloned()));
        for value in values {
            filters.extend([
                ReadFilter::equal(column, value.clone()),
                ReadFilter::greater(column, value.clone()),
                ReadFilter::less(column, value.clone()),
                ReadFilter::greater_or_equal(column, value.clone()),
                ReadFilter::less_or_equal(column, value),
            ]);
        }
    }
    filters
}

async fn read<D: Database>(
    server: &Server<D>,
    owner: &Owner,
    filters: &[ReadFilter],
) -> Vec<Record> {
    let mut unit = server.mobync.database().open(owner, Access::Read).await.unwrap();
    let mut records = unit.read(owner, "diffs", filters).await.unwrap();
    records.sort_by(|left, right| left.id().cmp(right.id()));
    records
}

async fn the_log_is_read_by_every_filter_like_any_other_model(server: Server<impl Database>) {
    let bob = owner("bob");
    let bobs = [create("t1", json!({"a": "bob's"})).id("d1"), create("t2", json!({})).id("bobs")];
    server.mobync.apply(&bob, 0, diffs(bobs)).await.unwrap();
    server
        .sync(
            0,
            [create("t1", json!({"a": 1})).id("d1"), update("t1", json!({"a": 2})).id("d2").at(1)],
        )
        .await;
    server.sync(1, [create("m1", json!({})).model("members").id("d3").at(2)]).await;
    server.sync(2, [delete("t1").id("d4").at(-5)]).await;

    let log = server.log().await;
    let expected = |filters: &[ReadFilter]| {
        let mut records: Vec<Record> = log.iter().cloned().map(Diff::into_record).collect();
        records.retain(|record| filters.iter().all(|filter| filter.matches(record)));
        records.sort_by(|left, right| left.id().cmp(right.id()));
        records
    };
    assert_eq!(log.len(), 4);
    let all = read(&server, &ada(), &[]).await;
    assert_eq!(all, expected(&[]));
    let again: Result<Vec<Diff>, _> = all.into_iter().map(Diff::from_record).collect();
    assert_eq!(again.unwrap().len(), 4, "each is a diff");
    let every_filter = filters(&log);
    for filter in &every_filter {
        let one = std::slice::from_ref(filter);
        assert_eq!(read(&server, &ada(), one).await, expected(one), "{filter:?}");
        let narrow = [filter.clone(), ReadFilter::less("logical_clock", 2)];
        assert_eq!(read(&server, &ada(), &narrow).await, expected(&narrow), "{narrow:?}");
    }

    let ids = |records: Vec<Record>| -> Vec<String> {
        records.iter().map(|record| record.id().to_owned()).collect()
    };
    assert_eq!(ids(read(&server, &bob, &[]).await), ["bobs", "d1"]);
    assert!(read(&server, &bob, &[ReadFilter::equal("owner", "ada")]).await.is_empty());
    assert!(read(&server, &owner("eve"), &[]).await.is_empty());
}

async fn the_log_is_empty_before_the_first_sync(server: Server<impl Database>) {
    assert!(read(&server, &ada(), &[]).await.is_empty());
    assert!(read(&server, &ada(), &filters(&[])).await.is_empty());
}

async fn a_unit_of_work_reads_what_it_appended(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1})).id("d1")]).await;
    let mut unit = server.mobync.database().open(&ada(), Access::Write).await.unwrap();
    let entry = create("t2", json!({})).id("d2").at(1).0;
    let entry = Diff { owner: "ada".to_owned(), logical_clock: 1, ..entry };
    unit.append(&ada(), "diffs", vec![entry]).await.unwrap();
    let new = unit.read(&ada(), "diffs", &[ReadFilter::equal("logical_clock", 1)]).await.unwrap();
    assert_eq!(new.iter().map(Record::id).collect::<Vec<_>>(), ["d2"]);
    assert_eq!(unit.read(&ada(), "diffs", &[]).await.unwrap().len(), 2);
    drop(unit);
    assert_eq!(read(&server, &ada(), &[]).await.len(), 1);
}

#[tokio::test]
async fn in_memory_the_log_is_known_where_models_are_declared() {
    let database = MemoryDatabase::new().model("tasks", ["a"]);
    let mut unit = database.open(&ada(), Access::Read).await.unwrap();
    assert!(unit.read(&ada(), "diffs", &[]).await.unwrap().is_empty());
    let error = unit.read(&ada(), "diffs", &[ReadFilter::equal("a", 1)]).await.unwrap_err();
    assert_eq!(error.to_string(), "the model diffs has no field \"a\"");
    assert!(unit.read(&ada(), "others", &[]).await.is_err());

    let server = Server::new(database);
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    assert_eq!(server.mobync.database().records(&ada(), "diffs").len(), 1);
}
