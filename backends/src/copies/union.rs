//! Two listings read as one.

use std::cmp::Ordering;

use futures::stream::{self, BoxStream, StreamExt};
use walkeep_core::{ObjectMeta, Result};

/// What to do about an error of one of two listings.
pub(crate) type OnError<'a> = Box<dyn FnMut(walkeep_core::Error) -> Result<()> + Send + 'a>;

/// One listing, and what to do when it ends in an error: pass that on, or go on with the other one.
pub(crate) struct Part<'a, T> {
    pub(crate) listing: BoxStream<'a, Result<T>>,
    pub(crate) on_error: OnError<'a>,
}

/// The objects of either listing, in order, each once: as the first one has it. `on_both` is told of those in both.
pub(crate) fn objects<'a>(
    first: Part<'a, ObjectMeta>,
    second: Part<'a, ObjectMeta>,
    limit: usize,
    on_both: impl FnMut(&ObjectMeta, &ObjectMeta) + Send + 'a,
) -> BoxStream<'a, Result<ObjectMeta>> {
    merge(first, second, |a, b| a.path.cmp(&b.path), on_both).take(limit).boxed()
}

/// The directories of either listing, in order of `{name}/`, each once.
pub(crate) fn directories<'a>(
    first: Part<'a, String>,
    second: Part<'a, String>,
    limit: usize,
) -> BoxStream<'a, Result<String>> {
    let order = |a: &String, b: &String| a.bytes().chain([b'/']).cmp(b.bytes().chain([b'/']));
    merge(first, second, order, |_, _| ()).take(limit).boxed()
}

struct Head<'a, T> {
    part: Part<'a, T>,
    next: Option<T>,
    ended: bool,
}

impl<'a, T> Head<'a, T> {
    fn new(part: Part<'a, T>) -> Self {
        Self { part, next: None, ended: false }
    }

    async fn fill(&mut self) -> Result<()> {
        while self.next.is_none() && !self.ended {
            match self.part.listing.next().await {
                Some(Ok(item)) => self.next = Some(item),
                Some(Err(error)) => {
                    self.ended = true;
                    (self.part.on_error)(error)?;
                }
                None => self.ended = true,
            }
        }
        Ok(())
    }
}

fn merge<'a, T: Send + 'a>(
    first: Part<'a, T>,
    second: Part<'a, T>,
    order: impl Fn(&T, &T) -> Ordering + Send + 'a,
    on_both: impl FnMut(&T, &T) + Send + 'a,
) -> impl futures::Stream<Item = Result<T>> + Send + 'a {
    let start = Some((Head::new(first), Head::new(second), order, on_both));
    stream::unfold(start, |state| async move {
        let (mut first, mut second, order, mut on_both) = state?;
        let (left, right) = futures::future::join(first.fill(), second.fill()).await;
        if let Err(error) = left.and(right) {
            return Some((Err(error), None));
        }
        let item = match (&first.next, &second.next) {
            (Some(a), Some(b)) => match order(a, b) {
                Ordering::Less => first.next.take(),
                Ordering::Greater => second.next.take(),
                Ordering::Equal => {
                    on_both(a, b);
                    second.next = None;
                    first.next.take()
                }
            },
            (Some(_), None) => first.next.take(),
            (None, _) => second.next.take(),
        };
        item.map(|item| (Ok(item), Some((first, second, order, on_both))))
    })
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use walkeep_core::Error;

    use super::*;

    fn part<'a>(names: &[&str], error: bool, fatal: bool) -> Part<'a, String> {
        let broken = || Error::Unavailable { what: "list".into(), source: None };
        let mut items = names.iter().map(|name| Ok((*name).to_string())).collect::<Vec<_>>();
        items.extend(error.then(|| Err(broken())));
        let on_error: OnError<'a> = Box::new(move |error| if fatal { Err(error) } else { Ok(()) });
        Part { listing: stream::iter(items).boxed(), on_error }
    }

    async fn merged(first: Part<'_, String>, second: Part<'_, String>, limit: usize) -> Result<Vec<String>> {
        directories(first, second, limit).try_collect().await
    }

    #[tokio::test]
    async fn what_is_in_both_is_listed_once_and_in_order() {
        let (first, second) = (part(&["a-b", "a", "c"], false, true), part(&["a", "b", "d"], false, true));
        assert_eq!(merged(first, second, 9).await.unwrap(), ["a-b", "a", "b", "c", "d"]);
        let (first, second) = (part(&["a"], false, true), part(&["b"], false, true));
        assert_eq!(merged(first, second, 1).await.unwrap(), ["a"]);
    }

    #[tokio::test]
    async fn an_error_ends_the_listing_or_the_other_one_goes_on() {
        let (first, second) = (part(&["a"], true, false), part(&["b", "c"], false, true));
        assert_eq!(merged(first, second, 9).await.unwrap(), ["a", "b", "c"]);
        let (first, second) = (part(&["a"], false, true), part(&["b"], true, true));
        assert!(merged(first, second, 9).await.is_err());
    }
}
