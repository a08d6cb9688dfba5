//! The effects of the writes of syncs in the database: cascades, and triggers that write rows. Devices
//! receive them only if the tables are captured.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Dialect, Model, SchemaError,
    schema::Schema,
    writes::{Change, Columns},
};

/// A change of one table changes another one.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The table that is changed first.
    pub(crate) on: String,
    /// One of these changes causes it.
    pub(crate) when: Vec<Change>,
    /// Its cause: "the trigger t of a".
    pub(crate) by: String,
    /// The table and its change; `None` if they are unknown.
    pub(crate) then: Option<(String, Change)>,
}

/// What is known of all effects of the writes of syncs.
#[derive(Debug)]
pub(crate) struct Effects {
    effects: Vec<Effect>,
    reached: BTreeMap<String, Reached>,
}

/// How the rows of a table are changed.
#[derive(Debug, Default)]
struct Reached {
    inserts: bool,
    updates: BTreeSet<String>,
    updates_any: bool,
    deletes: bool,
}

impl Effects {
    pub(crate) async fn find<D: Dialect>(
        connection: &mut <D::Db as sqlx::Database>::Connection,
        schema: &Schema,
    ) -> Result<Self, sqlx::Error> {
        let models: Vec<&Model> = schema.models.values().collect();
        let effects = D::effects(connection, &schema.log, &models).await?;
        Ok(Self::new(schema, effects))
    }

    /// Follows the effects, starting from what syncs write themselves.
    fn new(schema: &Schema, effects: Vec<Effect>) -> Self {
        let mut reached = BTreeMap::<String, Reached>::new();
        for model in schema.models.values() {
            let own = reached.entry(model.identity.clone()).or_default();
            let columns = model.columns.iter().map(|column| column.stored.clone());
            own.add(&Change::Insert);
            own.add(&Change::Delete);
            own.add(&Change::Update(Columns::these(columns)));
        }
        let mut is_more = true;
        while is_more {
            is_more = false;
            for effect in &effects {
                let is_set_off = reached.get(&effect.on).is_some_and(|on| on.sets_off(effect));
                if let (true, Some((table, change))) = (is_set_off, &effect.then) {
                    is_more |= reached.entry(table.clone()).or_default().add(change);
                }
            }
        }
        Self { effects, reached }
    }

    fn is_set_off(&self, effect: &Effect) -> bool {
        self.reached.get(&effect.on).is_some_and(|on| on.sets_off(effect))
    }

    /// Whether a sync's writes to other tables may change rows of the model, as far as is known.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only one database asks"))]
    pub(crate) fn reach(&self, model: &Model) -> bool {
        let reaches = |effect: &Effect| match &effect.then {
            Some((table, _)) => *table == model.identity,
            None => true,
        };
        self.effects.iter().any(|effect| reaches(effect) && self.is_set_off(effect))
    }

    /// # Errors
    /// If the writes of a sync change rows that are not captured. If this is `allowed`, it only logs a
    /// warning. It also warns about the effects of the application's own writes, and about effects that
    /// are unknown.
    pub(super) fn check(&self, schema: &Schema, allowed: bool) -> Result<(), SchemaError> {
        let is_all_captured = schema.models.values().all(|model| model.captured);
        // Synced tables that are not captured are written by syncs only.
        let is_synced = |table: &str| schema.models.values().any(|model| model.identity == table);
        let mut told = BTreeSet::new();
        for effect in &self.effects {
            let is_set_off = self.is_set_off(effect);
            let Some((table, change)) = &effect.then else {
                if is_set_off && !is_all_captured && told.insert(&effect.by) {
                    tracing::warn!(
                        "it is unknown whether {} changes synced rows: if it does, `capture` their tables, or no \
                         device will receive these changes",
                        effect.by
                    );
                }
                continue;
            };
            let mut models = schema.models.values();
            let is_seen = |model: &&Model| model.identity == *table && model.is_seen(change);
            let Some(model) = models.find(is_seen) else { continue };
            if model.captured {
                continue;
            }
            let unheard = SchemaError::Unheard { table: model.name.clone(), by: effect.by.clone() };
            if is_set_off && !allowed {
                return Err(unheard);
            }
            if is_set_off {
                tracing::warn!(table = model.name, "{unheard}");
            } else if !is_synced(&effect.on) && told.insert(&effect.by) {
                tracing::warn!(
                    table = model.name,
                    "{} changes rows of {}, and no device will receive these changes: `capture` the table, if \
                     that can happen while its owner syncs",
                    effect.by,
                    model.name
                );
            }
        }
        Ok(())
    }
}

impl Reached {
    /// Adds a change. Returns whether it is new.
    fn add(&mut self, change: &Change) -> bool {
        match change {
            Change::Insert => !std::mem::replace(&mut self.inserts, true),
            Change::Delete => !std::mem::replace(&mut self.deletes, true),
            Change::Update(Columns::All) => !std::mem::replace(&mut self.updates_any, true),
            Change::Update(Columns::These(names)) => {
                let before = self.updates.len();
                self.updates.extend(names.iter().cloned());
                self.updates.len() > before
            }
        }
    }

    fn sets_off(&self, effect: &Effect) -> bool {
        effect.when.iter().any(|change| match change {
            Change::Insert => self.inserts,
            Change::Delete => self.deletes,
            Change::Update(columns) => {
                let updates = if self.updates_any {
                    Columns::All
                } else {
                    Columns::These(self.updates.clone())
                };
                columns.has_any_of(&updates)
            }
        })
    }
}

impl Model {
    /// Whether devices would see this change of a row.
    fn is_seen(&self, change: &Change) -> bool {
        let Change::Update(columns) = change else { return true };
        let seen = self.columns.iter().chain([&self.id]).chain(&self.owner);
        columns.has_any_of(&Columns::these(seen.map(|column| column.stored.clone())))
    }
}
