//! Who may write copies of a catalog into a store: claims, create-only and numbered, of which the newest counts.

use std::sync::Arc;

use walkeep_core::catalog::{CatalogId, CatalogIdentity, Claim, ClaimNo, CopyLayout, StoredClaim};
use walkeep_core::{Body, ByteRange, Catalog, Error, Nonce, Result};

use super::blocking;
use crate::bucket::Bucket;
use crate::writer::Handles;

/// How many names to ask for when looking for the newest: more than one, since foreign names may sort before it.
const PAGE: usize = 8;

/// How often a claim is tried while others claim at the same time.
const ATTEMPTS: u32 = 5;

pub(super) fn layout(bucket: &Bucket) -> CopyLayout {
    CopyLayout::new(bucket.layout().namespaces())
}

/// The newest claim of a store.
pub(super) async fn newest(bucket: &Bucket) -> Result<Option<StoredClaim>> {
    for _ in 0..ATTEMPTS {
        match newest_listed(bucket).await {
            // Somebody has claimed since it was listed, and deleted this one.
            Err(Error::NotFound { .. }) => {}
            newest => return newest,
        }
    }
    let what =
        format!("{}: the newest claim of the catalog is deleted each time that it was listed", bucket.name());
    Err(Error::Unavailable { what, source: None })
}

async fn newest_listed(bucket: &Bucket) -> Result<Option<StoredClaim>> {
    let layout = layout(bucket);
    let folder = layout.claims();
    let mut after = None;
    loop {
        let page = bucket.list(&folder, after.as_ref(), PAGE).await?;
        if let Some(no) = page.iter().find_map(|object| layout.parse_claim(&object.path)) {
            let path = layout.claim(no);
            let bytes = bucket.get(&path, ByteRange::Bounded(0..StoredClaim::LEN_MAX)).await?;
            return StoredClaim::decode(path.as_str(), no, &bytes).map(Some);
        }
        if page.len() < PAGE {
            return Ok(None);
        }
        after = page.into_iter().last().map(|object| object.path);
    }
}

/// The catalog whose copies a store has, if it has any.
///
/// # Errors
///
/// `Corrupt`, `Invalid` when its newest claim is damaged, or a newer version's; those of the store.
pub async fn copied_catalog(bucket: &Bucket) -> Result<Option<CatalogId>> {
    Ok(newest(bucket).await?.map(|claim| claim.catalog))
}

/// The claim of a catalog that is bound to this store, if it is still the newest.
///
/// # Errors
///
/// `Invalid` when the catalog is bound to no store, or to another one; `Fenced` when the catalog was restored elsewhere.
pub(super) async fn ours(bucket: &Bucket, identity: &CatalogIdentity) -> Result<StoredClaim> {
    let Some(claim) = identity.claim else {
        let why = "it has no copies in a store yet: `walkeep catalog init` makes the first ones";
        return Err(Error::invalid(format!("copying catalog {}", identity.id), why));
    };
    match newest(bucket).await? {
        Some(newest) if newest.catalog == identity.id && newest.claim == claim => Ok(newest),
        newest => Err(not_ours(bucket, identity, newest.as_ref())),
    }
}

fn not_ours(bucket: &Bucket, identity: &CatalogIdentity, newest: Option<&StoredClaim>) -> Error {
    let what = format!("catalog {} with {}", identity.id, bucket.name());
    match newest {
        None => Error::invalid(what, "that store has no copies of it: it is the catalog of another store"),
        Some(newest) if newest.catalog != identity.id => {
            let why = format!(
                "that store has the copies of catalog {}: name the store that it belongs to; or, if the other one was \
                 lost, restore it (`walkeep catalog restore`)",
                newest.catalog
            );
            Error::invalid(what, why)
        }
        Some(newest) => Error::Fenced {
            namespace: "__catalog".into(),
            ours: identity.claim.map_or(0, |claim| u32::try_from(claim.no.0).unwrap_or(u32::MAX)),
            theirs: format!(
                "claim {} of {}: the catalog was restored elsewhere, and this one does not count any more",
                newest.claim.no, newest.created
            ),
        },
    }
}

/// Binds a catalog to a store, where its copies will be. Of one that is bound to it already, nothing.
///
/// [`copy`](super::copy) then makes the first copies; until they are there, nothing can be restored.
///
/// # Errors
///
/// `Invalid` when the store has the copies of another catalog, or the catalog is bound to another store; `Fenced` when it
/// was restored elsewhere; `Unavailable`, `Unknown`: do it again.
pub async fn init(bucket: &Bucket, catalog: &Arc<dyn Catalog>, handles: &Handles) -> Result<()> {
    let identity = blocking::on(catalog, |catalog| catalog.identity()).await?;
    let newest = newest(bucket).await?;
    let same_catalog = newest.as_ref().is_none_or(|newest| newest.catalog == identity.id);
    match (&newest, identity.claim) {
        (Some(newest), Some(claim)) if same_catalog && newest.claim == claim => Ok(()),
        // Nobody has this identity but this catalog, and those restored from its copies, which know their claims: it is
        // the claim of a call like this that was cut short.
        (_, None) if same_catalog => claim(bucket, catalog, newest, handles).await,
        _ => Err(not_ours(bucket, &identity, newest.as_ref())),
    }
}

/// Claims behind `newest`, and writes the claim down in the catalog.
pub(super) async fn claim(
    bucket: &Bucket,
    catalog: &Arc<dyn Catalog>,
    mut newest_there: Option<StoredClaim>,
    handles: &Handles,
) -> Result<()> {
    let (identity, shards) =
        blocking::on(catalog, |catalog| Ok((catalog.identity()?, catalog.shards()))).await?;
    for _ in 0..ATTEMPTS {
        if newest_there.as_ref().is_some_and(|newest| newest.catalog != identity.id) {
            return Err(not_ours(bucket, &identity, newest_there.as_ref()));
        }
        let no = newest_there.as_ref().map_or(Some(1), |newest| newest.claim.no.0.checked_add(1));
        let no = no.ok_or_else(|| Error::Exhausted { what: "all claims are used".into() })?;
        let claim = Claim { no: ClaimNo(no), nonce: Nonce::random(&*handles.random)? };
        let stored = StoredClaim {
            format: StoredClaim::FORMAT,
            catalog: identity.id,
            claim,
            shards,
            created: handles.clock.now(),
        };
        match bucket.put_new(&layout(bucket).claim(claim.no), Body::from(stored.encode()?)).await {
            Ok(()) | Err(Error::AlreadyExists { .. } | Error::Unavailable { .. }) => {}
            Err(error) => return Err(error),
        }
        // Whatever the reply was, what is there says whose claim it is.
        let there = newest(bucket).await?;
        if there.as_ref() == Some(&stored) {
            let identity = CatalogIdentity { claim: Some(claim), ..identity };
            return blocking::on(catalog, move |catalog| catalog.set_identity(&identity)).await;
        }
        newest_there = there;
    }
    let what = format!("{}: others claim the copies of the catalog again and again", bucket.name());
    Err(Error::Unavailable { what, source: None })
}
