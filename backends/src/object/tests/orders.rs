//! Listings over stores that list in key order and over stores that list folder by folder, in small pages.

use std::collections::BTreeSet;

use async_trait::async_trait;
use object_store::ListResult;
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::Path;

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    ByKey,
    FolderByFolder,
}

/// Lists keys, in pages that are never longer than `page`.
#[derive(Debug)]
struct Lister {
    keys: Vec<String>,
    /// Folders that hold nothing.
    empty: Vec<String>,
    order: Order,
    page: usize,
}

impl Lister {
    /// What a key is compared by.
    fn rank(&self, key: &str) -> Vec<String> {
        match self.order {
            Order::ByKey => vec![key.to_string()],
            Order::FolderByFolder => key.trim_end_matches('/').split('/').map(str::to_string).collect(),
        }
    }

    fn entries(&self, prefix: &str, options: &PaginatedListOptions) -> Vec<String> {
        let after = options.offset.as_ref().map(|offset| self.rank(offset));
        let cut = |key: &String| match key[prefix.len()..].find('/') {
            Some(at) if options.delimiter.is_some() => key[..=prefix.len() + at].to_string(),
            _ => key.clone(),
        };
        let empty = self.empty.iter().filter(|_| options.delimiter.is_some());
        let keys = self.keys.iter().chain(empty).filter(|key| key.starts_with(prefix));
        // By key the offset is compared with what lies below a folder, folder by folder with the folder itself.
        let behind = |key: &String| after.as_ref().is_none_or(|after| self.rank(key) > *after);
        let entries = match self.order {
            Order::ByKey => keys.filter(|key| behind(key)).map(cut).collect::<BTreeSet<_>>(),
            Order::FolderByFolder => keys.map(cut).filter(behind).collect(),
        };
        let mut entries = entries.into_iter().collect::<Vec<_>>();
        entries.sort_by_key(|entry| self.rank(entry));
        entries
    }
}

#[async_trait]
impl PaginatedListStore for Lister {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        options: PaginatedListOptions,
    ) -> object_store::Result<PaginatedListResult> {
        let entries = self.entries(prefix.unwrap(), &options);
        let start = options.page_token.map_or(0, |token| token.parse::<usize>().unwrap());
        let end = (start + self.page.min(options.max_keys.unwrap())).min(entries.len());
        let (folders, objects): (Vec<_>, Vec<_>) =
            entries[start..end].iter().partition(|entry| entry.ends_with('/'));
        let meta = |key: &String| object_store::ObjectMeta {
            location: Path::parse(key).unwrap(),
            last_modified: Default::default(),
            size: 1,
            e_tag: None,
            version: None,
        };
        let result = ListResult {
            objects: objects.into_iter().map(meta).collect(),
            common_prefixes: folders.into_iter().map(|folder| Path::parse(folder).unwrap()).collect(),
            extensions: Default::default(),
        };
        Ok(PaginatedListResult { result, page_token: (end < entries.len()).then(|| end.to_string()) })
    }
}

/// Names of folders and objects that lie as awkwardly as they can: beginnings of each other, on both sides of `/`.
const NAMES: [&str; 9] = ["a", "a-", "a--b", "a-b", "a.", "a0", "ab", "b", "b!"];

/// All choices of some of the names: bit n of the number chooses the nth.
fn chosen(choice: usize) -> Vec<&'static str> {
    NAMES.iter().enumerate().filter(|(nth, _)| choice >> nth & 1 == 1).map(|(_, name)| *name).collect()
}

#[tokio::test]
async fn folders_are_listed_in_order_whatever_the_order_of_the_store() {
    for choice in 0..1 << NAMES.len() {
        let (folders, others) = (chosen(choice), chosen(!choice));
        let keys = folders.iter().flat_map(|name| [format!("d/{name}/1"), format!("d/{name}/x/2")]);
        // What is not a folder is an object, or an empty folder that the store should not have listed.
        let objects = others.iter().step_by(2).map(|name| format!("d/{name}"));
        let empty = others.iter().skip(1).step_by(2).map(|name| format!("d/{name}/")).collect::<Vec<_>>();
        let keys = keys.chain(objects).collect::<Vec<_>>();
        let mut sorted = folders.iter().map(|name| format!("{name}/")).collect::<Vec<_>>();
        sorted.sort();
        let sorted = sorted.iter().map(|name| name.trim_end_matches('/').to_string()).collect::<Vec<_>>();
        for (order, page) in [(Order::ByKey, 2), (Order::FolderByFolder, 1), (Order::FolderByFolder, 3)] {
            let store = Lister { keys: keys.clone(), empty: empty.clone(), order, page };
            let object = Object::new(ObjectConfig::in_memory().with_pages(Arc::new(store)));
            for after in [None].into_iter().chain(NAMES.map(Some)) {
                let rest = sorted
                    .iter()
                    .filter(|name| after.is_none_or(|after| format!("{name}/") > format!("{after}/")));
                let rest = rest.cloned().collect::<Vec<_>>();
                for limit in [1, 2, usize::MAX] {
                    let prefix = path("d");
                    let listing = object.list_directories(None, &prefix, after, limit);
                    let found = listing.try_collect::<Vec<_>>().await.unwrap();
                    let expected = &rest[..limit.min(rest.len())];
                    assert_eq!(found, expected, "{order:?} {page} after {after:?} limit {limit} of {keys:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn objects_are_listed_in_order_and_exactly_to_the_limit_where_there_are_no_folders() {
    let mut keys = NAMES.map(|name| format!("d/{name}")).to_vec();
    keys.sort();
    for (order, page) in [(Order::ByKey, 2), (Order::FolderByFolder, 2), (Order::FolderByFolder, 100)] {
        let store = Lister { keys: keys.clone(), empty: Vec::new(), order, page };
        let object = Object::new(ObjectConfig::in_memory().with_pages(Arc::new(store)));
        for (nth, after) in keys.iter().enumerate() {
            for limit in [0, 1, 3, usize::MAX] {
                let (prefix, after) = (path("d"), path(after));
                let listing = object.list(None, &prefix, Some(&after), limit);
                let found =
                    listing.map_ok(|object| object.path.to_string()).try_collect::<Vec<_>>().await.unwrap();
                let rest = &keys[nth + 1..];
                assert_eq!(found, rest[..limit.min(rest.len())], "{order:?} after {after} limit {limit}");
            }
        }
    }
}

/// The restriction that `listing` documents: with a limit, folder by folder, beside a folder that a name begins like.
#[tokio::test]
async fn a_listing_without_a_limit_is_in_order_even_beside_folders_and_one_with_a_limit_need_not_be() {
    let keys = ["d/a-b", "d/a/1"].map(String::from).to_vec();
    let store = Lister { keys: keys.clone(), empty: Vec::new(), order: Order::FolderByFolder, page: 1 };
    let object = Object::new(ObjectConfig::in_memory().with_pages(Arc::new(store)));
    let prefix = path("d");
    let listed = async |limit: usize| {
        let listing = object.list(None, &prefix, None, limit);
        listing.map_ok(|object| object.path.to_string()).try_collect::<Vec<_>>().await.unwrap()
    };
    assert_eq!(listed(usize::MAX).await, keys);
    assert_eq!(listed(1).await, ["d/a/1"]);
}
