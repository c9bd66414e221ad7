//! Listings, in pages, in the byte order of whole keys.
//!
//! Most stores list in that order. Some (SeaweedFS) list folder by folder: what is in `a/` before `a-b`, although `-`
//! sorts before `/`. Therefore:
//!
//! - objects are sorted before they are returned. A listing that ends at its limit is exact as long as no folder below
//!   its prefix has a name with which a sibling begins, and goes on with a character before `/`; Walkeep's folders of
//!   segments and manifests hold no folders at all;
//! - folders are exact everywhere: one whose turn may come later is held back, one that a store would skip is looked for,
//!   and where a store lists folders that hold nothing, each is looked into.

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::ListResult;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use walkeep_core::{ObjectMeta, ObjectPath, Random, Result, UnixMillis};

use super::config::Client;
use super::failure::{Failure, Kind};
use super::retry::attempts;

/// The most keys that stores return at once.
const PAGE: usize = 1000;

/// How many keys a look into a folder asks for: more than one, since foreign ones may come first.
const PAGE_OF_A_LOOK: usize = 8;

/// How many folders are looked into at once.
const LOOKS_AT_ONCE: usize = 16;

/// One listing.
pub(super) struct Listing<'a> {
    pub(super) client: &'a Client,
    pub(super) random: &'a dyn Random,
    pub(super) prefix: &'a ObjectPath,
}

impl Listing<'_> {
    /// The objects below the prefix, in key order, behind `after`, at most `limit`.
    pub(super) async fn objects(&self, after: Option<&ObjectPath>, limit: usize) -> Result<Vec<ObjectMeta>> {
        let below = format!("{}/", self.prefix);
        // A key before all that lie below the prefix does not matter; one behind them leaves nothing.
        let after = after.filter(|after| after.as_str() > below.as_str());
        if limit == 0 || after.is_some_and(|after| !after.as_str().starts_with(&below)) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        match &self.client.pages {
            Some(store) => {
                let mut pages = Pages::new(self, &**store, &below, after.map(ObjectPath::as_str), false);
                while let Some(page) = pages.next(limit - found.len()).await? {
                    found.extend(self.metas(page, after));
                    if found.len() >= limit {
                        break;
                    }
                }
            }
            None => found.extend(self.metas(self.all(after).await?, after)),
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.dedup_by(|a, b| a.path == b.path);
        found.truncate(limit);
        Ok(found)
    }

    /// What of a page is asked for: foreign keys are left out, and so is what a store returns against its orders.
    fn metas(&self, page: ListResult, after: Option<&ObjectPath>) -> impl Iterator<Item = ObjectMeta> {
        page.objects.into_iter().filter_map(move |object| {
            let path = self.client.path(&object.location)?;
            path.below(self.prefix)?;
            let modified = u64::try_from(object.last_modified.timestamp_millis()).ok().map(UnixMillis);
            after.is_none_or(|after| path > *after).then_some(ObjectMeta {
                path,
                size: object.size,
                modified,
            })
        })
    }

    /// The names of the folders directly below the prefix, in order of `{name}/`, behind `after`, at most `limit`.
    pub(super) async fn directories(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let Some(store) = &self.client.pages else { return self.directories_at_once(after, limit).await };
        let below = format!("{}/", self.prefix);
        let mut held = Held { names: self.skipped(&**store, after).await?, after };
        let start = after.map(|after| format!("{below}{after}"));
        let mut pages = Pages::new(self, &**store, &below, start.as_deref(), true);
        let mut found = Vec::new();
        // The last folder of a page waits for the next page: one key more than asked for saves a request.
        while let Some(page) = pages.next((limit - found.len()).saturating_add(1)).await? {
            let last = held.add(&page, &self.client.key(&below));
            let due = if pages.at_end { held.due(None) } else { held.due(last.as_deref()) };
            found.extend(if self.client.empty_folders { self.filled(&**store, due).await? } else { due });
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Those of these folders below the prefix that hold at least one object, in the same order.
    async fn filled(&self, store: &dyn PaginatedListStore, names: Vec<String>) -> Result<Vec<String>> {
        let looks = stream::iter(names).map(|name| async move {
            let below = format!("{}/{name}/", self.prefix);
            let mut pages = Pages::new(self, store, &below, None, false);
            let mut holds_any = false;
            while !holds_any && let Some(page) = pages.next(PAGE_OF_A_LOOK).await? {
                let mut paths = page.objects.iter().filter_map(|object| self.client.path(&object.location));
                holds_any = paths.any(|path| path.as_str().starts_with(&below));
            }
            Ok::<_, walkeep_core::Error>(holds_any.then_some(name))
        });
        looks.buffered(LOOKS_AT_ONCE).try_filter_map(async |name| Ok(name)).try_collect().await
    }

    /// The folders that a store which lists folder by folder passes before `after`, but whose turn comes later: those
    /// whose names `after` begins with, and goes on with a character before `/`.
    async fn skipped(&self, store: &dyn PaginatedListStore, after: Option<&str>) -> Result<BTreeSet<String>> {
        let Some(after) = after else { return Ok(BTreeSet::new()) };
        let ends = after.char_indices().filter(|(at, c)| *at > 0 && *c < '/').map(|(at, _)| at);
        let beginnings = ends.filter_map(|end| after.get(..end)).map(str::to_string).collect();
        Ok(self.filled(store, beginnings).await?.into_iter().map(|name| format!("{name}/")).collect())
    }

    async fn all(&self, after: Option<&ObjectPath>) -> Result<ListResult> {
        let (folder, offset) = (self.folder()?, after.map(|after| self.client.location(after)).transpose()?);
        let (folder, offset) = (&folder, offset.as_ref());
        self.attempts(|| async move {
            let listing = match offset {
                Some(offset) => self.client.objects.list_with_offset(Some(folder), offset),
                None => self.client.objects.list(Some(folder)),
            };
            let objects = listing.try_collect().await?;
            Ok(ListResult { objects, common_prefixes: Vec::new(), extensions: Default::default() })
        })
        .await
    }

    async fn directories_at_once(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let folder = self.folder()?;
        let folder = &folder;
        let page = self.attempts(|| self.client.objects.list_with_delimiter(Some(folder))).await?;
        let mut held = Held { names: BTreeSet::new(), after };
        held.add(&page, &self.client.key(format!("{}/", self.prefix)));
        Ok(held.due(None).into_iter().take(limit).collect())
    }

    fn folder(&self) -> Result<Path> {
        self.client.location(self.prefix)
    }

    async fn attempts<T, F: Future<Output = object_store::Result<T>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<T> {
        let request = &request;
        let tried =
            attempts(
                self.client.timeout,
                self.random,
                |budget| async move { budget.wait(0, request()).await },
            );
        tried.await.outcome.map_err(|failure| self.error(failure))
    }

    fn error(&self, failure: Failure) -> walkeep_core::Error {
        // A listing has no object that could be missing: what is missing is the bucket.
        let failure = match failure.kind {
            Kind::NotFound => {
                Failure::new(Kind::Refused, format!("there is no such bucket ({})", failure.why))
            }
            _ => failure,
        };
        failure.into_error(&self.client.describe("list", self.prefix), self.prefix.as_str())
    }
}

/// A listing, page by page.
struct Pages<'a> {
    listing: &'a Listing<'a>,
    store: &'a dyn PaginatedListStore,
    prefix: String,
    options: PaginatedListOptions,
    at_end: bool,
}

impl<'a> Pages<'a> {
    fn new(
        listing: &'a Listing<'a>,
        store: &'a dyn PaginatedListStore,
        prefix: &str,
        after: Option<&str>,
        folders: bool,
    ) -> Self {
        let options = PaginatedListOptions {
            offset: after.map(|after| listing.client.key(after)),
            delimiter: folders.then_some("/".into()),
            ..PaginatedListOptions::default()
        };
        Self { listing, store, prefix: listing.client.key(prefix), options, at_end: false }
    }

    /// The next page, of so many keys at most; `None` behind the last one.
    async fn next(&mut self, limit: usize) -> Result<Option<ListResult>> {
        if self.at_end {
            return Ok(None);
        }
        self.options.max_keys = Some(limit.clamp(1, PAGE));
        let (store, prefix, options) = (self.store, Some(self.prefix.as_str()), &self.options);
        let page = self.listing.attempts(|| store.list_paginated(prefix, options.clone())).await?;
        // A store that answers with the same page for ever must not be asked for ever.
        if page.page_token.is_some() && page.page_token == self.options.page_token {
            let failure = Failure::new(Kind::Refused, "the store lists the same page again and again");
            return Err(self.listing.error(failure));
        }
        self.at_end = page.page_token.is_none();
        self.options.page_token = page.page_token;
        Ok(Some(page.result))
    }
}

/// Folders whose turn has not come yet, as `{name}/`.
struct Held<'a> {
    names: BTreeSet<String>,
    after: Option<&'a str>,
}

