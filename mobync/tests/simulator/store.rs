//! A device's store that dies with its app at a given point.

use std::sync::{Arc, Mutex};

use mobync::{
    Access,
    client::{
        LocalStore, LocalUnit, Located, MemoryStore, MemoryStoreUnit, Object, OverriddenDiff,
        Pending, RefusedDiff, State, StoreError,
    },
};

use super::step::KilledAt;

#[derive(Clone, Debug, Default)]
pub struct Mortal {
    inner: MemoryStore,
    fate: Arc<Mutex<Fate>>,
}

#[derive(Debug, Default)]
struct Fate {
    /// Where, after how many times.
    next: Option<(KilledAt, usize)>,
    died: Option<KilledAt>,
}

impl Mortal {
    /// The store dies at that point, the next time that it is used.
    pub fn kill(&self, at: KilledAt) {
        self.kill_after(at, 0);
    }

    /// The same, after it was there so many times.
    pub fn kill_after(&self, at: KilledAt, times: usize) {
        self.fate.lock().unwrap().next = Some((at, times));
    }

    pub fn spare(&self) {
        self.fate.lock().unwrap().next = None;
    }

    /// Nothing dies until [`resume`](Self::resume): for a check that only reads.
    pub fn suspend(&self) -> Option<(KilledAt, usize)> {
        self.fate.lock().unwrap().next.take()
    }

    pub fn resume(&self, next: Option<(KilledAt, usize)>) {
        self.fate.lock().unwrap().next = next;
    }

    /// Where it has died since the last query.
    pub fn take_death(&self) -> Option<KilledAt> {
        self.fate.lock().unwrap().died.take()
    }

    pub async fn copy(&self) -> Self {
        Self { inner: self.inner.copy().await, fate: Arc::default() }
    }

    /// All that is in it, to look for something that must not be.
    pub async fn text(&self) -> String {
        format!("{:?}", self.inner.copy().await)
    }

    fn pass(&self, at: KilledAt) -> Result<(), StoreError> {
        let mut fate = self.fate.lock().unwrap();
        match &mut fate.next {
            Some((place, 0)) if *place == at => {
                (fate.next, fate.died) = (None, Some(at));
                Err(StoreError::new("killed"))
            }
            Some((place, times)) if *place == at => {
                *times -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug)]
pub struct MortalUnit {
    inner: MemoryStoreUnit,
    store: Mortal,
}

impl LocalStore for Mortal {
    type Unit = MortalUnit;

    async fn begin(&self, access: Access) -> Result<MortalUnit, StoreError> {
        self.pass(KilledAt::Begin)?;
        Ok(MortalUnit { inner: self.inner.begin(access).await?, store: self.clone() })
    }

    async fn begin_space(&self, space: &str, access: Access) -> Result<MortalUnit, StoreError> {
        self.pass(KilledAt::Begin)?;
        let inner = self.inner.begin_space(space, access).await?;
        Ok(MortalUnit { inner, store: self.clone() })
    }

    async fn spaces(&self) -> Result<Vec<String>, StoreError> {
        self.inner.spaces().await
    }

    async fn destroy(&self, state: &State) -> Result<(), StoreError> {
        self.inner.destroy(state).await
    }
}

impl LocalUnit for MortalUnit {
    async fn state(&mut self) -> Result<State, StoreError> {
        self.inner.state().await
    }

    async fn set_state(&mut self, state: &State) -> Result<(), StoreError> {
        self.inner.set_state(state).await
    }

    async fn object(&mut self, model: &str, id: &str) -> Result<Object, StoreError> {
        self.inner.object(model, id).await
    }

    async fn objects(&mut self, model: Option<&str>) -> Result<Vec<Located>, StoreError> {
        self.inner.objects(model).await
    }

    async fn set_object(
        &mut self,
        model: &str,
        id: &str,
        object: &Object,
    ) -> Result<(), StoreError> {
        self.inner.set_object(model, id, object).await
    }

    async fn pending(&mut self, most: usize) -> Result<Vec<Pending>, StoreError> {
        self.inner.pending(most).await
    }

    async fn set_pending(&mut self, pending: &Pending) -> Result<(), StoreError> {
        self.inner.set_pending(pending).await
    }

    async fn forget(&mut self, seq: i64) -> Result<(), StoreError> {
        self.inner.forget(seq).await
    }

    async fn refused(&mut self) -> Result<Vec<RefusedDiff>, StoreError> {
        self.inner.refused().await
    }

    async fn set_refused(&mut self, refused: &RefusedDiff) -> Result<(), StoreError> {
        self.inner.set_refused(refused).await
    }

    async fn dismiss(&mut self, diff_id: &str) -> Result<(), StoreError> {
        self.inner.dismiss(diff_id).await
    }

    async fn overridden(&mut self) -> Result<Vec<OverriddenDiff>, StoreError> {
        self.inner.overridden().await
    }

    async fn set_overridden(&mut self, overridden: &OverriddenDiff) -> Result<(), StoreError> {
        self.inner.set_overridden(overridden).await
    }

    async fn dismiss_overridden(&mut self, diff_id: &str) -> Result<(), StoreError> {
        self.inner.dismiss_overridden(diff_id).await
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.store.pass(KilledAt::BeforeCommit)?;
        self.inner.commit().await?;
        self.store.pass(KilledAt::BehindCommit)
    }
}
