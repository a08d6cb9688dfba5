//! A gate before the database, so that a test can inspect a server in the middle of a sync.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

/// Closed until it is [opened](Self::open). Clones share the gate.
#[derive(Clone, Debug)]
pub struct Gate {
    permits: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(0)), waiting: Arc::default() }
    }
}

impl Gate {
    /// Lets all pass, for good.
    pub fn open(&self) {
        self.permits.close();
    }

    /// How many syncs wait at the gate.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Waits until it is open.
    pub(super) async fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting);
        // A closed semaphore lets everybody pass.
        let _ = self.permits.acquire().await;
    }
}

/// Counted until it is dropped, also with a request whose client is gone.
struct Waiting<'g>(&'g AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
