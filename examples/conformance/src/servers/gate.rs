//! A gate in front of the database, so that a test can look at a server in the middle of a sync.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

/// Closed until it is [opened](Self::open). All clones are one.
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

    /// How many wait in front of it.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Waits until it is open.
    pub(super) async fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting);
        // Closed for good is how the semaphore lets everybody pass.
        let _ = self.permits.acquire().await;
    }
}

/// Counted until it is dropped, also with a request that nobody waits for any more.
struct Waiting<'g>(&'g AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
