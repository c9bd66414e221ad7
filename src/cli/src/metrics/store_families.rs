//! Figures of stores: what has gone to each, what all databases take of it, and how far its copy in another place is.

use std::fmt;
use std::num::NonZeroU64;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use walkeep::backends::CopyStatus;

use super::StoreFigures;
use super::exposition::{Labels, family, number};

type Stores = [(String, StoreFigures)];
type Gauge = (&'static str, &'static str, fn(&StoreFigures) -> Option<u64>);
type Counter = (&'static str, &'static str, fn(&CopyStatus) -> u64);

pub(super) fn encode(stores: &Stores, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    requests(stores, encoder)?;
    gauges(stores, encoder)?;
    copied(stores, encoder)
}

fn labels(store: &str) -> Labels {
    vec![("store", store.to_string())]
}

fn requests(stores: &Stores, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (mut requests, mut bytes) = (Vec::new(), Vec::new());
    for (store, figures) in stores {
        let sent = &figures.requests;
        let row = |kind: &str, count: u64| {
            let mut labels = labels(store);
            labels.push(("kind", kind.to_string()));
            (labels, ConstCounter::new(count))
        };
        let kinds = [("put", sent.puts), ("get", sent.gets), ("list", sent.lists), ("delete", sent.deletes)];
        requests.extend(kinds.map(|(kind, count)| row(kind, count)));
        bytes.extend(
            [("written", sent.bytes_written), ("read", sent.bytes_read)].map(|(kind, n)| row(kind, n)),
        );
    }
    family(encoder, ("walkeep_store_requests", "Requests to a store"), requests)?;
    family(encoder, ("walkeep_store_bytes", "Bytes to and from a store"), bytes)
}

fn gauges(stores: &Stores, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let gauges: [Gauge; 7] = [
        ("walkeep_store_quota_bytes", "Bytes of segments that all databases may have in a store", |store| {
            store.quota.bytes_max.map(NonZeroU64::get)
        }),
        ("walkeep_store_quota_used_bytes", "Bytes that count for that", |store| {
            store.quota.bytes_max.map(|_| store.quota.bytes)
        }),
        ("walkeep_copy_waiting_objects", "Objects that wait to be copied to the other place", |store| {
            Some(store.copying.as_ref()?.waiting as u64)
        }),
        ("walkeep_copy_waiting_bytes", "Their bytes", |store| Some(store.copying.as_ref()?.waiting_bytes)),
        ("walkeep_copy_uncompared", "Namespaces whose two places are still to be compared", |store| {
            Some(store.copying.as_ref()?.uncompared as u64)
        }),
        ("walkeep_copy_failures", "Rounds of copying that failed since one that did not", |store| {
            Some(store.copying.as_ref()?.failures.into())
        }),
        ("walkeep_copy_conflicts", "Objects found that differ in the two places", |store| {
            Some(store.copying.as_ref()?.conflicts_total)
        }),
    ];
    for (name, help, value) in gauges {
        let row = |(store, figures): &(String, StoreFigures)| {
            Some((labels(store), ConstGauge::new(number(value(figures)?))))
        };
        family(encoder, (name, help), stores.iter().filter_map(row).collect())?;
    }
    Ok(())
}

fn copied(stores: &Stores, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let counters: [Counter; 3] = [
        ("walkeep_copied_objects", "Objects copied to the other place", |copying| copying.copied),
        ("walkeep_copied_bytes", "Their bytes", |copying| copying.copied_bytes),
        ("walkeep_copy_fallen_back", "Reads that only the other place could answer", |copying| {
            copying.fallen_back
        }),
    ];
    for (name, help, value) in counters {
        let row = |(store, figures): &(String, StoreFigures)| {
            Some((labels(store), ConstCounter::new(value(figures.copying.as_ref()?))))
        };
        family(encoder, (name, help), stores.iter().filter_map(row).collect())?;
    }
    Ok(())
}
