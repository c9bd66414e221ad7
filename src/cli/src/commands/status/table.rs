//! The status of databases for people: in full for one, a line each for several.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use walkeep::core::UnixMillis;
use walkeep::storage::Total;
use walkeep_sqlite::replication::{CommitSeen, QuotaStatus, Status};

use super::row::Row;
use crate::output;

pub(super) fn show(rows: &[Row], now: UnixMillis) {
    match rows {
        [] => output::note("no database is meant: no file matches"),
        [one] => show_one(one, now),
        several => show_several(several, now),
    }
}

fn show_one(row: &Row, now: UnixMillis) {
    let store = dash(row.store.as_ref());
    output::line(format!("{} -> {store} namespace {}", row.database.display(), dash(row.namespace.as_ref())));
    let line = |name: &str, text: String| output::line(format!("  {name:<12} {text}"));
    let Some(status) = &row.status else {
        line("state", "never replicated from here".into());
        show_stored(row, now);
        return;
    };
    let epoch = status.epoch.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
    let since = if row.runs { String::new() } else { format!(" since {}", status.time) };
    line("state", format!("{}{since}{epoch}", row.state()));
    line(
        "lag",
        match row.lag(now) {
            None => "unknown: nobody looks at the database".into(),
            Some(lag) if row.silent.is_some() => {
                format!(
                    "up to {}: so long the daemon has not looked; it hangs, or is stopped, or works on something large",
                    duration(lag)
                )
            }
            Some(Duration::ZERO) => "none: everything is stored".into(),
            Some(lag) => format!("{}: so long the oldest commit waits", duration(lag)),
        },
    );
    line("captured", commit(status.seen, now));
    line("durable", commit(status.durable, now));
    show_stored(row, now);
    line(
        "waiting",
        match status.spool_segments {
            0 => "nothing on local disk".into(),
            count => format!("{}, {}", output::count(count, "segment"), output::bytes(status.spool_bytes)),
        },
    );
    if let Some(quota) = quota(&status.quota) {
        line("quota", quota);
    }
    if let Some(total) = &status.quota.total {
        line("quota of all", self::total(total));
    }
    let held = if status.blocked_by_reader { ", held by a reader of another process" } else { "" };
    line("log", format!("{}{held}", output::bytes(status.wal_bytes)));
    line(
        "since start",
        format!(
            "{}, {}, {} in {} stored, {}",
            output::count(status.transactions, "transaction"),
            output::count(status.frames, "frame"),
            output::bytes(status.bytes_stored),
            output::count(status.segments_stored, "segment"),
            output::count(status.checkpoints, "checkpoint")
        ),
    );
    for (name, text) in troubles(status, now) {
        line(name, text);
    }
}

fn show_stored(row: &Row, now: UnixMillis) {
    let Some(stored) = &row.stored else { return };
    let found = stored.durable_frame_no.zip(stored.durable_time_ms);
    let found = found.map(|(frame_no, time)| CommitSeen { frame_no, time });
    output::line(format!("  {:<12} {}", "in the store", commit(found, now)));
}

fn show_several(rows: &[Row], now: UnixMillis) {
    let width = rows.iter().map(|row| row.database.display().to_string().chars().count()).max();
    let width = width.unwrap_or_default().max(8);
    let line = |cells: [String; 8]| {
        let [database, state, lag, seen, durable, age, waiting, epoch] = cells;
        output::line(format!(
            "{database:<width$} {state:<16} {lag:>8} {seen:>12} {durable:>12} {age:>8} {waiting:>10} {epoch:>6}"
        ));
    };
    line(["DATABASE", "STATE", "LAG", "CAPTURED", "DURABLE", "AGE", "WAITING", "EPOCH"].map(String::from));
    for row in rows {
        let status = row.status.as_ref();
        let (seen, durable) = (status.and_then(|s| s.seen), status.and_then(|s| s.durable));
        line([
            row.database.display().to_string(),
            row.state().to_string(),
            dash(row.lag(now).map(duration)),
            dash(seen.map(|commit| commit.frame_no)),
            dash(durable.map(|commit| commit.frame_no)),
            dash(durable.map(|commit| age(commit.time, now))),
            dash(status.filter(|s| s.spool_segments > 0).map(|s| output::bytes(s.spool_bytes))),
            dash(status.and_then(|s| s.epoch)),
        ]);
        if let Some(full) = status.filter(|status| status.quota.over).and_then(|s| quota(&s.quota)) {
            output::line(format!("  quota: {full}"));
        }
        for (name, text) in status.into_iter().flat_map(|status| troubles(status, now)) {
            output::line(format!("  {name}: {text}"));
        }
        if status.is_some_and(|status| status.blocked_by_reader) {
            output::line("  log: held by a reader of another process");
        }
    }
    for (store, total) in totals(rows) {
        output::line(format!("{store}: quota of all: {}", self::total(&total)));
    }
}

