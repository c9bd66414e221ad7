//! Figures in the text format of Prometheus.

use std::fmt;
use std::num::NonZeroU64;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, prometheus_text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use walkeep::core::UnixMillis;
use walkeep_sqlite::replication::{Phase, Status};

use super::figures::Figures;
use super::store_families;
use crate::commands::Done;

pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// Figures as Prometheus reads them.
///
/// # Errors
///
/// None that is known.
pub(super) fn text(figures: Figures) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(figures));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

pub(super) type Labels = Vec<(&'static str, String)>;

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        gauges_of_databases(self, &mut encoder)?;
        counters_of_databases(self, &mut encoder)?;
        histories(self, &mut encoder)?;
        store_families::encode(&self.stores, &mut encoder)
    }
}

/// One metric with a sample for each row.
pub(super) fn family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    rows: Vec<(Labels, M)>,
) -> fmt::Result {
    let Some((_, first)) = rows.first() else { return Ok(()) };
    let mut metric = encoder.encode_descriptor(name, help, None, first.metric_type())?;
    rows.iter().try_for_each(|(labels, value)| value.encode(metric.encode_family(labels)?))
}

fn labels(status: &Status) -> Labels {
    vec![
        ("database", status.database.display().to_string()),
        ("namespace", status.namespace.to_string()),
        ("store", status.store.clone()),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has floating-point numbers only")]
pub(super) const fn number(value: u64) -> f64 {
    value as f64
}

fn seconds(time: UnixMillis) -> f64 {
    number(time.get()) / 1000.0
}

/// A name, what it says, and the value of it.
type Gauge<'a> = (&'a str, &'a str, &'a dyn Fn(&Status) -> Option<f64>);
type Counter = (&'static str, &'static str, fn(&Status) -> u64);

fn gauges_of_databases(figures: &Figures, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let now = figures.now;
    let lag = |status: &Status| Some(number(status.lag_ms(now)) / 1000.0);
    let flag = |yes: bool| Some(f64::from(u8::from(yes)));
    let is = |phase: Phase| move |status: &Status| flag(status.phase == phase);
    let whole = |value: Option<u64>| value.map(number);
    let gauges: [Gauge<'_>; 19] = [
        ("walkeep_lag_seconds", "Age of the oldest commit that a restore cannot reach", &lag),
        ("walkeep_capturing", "Whether the database is captured, commit by commit", &is(Phase::Capturing)),
        (
            "walkeep_spool_full",
            "Whether commits are not recorded one by one: the spool is full",
            &is(Phase::SpoolFull),
        ),
        ("walkeep_failed", "Whether the replication has ended and waits for somebody", &is(Phase::Failed)),
        ("walkeep_failing", "Whether the last attempt at something failed", &|s| {
            flag(s.last_error.is_some())
        }),
        ("walkeep_seen_frame", "The last frame that was captured", &|s| {
            s.seen.map(|c| number(c.frame_no.get()))
        }),
        ("walkeep_durable_frame", "The last frame that a restore can reach", &|s| {
            s.durable.map(|commit| number(commit.frame_no.get()))
        }),
        (
            "walkeep_durable_time_seconds",
            "When the last commit that a restore can reach was recorded",
            &|s| s.durable.map(|commit| seconds(commit.time)),
        ),
        ("walkeep_epoch", "The epoch that is written in", &|s| s.epoch.map(f64::from)),
        ("walkeep_spool_segments", "Segments that wait on local disk", &|s| Some(number(s.spool_segments))),
        ("walkeep_spool_bytes", "Their bytes", &|s| Some(number(s.spool_bytes))),
        ("walkeep_quota_bytes", "Bytes of stored segments that the namespace may have", &|s| {
            whole(s.quota.limit.bytes.map(NonZeroU64::get))
        }),
        ("walkeep_quota_segments", "Stored segments that it may have", &|s| {
            whole(s.quota.limit.segments.map(NonZeroU64::get))
        }),
        ("walkeep_quota_used_bytes", "Bytes that count for its quota", &|s| whole(Some(s.quota.used?.bytes))),
        ("walkeep_quota_used_segments", "Segments that count for its quota", &|s| {
            whole(Some(s.quota.used?.segments))
        }),
        ("walkeep_quota_full", "Whether the next segment waits for room", &|s| flag(s.quota.over)),
        ("walkeep_wal_bytes", "The length of the database's log", &|s| Some(number(s.wal_bytes))),
        ("walkeep_wal_blocked", "Whether a reader keeps the log from beginning anew", &|s| {
            flag(s.blocked_by_reader)
        }),
        ("walkeep_fall_back_time_seconds", "When commits were last not captured one by one", &|s| {
            s.fall_back.as_ref().map(|fall_back| seconds(fall_back.time))
        }),
    ];
    for (name, help, value) in gauges {
        let row = |status: &Status| Some((labels(status), ConstGauge::new(value(status)?)));
        family(encoder, (name, help), figures.statuses.iter().filter_map(row).collect())?;
    }
    Ok(())
}

fn counters_of_databases(figures: &Figures, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let counters: [Counter; 7] = [
        ("walkeep_quota_refusals", "How often a segment was refused for want of room", |status| {
            status.quota.refusals
        }),
        ("walkeep_fall_backs", "How often commits were not captured one by one", |status| status.fall_backs),
        ("walkeep_transactions", "Transactions captured", |status| status.transactions),
        ("walkeep_frames", "Frames captured", |status| status.frames),
        ("walkeep_stored_segments", "Segments stored", |status| status.segments_stored),
        ("walkeep_stored_bytes", "Bytes of segments stored", |status| status.bytes_stored),
        ("walkeep_checkpoints", "Checkpoints driven", |status| status.checkpoints),
    ];
    for (name, help, value) in counters {
        let row = |status: &Status| (labels(status), ConstCounter::new(value(status)));
        family(encoder, (name, help), figures.statuses.iter().map(row).collect())?;
    }
    Ok(())
}

/// A name, what it says, and the value of it.
type OfHistory = (&'static str, &'static str, fn(&Done) -> u64);

fn histories(figures: &Figures, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let counters: [OfHistory; 4] = [
        ("walkeep_compactions", "Compactions in the background", |done| done.compactions),
        ("walkeep_deleted_objects", "Objects deleted that nothing needed", |done| done.deleted),
        ("walkeep_deleted_bytes", "Their bytes", |done| done.deleted_bytes),
        ("walkeep_care_failures", "Looks after a history that failed", |done| done.failures),
    ];
    for (name, help, value) in counters {
        let row = |(status, done): &(Status, Done)| (labels(status), ConstCounter::new(value(done)));
        family(encoder, (name, help), figures.cares.iter().map(row).collect())?;
    }
    let proven = figures
        .cares
        .iter()
        .filter_map(|(status, done)| Some((labels(status), ConstGauge::new(seconds(done.drill?.at)))));
    let help = "When a restore was last tried and proven";
    family(encoder, ("walkeep_restore_proven_time_seconds", help), proven.collect())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use walkeep::backends::CopyStatus;
    use walkeep::backends::metered::Requests;
    use walkeep::core::{Drill, FrameNo};
    use walkeep::storage::Total;

    use super::super::StoreFigures;
    use super::*;

    /// The status of a database as the file has it.
    fn status(database: &str) -> Status {
        serde_json::from_value(serde_json::json!({
            "database": PathBuf::from(database), "namespace": "app", "store": "s3://logs/x", "phase": "capturing",
            "epoch": 4, "seen": {"frame_no": 12, "time": 90_000}, "durable": {"frame_no": 10, "time": 80_500},
            "waiting_since": 98_500, "transactions": 7, "frames": 12, "bytes_stored": 5000, "segments_stored": 3,
            "spool_segments": 2, "spool_bytes": 300, "wal_bytes": 4096, "checkpoints": 1, "fall_backs": 4, "blocked_by_reader": true,
            "quota": {"limit": {"bytes": 9000, "segments": 8}, "used": {"bytes": 5000, "segments": 3}, "over": true, "refusals": 6},
            "fall_back": {"way": "difference", "why": "x", "time": 70_000}, "last_error": "no", "time": 99_000
        }))
        .unwrap()
    }

    fn shown(statuses: Vec<Status>) -> String {
        let sent = Requests { puts: 5, gets: 6, lists: 7, deletes: 0, bytes_written: 800, bytes_read: 900 };
        let copying = CopyStatus {
            waiting: 21,
            waiting_bytes: 22,
            uncompared: 23,
            copied: 24,
            copied_bytes: 25,
            failures: 26,
            conflicts_total: 27,
            fallen_back: 28,
            ..CopyStatus::default()
        };
        let quota = Total { bytes_max: 31.try_into().ok(), bytes: 30 };
        let of_store = StoreFigures { requests: sent, quota, copying: Some(copying) };
        let stores = vec![("s3://logs/x".to_string(), of_store)];
        let state = walkeep::core::StateChecksum(1);
        let drill = Drill { at: UnixMillis(90_000), frame: FrameNo::FIRST, time: UnixMillis(80_000), state };
        let done = Done { compactions: 11, deleted: 12, deleted_bytes: 13, drill: Some(drill), failures: 14 };
        let cares = statuses.iter().map(|status| (status.clone(), done.clone())).collect();
        text(Figures { statuses, cares, stores, now: UnixMillis(100_000) }).unwrap()
    }

    #[test]
    fn every_figure_is_there_with_its_type_and_value() {
        let text = shown(vec![status("/srv/a \"b\".db")]);
        let of = r#"{database="/srv/a \"b\".db",namespace="app",store="s3://logs/x"}"#;
        for (kind, name, value) in [
            ("gauge", "walkeep_lag_seconds", "1.5"),
            ("gauge", "walkeep_capturing", "1.0"),
            ("gauge", "walkeep_spool_full", "0.0"),
            ("gauge", "walkeep_failed", "0.0"),
            ("gauge", "walkeep_failing", "1.0"),
            ("gauge", "walkeep_seen_frame", "12.0"),
            ("gauge", "walkeep_durable_frame", "10.0"),
            ("gauge", "walkeep_durable_time_seconds", "80.5"),
            ("gauge", "walkeep_epoch", "4.0"),
            ("gauge", "walkeep_spool_segments", "2.0"),
            ("gauge", "walkeep_spool_bytes", "300.0"),
            ("gauge", "walkeep_quota_bytes", "9000.0"),
            ("gauge", "walkeep_quota_segments", "8.0"),
            ("gauge", "walkeep_quota_used_bytes", "5000.0"),
            ("gauge", "walkeep_quota_used_segments", "3.0"),
            ("gauge", "walkeep_quota_full", "1.0"),
            ("counter", "walkeep_quota_refusals_total", "6"),
            ("gauge", "walkeep_wal_bytes", "4096.0"),
            ("gauge", "walkeep_wal_blocked", "1.0"),
            ("gauge", "walkeep_fall_back_time_seconds", "70.0"),
            ("counter", "walkeep_transactions_total", "7"),
            ("counter", "walkeep_frames_total", "12"),
            ("counter", "walkeep_stored_segments_total", "3"),
            ("counter", "walkeep_stored_bytes_total", "5000"),
            ("counter", "walkeep_checkpoints_total", "1"),
            ("counter", "walkeep_fall_backs_total", "4"),
            ("counter", "walkeep_compactions_total", "11"),
            ("counter", "walkeep_deleted_objects_total", "12"),
            ("counter", "walkeep_deleted_bytes_total", "13"),
            ("counter", "walkeep_care_failures_total", "14"),
            ("gauge", "walkeep_restore_proven_time_seconds", "90.0"),
        ] {
            for line in [format!("# TYPE {name} {kind}"), format!("{name}{of} {value}")] {
                assert!(text.lines().any(|found| found == line), "{line}\n{text}");
            }
        }
        for line in [
            r#"walkeep_store_requests_total{store="s3://logs/x",kind="put"} 5"#,
            r#"walkeep_store_requests_total{store="s3://logs/x",kind="get"} 6"#,
            r#"walkeep_store_requests_total{store="s3://logs/x",kind="list"} 7"#,
            r#"walkeep_store_bytes_total{store="s3://logs/x",kind="written"} 800"#,
            r#"walkeep_store_bytes_total{store="s3://logs/x",kind="read"} 900"#,
            r#"walkeep_store_quota_bytes{store="s3://logs/x"} 31.0"#,
            r#"walkeep_store_quota_used_bytes{store="s3://logs/x"} 30.0"#,
            r#"walkeep_copy_waiting_objects{store="s3://logs/x"} 21.0"#,
            r#"walkeep_copy_waiting_bytes{store="s3://logs/x"} 22.0"#,
            r#"walkeep_copy_uncompared{store="s3://logs/x"} 23.0"#,
            r#"walkeep_copied_objects_total{store="s3://logs/x"} 24"#,
            r#"walkeep_copied_bytes_total{store="s3://logs/x"} 25"#,
            r#"walkeep_copy_failures{store="s3://logs/x"} 26.0"#,
            r#"walkeep_copy_conflicts{store="s3://logs/x"} 27.0"#,
            r#"walkeep_copy_fallen_back_total{store="s3://logs/x"} 28"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_is_not_known_has_no_sample() {
        let mut opening = status("/b.db");
        (opening.phase, opening.seen, opening.durable, opening.epoch) = (Phase::Opening, None, None, None);
        (opening.fall_back, opening.last_error, opening.waiting_since) = (None, None, None);
        let text = shown(vec![opening]);
        for name in ["walkeep_seen_frame", "walkeep_durable", "walkeep_epoch", "walkeep_fall_back_time"] {
            assert!(!text.contains(name), "{name}\n{text}");
        }
        assert!(text.contains("walkeep_failing{database=\"/b.db\"") && text.contains("walkeep_capturing{"));
    }

    #[test]
    fn a_name_stands_once_however_many_databases_there_are() {
        let text = shown(vec![status("/a.db"), status("/b.db")]);
        assert_eq!(text.matches("# TYPE walkeep_lag_seconds gauge").count(), 1, "{text}");
        assert_eq!(text.matches("\nwalkeep_lag_seconds{").count(), 2, "{text}");
    }

    #[test]
    fn every_metric_is_in_the_documentation() {
        let operations = include_str!("../../../../docs/operations.md");
        let text = shown(vec![status("/a.db")]);
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        for name in names {
            assert!(operations.contains(&format!("`{name}`")), "{name}");
        }
    }
}
