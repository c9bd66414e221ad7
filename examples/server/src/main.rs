//! `walkeep-server-example --data DIR --store STORE`: see `README.md`.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use walkeep::backends::StoreUrl;
use walkeep::backends::os::OsDirectory;
use walkeep::core::MemberName;
use walkeep::core::catalog::NodeId;
use walkeep::{Bucket, Error, Handles, Result};
use walkeep_server_example::cluster::HEARTBEAT;
use walkeep_server_example::{CatalogCopies, Cluster, Replicas, Server, Tenants, router};

/// How long what is not stored yet may take at the end.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// A database server: one SQLite database a tenant, in an object store at every commit.
#[derive(Parser)]
struct Arguments {
    /// Where the databases are. What is missing here comes back from the store.
    #[arg(long)]
    data: PathBuf,
    /// The store: a directory, or an address like s3://BUCKET/PREFIX?endpoint=URL.
    #[arg(long)]
    store: String,
    /// The address to listen on; port 0 for any that is free.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How many milliseconds a write may take to get to the store before its outcome is called unknown.
    #[arg(long, default_value_t = 10_000)]
    timeout_ms: u64,
    /// A directory that several servers share, each with a data directory of its own: the catalog says which of them serves a
    /// tenant.
    #[arg(long, requires = "node")]
    catalog: Option<PathBuf>,
    /// How many seconds to wait between two copies of the catalog into the store, which are made only when it has changed.
    #[arg(long, default_value = "60", value_parser = parse_interval, requires = "catalog")]
    catalog_copy_interval: Duration,
    /// The name of this server in the catalog. It keeps its address: give --listen a port.
    #[arg(long, requires = "catalog")]
    node: Option<MemberName>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("walkeep-server-example: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let io = |what: String| move |error| Error::io(what, error);
    let store = arguments.store.parse::<StoreUrl>()?;
    let backend = store.create()?;
    OsDirectory::create(&arguments.data).map_err(io(format!("create {}", arguments.data.display())))?;
    // Fencing is about the store. That nobody else writes these files is for us to see to.
    let path = arguments.data.join("lock");
    let lock = File::options().create(true).write(true).truncate(false).open(&path);
    let lock = lock.map_err(io(format!("open {}", path.display())))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            Error::invalid(format!("the directory {}", arguments.data.display()), "another process serves it")
        }
        TryLockError::Error(error) => io(format!("lock {}", path.display()))(error),
    })?;
    let listening = format!("listen on {}", arguments.listen);
    let listener = TcpListener::bind(arguments.listen).await.map_err(io(listening.clone()))?;
    let address = listener.local_addr().map_err(io(listening.clone()))?;
    let handles = Handles::system();
    let (mut cluster, mut replicas, mut copies) = (None, None, None);
    if let (Some(catalog), Some(member)) = (&arguments.catalog, arguments.node) {
        let node = NodeId::new(member.as_str())?;
        let bucket = Bucket::new(Arc::new(Arc::clone(&backend)), None)?.named(&store);
        let shared = Cluster::new(catalog, node, handles.clone())?;
        // Before anything is written there: a catalog that was lost is to be restored, and not begun anew.
        copies = Some(Arc::new(CatalogCopies::begin(&shared, &bucket, &handles).await?));
        shared.join(&format!("http://{address}")).await?;
        cluster = Some(shared);
        let path = arguments.data.join("replicas");
        replicas = Some(Arc::new(Replicas::new(&path, &bucket, &handles, member)?));
    }
    let tenants = Arc::new(Tenants::new(&arguments.data, backend, &store.to_string(), cluster)?);
    let beating = tokio::spawn(beat(Arc::clone(&tenants)));
    let copying = copies.clone().map(|copies| {
        let interval = arguments.catalog_copy_interval;
        tokio::spawn(async move { copies.keep_up(interval).await })
    });
    tenants.open_all().await?;
    println!("listening on {address}");
    let (mut terminate, mut interrupt) = (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
    let told_to_stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    // Requests that are being served are served to their end.
    let timeout = Duration::from_millis(arguments.timeout_ms);
    let routes = router(Server { tenants: Arc::clone(&tenants), replicas, timeout });
    axum::serve(listener, routes).with_graceful_shutdown(told_to_stop).await.map_err(io(listening))?;
    beating.abort();
    let left = tenants.close(SHUTDOWN).await;
    if let (Some(copying), Some(copies)) = (copying, copies) {
        copying.abort();
        // A copy that was under way may have been cut short.
        drop(copying.await);
        copies.end().await;
    }
    if left.is_empty() {
        return Ok(());
    }
    let left = left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let what =
        format!("commits of {left} are not stored yet; they are on disk, and the next start stores them");
    Err(Error::Unavailable { what, source: None })
}

fn parse_interval(text: &str) -> std::result::Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0);
    let interval = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    interval.ok_or_else(|| "it is a number of seconds above 0".to_string())
}

/// Says again and again that this server is there.
async fn beat(tenants: Arc<Tenants>) {
    if tenants.cluster().is_none() {
        return;
    }
    loop {
        if let Err(error) = tenants.beat().await {
            tracing::warn!(%error, "the other servers could not be told that this one is there");
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

fn hear(kind: SignalKind) -> Result<tokio::signal::unix::Signal> {
    signal(kind).map_err(|error| Error::io("listen for signals", error))
}
