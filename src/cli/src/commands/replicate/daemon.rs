//! `walkeep replicate DB STORE` and `walkeep replicate --config FILE`: every transaction, until it is told to stop.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use walkeep::{Error, Handles};

use super::caretaker::Caretaker;
use super::descriptors;
use super::fleet::Fleet;
use super::registry::Registry;
use super::wanted::Wanted;
use crate::config::{Config, Why};
use crate::metrics::{Figures, MetricsServer};
use crate::output;

/// How often files that patterns match are looked for.
const RESCAN: Duration = Duration::from_secs(5);

/// Replicates one database.
pub(super) async fn run_one(wanted: Wanted, metrics: Option<SocketAddr>) -> anyhow::Result<ExitCode> {
    let registry = Registry::default();
    let _metrics = serve_metrics(metrics, &registry).await?;
    let mut fleet = Fleet::new(Handles::system(), registry);
    descriptors::raise_limit(1);
    start(&mut fleet, vec![wanted]).await?;
    run(fleet, None).await
}

/// Replicates what a configuration says.
pub(super) async fn run_all(path: PathBuf, metrics: Option<SocketAddr>) -> anyhow::Result<ExitCode> {
    let config = Config::load(&path)?;
    let databases = config.databases()?;
    let registry = Registry::default();
    let _metrics = serve_metrics(metrics.or(config.metrics), &registry).await?;
    let mut fleet = Fleet::new(Handles::system(), registry);
    for left_out in databases.left_out.iter().filter(|left_out| left_out.why != Why::SideFile) {
        output::note(format!("note: {} is left out: {}", left_out.path.display(), left_out.why));
    }
    if databases.entries.is_empty() {
        output::note("warning: no database is replicated: no file matches yet");
    }
    descriptors::raise_limit(databases.entries.len());
    fleet.set_total(config.total_bytes_max);
    start(&mut fleet, databases.entries.into_iter().map(Wanted::from).collect()).await?;
    run(fleet, Some((path, config))).await
}

/// Starts replications. That none could be started is an error.
async fn start(fleet: &mut Fleet, wanted: Vec<Wanted>) -> anyhow::Result<()> {
    let mut refused = fleet.replicate(wanted, true).await;
    if fleet.has_failed_altogether()
        && let Some((_, error)) = refused.pop()
    {
        return Err(error.into());
    }
    note_refused(&refused);
    Ok(())
}

fn note_refused(refused: &[(PathBuf, Error)]) {
    for (path, error) in refused {
        output::note(format!("{}: not replicated: {error}", path.display()));
    }
}

/// Serves metrics, if anybody wants them. An address that cannot be had is an error before anything is replicated.
async fn serve_metrics(
    address: Option<SocketAddr>,
    registry: &Registry,
) -> anyhow::Result<Option<MetricsServer>> {
    let Some(address) = address else { return Ok(None) };
    let (registry, clock) = (registry.clone(), Handles::system().clock);
    let source = move || Figures {
        statuses: registry.statuses(),
        cares: registry.cares(),
        stores: registry.stores(),
        now: clock.now(),
    };
    let server = MetricsServer::start(address, Arc::new(source)).await?;
    output::note(format!("metrics: http://{}/metrics", server.address()));
    Ok(Some(server))
}

async fn run(fleet: Fleet, config: Option<(PathBuf, Config)>) -> anyhow::Result<ExitCode> {
    let upkeep = config.as_ref().map(|(_, config)| config.upkeep).unwrap_or_default();
    let caretaker = Caretaker::new(fleet.registry().clone(), upkeep, Handles::system());
    let caretaker = tokio::spawn(caretaker.run());
    let ended = run_fleet(fleet, config).await;
    // Whatever it is doing can be cut off anywhere.
    caretaker.abort();
    ended
}

async fn run_fleet(mut fleet: Fleet, mut config: Option<(PathBuf, Config)>) -> anyhow::Result<ExitCode> {
    let [mut terminate, mut interrupt, mut hangup] =
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let (terminate, interrupt, hangup) = (terminate.as_mut(), interrupt.as_mut(), hangup.as_mut());
    let [Ok(terminate), Ok(interrupt), Ok(hangup)] = [terminate, interrupt, hangup] else {
        anyhow::bail!("signals cannot be listened to");
    };
    let mut noted = BTreeSet::new();
    let mut rescan = tokio::time::interval(RESCAN);
    rescan.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    rescan.tick().await;
    loop {
        tokio::select! {
            (path, outcome) = fleet.ended() => {
                match (outcome, config.is_none() || fleet.has_failed_altogether()) {
                    (Err(error), true) => return Err(error.into()),
                    (Ok(_), true) => return Ok(ExitCode::SUCCESS),
                    (Err(error), false) => output::note(format!("{}: no longer replicated: {error}", path.display())),
                    (Ok(_), false) => {}
                }
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                if let Some((path, config)) = &mut config {
                    match Config::load(path) {
                        Ok(read) => {
                            *config = read;
                            output::note(format!("{} was read again", path.display()));
                            noted.clear();
                            fleet.set_total(config.total_bytes_max);
                            replicate(&mut fleet, config, true, &mut noted).await;
                            if fleet.has_failed_altogether() {
                                anyhow::bail!("nothing of the new configuration can be replicated");
                            }
                        }
                        Err(error) => output::note(format!("the configuration stays as it was: {error}")),
                    }
                }
            }
            _ = rescan.tick(), if config.is_some() => {
                if let Some((_, config)) = &config {
                    replicate(&mut fleet, config, false, &mut noted).await;
                }
            }
        }
    }
    let failures = fleet.failures();
    let mut left = fleet.stop_all().await;
    if let Some(at) = left.iter().position(|(_, outcome)| matches!(outcome, Err(Error::Fenced { .. })))
        && let (_, Err(fenced)) = left.swap_remove(at)
    {
        return Err(fenced.into());
    }
    if failures > 0 {
        output::note(format!("{} had failed before", output::count(failures as u64, "database")));
    }
    if left.is_empty() && failures == 0 {
        output::note("stopped; everything that was committed is stored");
        return Ok(ExitCode::SUCCESS);
    }
    for (path, outcome) in &left {
        let why = outcome.as_ref().err().map(|error| format!(": {error}")).unwrap_or_default();
        output::note(format!("{}: not everything is stored{why}", path.display()));
    }
    let what = "stopped; some commits are not stored yet and wait on local disk: the next start stores them"
        .to_string();
    Err(Error::Unavailable { what, source: None }.into())
}

/// Replicates what the configuration means now.
async fn replicate(fleet: &mut Fleet, config: &Config, again: bool, noted: &mut BTreeSet<String>) {
    let (databases, problems) = config.rescan(&fleet.paths());
    for problem in problems.iter().map(ToString::to_string) {
        if noted.insert(problem.clone()) {
            output::note(format!("warning: {problem}"));
        }
    }
    note_refused(&fleet.replicate(databases.entries.into_iter().map(Wanted::from).collect(), again).await);
}
