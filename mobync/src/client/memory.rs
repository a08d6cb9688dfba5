//! A device's store in memory: for tests, and for applications that start empty each time.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{
    LocalStore, LocalUnit, Located, Object, OverriddenDiff, Pending, RefusedDiff, State, StoreError,
};
use crate::database::Access;

/// A device's store in memory. The data is lost when the process ends. Cheap to clone; all clones share
/// their data.
///
/// A unit of work that writes copies all data of its space, so it suits a few thousand objects.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Spaces>>);

/// The tables of each space; the person's own data has an empty name.
type Spaces = BTreeMap<String, Arc<Tables>>;

#[derive(Clone, Debug, Default)]
struct Tables {
    state: State,
    objects: BTreeMap<(String, String), Object>,
    pending: BTreeMap<i64, Pending>,
    refused: Vec<RefusedDiff>,
    overridden: Vec<OverriddenDiff>,
}

/// One unit of work of a [`MemoryStore`].
#[derive(Debug)]
pub struct MemoryStoreUnit {
    kept: OwnedMutexGuard<Spaces>,
    space: String,
    /// Copied when something is written.
    tables: Arc<Tables>,
}

impl MemoryStoreUnit {
    fn tables(&mut self) -> &mut Tables {
        Arc::make_mut(&mut self.tables)
    }
}

impl MemoryStore {
    /// An empty store, as on a new device.
    pub fn new() -> Self {
        Self::default()
    }

    /// A separate store with a copy of the current data.
    pub async fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().await.clone())))
    }
}

impl LocalStore for MemoryStore {
    type Unit = MemoryStoreUnit;

    async fn begin(&self, access: Access) -> Result<MemoryStoreUnit, StoreError> {
        self.begin_space("", access).await
    }

    async fn begin_space(&self, space: &str, _: Access) -> Result<MemoryStoreUnit, StoreError> {
        let kept = Arc::clone(&self.0).lock_owned().await;
        let tables = kept.get(space).cloned().unwrap_or_default();
        Ok(MemoryStoreUnit { kept, space: space.to_owned(), tables })
    }

    async fn spaces(&self) -> Result<Vec<String>, StoreError> {
        let kept = self.0.lock().await;
        let known =
            kept.iter().filter(|(name, it)| !name.is_empty() && it.state != State::default());
        Ok(known.map(|(name, _)| name.clone()).collect())
    }

    async fn destroy(&self, state: &State) -> Result<(), StoreError> {
        let own = Tables { state: state.clone(), ..Tables::default() };
        *self.0.lock().await = BTreeMap::from([(String::new(), Arc::new(own))]);
        Ok(())
    }
}

impl LocalUnit for MemoryStoreUnit {
    async fn state(&mut self) -> Result<State, StoreError> {
        Ok(self.tables.state.clone())
    }

    async fn set_state(&mut self, state: &State) -> Result<(), StoreError> {
        self.tables().state = state.clone();
        Ok(())
    }

    async fn object(&mut self, model: &str, id: &str) -> Result<Object, StoreError> {
        let key = (model.to_owned(), id.to_owned());
        Ok(self.tables.objects.get(&key).cloned().unwrap_or_default())
    }

    async fn objects(&mut self, model: Option<&str>) -> Result<Vec<Located>, StoreError> {
        let objects = self.tables.objects.iter();
        let wanted = objects.filter(|((of, _), _)| model.is_none_or(|model| model == of));
        Ok(wanted.map(located).collect())
    }

    async fn objects_behind(
        &mut self,
        last: Option<(&str, &str)>,
        most: usize,
    ) -> Result<Vec<Located>, StoreError> {
        let last = last.map(|(model, id)| (model.to_owned(), id.to_owned()));
        let behind = (last.map_or(Unbounded, Excluded), Unbounded);
        let objects = self.tables.objects.range(behind).take(most);
        Ok(objects.map(located).collect())
    }

    async fn set_object(
        &mut self,
        model: &str,
        id: &str,
        object: &Object,
    ) -> Result<(), StoreError> {
        let key = (model.to_owned(), id.to_owned());
        if object.is_gone() {
            self.tables().objects.remove(&key);
        } else {
            self.tables().objects.insert(key, object.clone());
        }
        Ok(())
    }

    async fn pending(&mut self, most: usize) -> Result<Vec<Pending>, StoreError> {
        Ok(self.tables.pending.values().take(most).cloned().collect())
    }

    async fn last_pending(&mut self, most: usize) -> Result<Vec<Pending>, StoreError> {
        Ok(self.tables.pending.values().rev().take(most).cloned().collect())
    }

    async fn set_pending(&mut self, pending: &Pending) -> Result<(), StoreError> {
        self.tables().pending.insert(pending.seq, pending.clone());
        Ok(())
    }

    async fn forget(&mut self, seq: i64) -> Result<(), StoreError> {
        self.tables().pending.remove(&seq);
        Ok(())
    }

    async fn refused(&mut self) -> Result<Vec<RefusedDiff>, StoreError> {
        Ok(self.tables.refused.clone())
    }

    async fn set_refused(&mut self, refused: &RefusedDiff) -> Result<(), StoreError> {
        self.dismiss(&refused.diff.id).await?;
        self.tables().refused.push(refused.clone());
        Ok(())
    }

    async fn dismiss(&mut self, diff_id: &str) -> Result<(), StoreError> {
        self.tables().refused.retain(|refused| refused.diff.id != diff_id);
        Ok(())
    }

    async fn overridden(&mut self) -> Result<Vec<OverriddenDiff>, StoreError> {
        Ok(self.tables.overridden.clone())
    }

    async fn set_overridden(&mut self, overridden: &OverriddenDiff) -> Result<(), StoreError> {
        self.dismiss_overridden(&overridden.diff.id).await?;
        self.tables().overridden.push(overridden.clone());
        Ok(())
    }

    async fn dismiss_overridden(&mut self, diff_id: &str) -> Result<(), StoreError> {
        self.tables().overridden.retain(|overridden| overridden.diff.id != diff_id);
        Ok(())
    }

    async fn commit(mut self) -> Result<(), StoreError> {
        self.kept.insert(self.space, self.tables);
        Ok(())
    }
}

fn located(((model, id), object): (&(String, String), &Object)) -> Located {
    Located { model: model.clone(), id: id.clone(), object: object.clone() }
}