/// What all databases together may take of each store and take, by who said so last of those that are replicated now.
fn totals(rows: &[Row]) -> BTreeMap<&str, Total> {
    let mut told =
        rows.iter().filter(|row| row.runs).filter_map(|row| row.status.as_ref()).collect::<Vec<_>>();
    told.sort_by_key(|status| status.time);
    told.iter().filter_map(|status| Some((status.store.as_str(), status.quota.total?))).collect()
}

/// What is used of the quota of all databases together.
fn total(Total { bytes_max, bytes }: &Total) -> String {
    let of = bytes_max.map(|max| format!(" of {}", output::bytes(max.get()))).unwrap_or_default();
    format!("{}{of} used by all databases that the process replicates to the store", output::bytes(*bytes))
}

/// What is used of a quota; `None` where there is none.
fn quota(quota: &QuotaStatus) -> Option<String> {
    let QuotaStatus { limit, used, over, refusals, total: _ } = quota;
    let mut parts = Vec::new();
    if let Some(used) = used {
        let of = |max: Option<String>| max.map(|max| format!(" of {max}")).unwrap_or_default();
        let bytes_max = of(limit.bytes.map(|max| output::bytes(max.get())));
        let segments_max = of(limit.segments.map(|max| max.to_string()));
        parts.push(format!("{}{bytes_max} used", output::bytes(used.bytes)));
        parts.push(format!("{}{segments_max} segments", used.segments));
    } else if !limit.is_unlimited() {
        parts.push(limit.to_string());
    }
    if *over {
        parts.push("full: the next segment waits for room".into());
    }
    if *refusals > 0 {
        parts.push(format!("refused {}", output::count(*refusals, "time")));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What somebody should know of.
fn troubles(status: &Status, now: UnixMillis) -> Vec<(&'static str, String)> {
    let mut troubles = Vec::new();
    if let Some(fall_back) = &status.fall_back {
        let ago = age(fall_back.time, now);
        troubles.push(("fell back", format!("{ago} ago to {}: {}", fall_back.way, fall_back.why)));
    }
    if let Some(error) = &status.last_error {
        troubles.push(("last error", error.clone()));
    }
    troubles
}

fn commit(commit: Option<CommitSeen>, now: UnixMillis) -> String {
    match commit {
        None => "nothing".into(),
        Some(commit) => {
            format!("frame {} of {} ({} ago)", commit.frame_no, commit.time, age(commit.time, now))
        }
    }
}

pub(super) fn dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_string(), |value| value.to_string())
}

/// How long ago a time is.
pub(super) fn age(time: UnixMillis, now: UnixMillis) -> String {
    duration(Duration::from_millis(now.get().saturating_sub(time.get())))
}

/// A duration, as exactly as people want it.
fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{}.{}s", seconds, duration.subsec_millis() / 100),
        10..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (millis, text) in [
            (0, "0.0s"),
            (1290, "1.2s"),
            (10_000, "10s"),
            (119_000, "119s"),
            (120_000, "2m"),
            (7_200_000, "2h"),
            (172_800_000, "2d"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
