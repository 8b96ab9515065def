//! Questions that are open at the same time: what they have brought so far, each in its place.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Futures of one kind, begun when first waited for and kept while nobody waits.
pub(super) struct Together<'a, T> {
    open: Vec<Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>>,
    brought: Vec<Option<T>>,
}

impl<'a, T> Together<'a, T> {
    pub(super) fn new<F: Future<Output = T> + Send + 'a>(futures: impl Iterator<Item = F>) -> Self {
        let open: Vec<_> = futures.map(|future| Some(Box::pin(future) as Pin<Box<_>>)).collect();
        Self { brought: open.iter().map(|_| None).collect(), open }
    }

    /// What is in each place; `None` where it is still to come.
    pub(super) fn brought(&self) -> &[Option<T>] {
        &self.brought
    }

    /// All of it, as far as it has come.
    pub(super) fn into_brought(self) -> Vec<Option<T>> {
        self.brought
    }

    /// Goes on with the first `count`, until that is `enough` or there is nothing more to wait for.
    pub(super) async fn advance(&mut self, count: usize, enough: impl Fn(&[Option<T>]) -> bool) {
        let Self { open, brought } = self;
        poll_fn(|context| {
            let mut waits = false;
            for (open, brought) in open.iter_mut().zip(brought.iter_mut()).take(count) {
                let Some(future) = open else { continue };
                match future.as_mut().poll(context) {
                    Poll::Ready(value) => (*open, *brought) = (None, Some(value)),
                    Poll::Pending => waits = true,
                }
            }
            if waits && !enough(brought) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }
}
