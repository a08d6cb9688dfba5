//! Futures that run side by side, in the task that awaits them.

use std::future::Future;

use futures_util::{StreamExt, stream::FuturesUnordered};

/// The outputs of these futures, in their order. At most that many run at a time.
pub(super) async fn side_by_side<Fut: Future>(
    most: usize,
    futures: impl IntoIterator<Item = Fut>,
) -> Vec<Fut::Output> {
    let mut waiting = futures.into_iter().enumerate();
    let (mut running, mut outputs) = (FuturesUnordered::new(), Vec::new());
    loop {
        while running.len() < most.max(1)
            && let Some((place, future)) = waiting.next()
        {
            running.push(async move { (place, future.await) });
        }
        match running.next().await {
            Some(output) => outputs.push(output),
            None => break,
        }
    }
    outputs.sort_unstable_by_key(|(place, _)| *place);
    outputs.into_iter().map(|(_, output)| output).collect()
}
