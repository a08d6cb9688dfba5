//! What a backend and its rules can read: the owner's records, and the log, which is a model too.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use mobync::{
    Access, Database, DatabaseError, Diff, Error, Mobync, Owner, ReadFilter, Record, UnitOfWork,
    http::AuthError, memory::MemoryDatabase,
};
use serde_json::{Value, json};
use support::{Server, ada, create, databases::on_every_database, delete, diffs, owner, update};

on_every_database! {
    super::Server::new;
    the_log_is_read_by_every_filter_like_any_other_model
    the_log_is_empty_before_the_first_sync
    a_unit_of_work_reads_what_it_appended
    a_backend_reads_what_an_owner_has
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

async fn a_backend_reads_what_an_owner_has(server: Server<impl Database>) {
    let bobs = diffs([create("t1", json!({"a": 1}))]);
    server.mobync.apply(&owner("bob"), 0, bobs).await.unwrap();
    server.sync(0, [create("t1", json!({"a": 1})), create("t2", json!({"a": 2}))]).await;
    let ids = async |filters: &[ReadFilter]| {
        let records = server.mobync.read(&ada(), "tasks", filters).await.unwrap();
        let mut ids: Vec<String> = records.iter().map(|record| record.id().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&[]).await, ["t1", "t2"]);
    assert_eq!(ids(&[ReadFilter::equal("id", "t2")]).await, ["t2"]);
    assert_eq!(server.mobync.read(&ada(), "diffs", &[]).await.unwrap().len(), 2);
    assert!(server.mobync.read(&owner("eve"), "tasks", &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_model_that_nobody_has_is_unknown_to_the_backend_and_no_diff_is_to_blame() {
    let strict = Mobync::new(MemoryDatabase::new().model("tasks", ["a"]));
    for mobync in [strict.clone().erase(), strict.diffs_model("changes").erase()] {
        let error = mobync.read(&ada(), "others", &[]).await.unwrap_err();
        let told = (error.code(), error.status().as_u16(), error.diff_id());
        assert_eq!(told, ("unknown_model", 422, None));
        assert_eq!(error.to_string(), "There is no model \"others\" on this server.");
        assert!(mobync.read(&ada(), "tasks", &[]).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_log_of_another_name_is_there_before_the_first_sync() {
    let mobync = Mobync::new(MemoryDatabase::new().model("tasks", ["a"])).diffs_model("changes");
    assert!(mobync.read(&ada(), "changes", &[]).await.unwrap().is_empty());
    mobync.apply(&ada(), 0, diffs([create("t1", json!({"a": 1}))])).await.unwrap();
    assert_eq!(mobync.read(&ada(), "changes", &[]).await.unwrap().len(), 1);
}

#[test]
fn a_failure_keeps_its_meaning_on_the_way_to_an_answer() {
    let of = |error: Error| (error.status().as_u16(), error.code());
    let busy = || DatabaseError::busy("locked");
    assert_eq!(of(busy().into()), (503, "busy"));
    assert_eq!(of(DatabaseError::conflict("deadlock").into()), (503, "busy"));
    assert_eq!(of(DatabaseError::failed("disk").into()), (500, "internal"));
    assert_eq!(
        of(DatabaseError::unknown_field("tasks", "x", ["a"]).into()),
        (422, "unknown_field")
    );
    assert_eq!(of(DatabaseError::constraint("one").into()), (422, "constraint"));
    assert_eq!(of(DatabaseError::invalid_value("a", "must be x").into()), (422, "invalid_value"));
    assert_eq!(of(Owner::new("").unwrap_err().into()), (401, "unauthenticated"));

    let in_auth = |error: AuthError| of(error.into());
    assert_eq!(in_auth(busy().into()), (503, "busy"));
    assert_eq!(in_auth(Error::from(busy()).into()), (503, "busy"));
    assert_eq!(in_auth(DatabaseError::failed("disk").into()), (500, "internal"));
    assert_eq!(in_auth(Error::from(DatabaseError::unknown_model("x")).into()), (500, "internal"));
    assert_eq!(in_auth(AuthError::failed("no users")), (500, "internal"));
    assert_eq!(in_auth(Owner::new("").unwrap_err().into()), (401, "unauthenticated"));
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