impl Held<'_> {
    /// Adds the folders of a page, and returns the greatest name in it, of a folder or an object.
    fn add(&mut self, page: &ListResult, folder: &str) -> Option<String> {
        let mut last = None;
        for prefix in &page.common_prefixes {
            let Some(name) = prefix.as_ref().strip_prefix(folder) else { continue };
            last = last.max(Some(name.to_string()));
            let name = format!("{name}/");
            // A folder that no object path can lie in is foreign.
            let fits = ObjectPath::new(format!("{name}x")).is_ok();
            if fits && self.after.is_none_or(|after| name > format!("{after}/")) {
                self.names.insert(name);
            }
        }
        let objects = page.objects.iter().filter_map(|object| object.location.as_ref().strip_prefix(folder));
        objects.fold(last, |last, name| last.max(Some(name.to_string())))
    }

    /// Takes the folders that nothing can come before any more, when this is the greatest name seen so far; all when
    /// there is nothing to come.
    fn due(&mut self, last: Option<&str>) -> Vec<String> {
        let mut due = Vec::new();
        while let Some(first) = self.names.first() {
            let name = first.trim_end_matches('/');
            // Names that go on from this one with a character before '/' come before it, and may still come.
            let passed = last.is_none_or(|last| match last.strip_prefix(name) {
                Some(rest) => rest.chars().next().is_some_and(|c| c > '/'),
                None => last > name,
            });
            if !passed {
                break;
            }
            due.push(name.to_string());
            self.names.pop_first();
        }
        due
    }
}
