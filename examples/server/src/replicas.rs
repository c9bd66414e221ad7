//! Copies of tenants that are served elsewhere, to read from: each a follower of the tenant's log.
//!
//! A replica is made at the first request for it, and kept current from then on by a task of its own. What it has read it
//! acknowledges as a member of the group [`GROUP`], so that no collection deletes what it still needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Mutex, OnceCell, watch};
use walkeep::backends::os::OsDirectory;
use walkeep::core::manifest::Cap;
use walkeep::core::{FrameNo, GroupName, MemberName, Namespace};
use walkeep::followers::{Begin, Followers, Patience, wait_beyond};
use walkeep::replica::{JournalMode, Replica, ReplicaOptions, Step};
use walkeep::{Bucket, Error, Handles, Result};

use crate::failure::Failure;
use crate::local_files::file_name;
use crate::sql::{self, Answer, Statement};

/// The group of all replicas.
pub const GROUP: &str = "replicas";

/// How long the log of a tenant is kept for a replica that does not go on: a day.
const CAP: Cap = Cap { bytes: None, age_ms: Some(24 * 60 * 60 * 1000) };

/// The replicas of one server.
#[derive(Debug)]
pub struct Replicas {
    path: PathBuf,
    directory: Arc<OsDirectory>,
    bucket: Bucket,
    handles: Handles,
    member: MemberName,
    followers: Arc<Followers>,
    open: Mutex<BTreeMap<Namespace, Arc<OnceCell<Following>>>>,
}

/// A replica that is kept current, until this is dropped.
#[derive(Debug)]
struct Following {
    frame: watch::Receiver<FrameNo>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Replicas {
    /// Those in a directory, which is created if it does not exist.
    ///
    /// # Errors
    ///
    /// `Io`; `Invalid` for a group name that is none.
    pub fn new(path: &Path, bucket: &Bucket, handles: &Handles, member: MemberName) -> Result<Self> {
        let directory = OsDirectory::create(path);
        let directory = directory.map_err(|error| Error::io(format!("create {}", path.display()), error))?;
        Ok(Self {
            path: path.to_path_buf(),
            directory: Arc::new(directory),
            bucket: bucket.clone(),
            handles: handles.clone(),
            member,
            followers: Arc::new(Followers::new(bucket, handles)),
            open: Mutex::default(),
        })
    }

    /// Runs a statement that only reads on the replica of a tenant: the answer, and the frame that the replica had at least.
    ///
    /// # Errors
    ///
    /// 404 when the store has no such tenant, or nothing of it yet; 400 for a statement that writes.
    pub async fn read(&self, tenant: &Namespace, statement: Statement) -> Result<(Answer, FrameNo), Failure> {
        let cell = Arc::clone(self.open.lock().await.entry(tenant.clone()).or_default());
        let opened = cell.get_or_try_init(|| self.follow(tenant)).await;
        let frame = match opened {
            Ok(following) if !following.task.is_finished() => *following.frame.borrow(),
            ended => {
                let failed = ended.err();
                drop(cell);
                self.open.lock().await.remove(tenant);
                let why = || Error::Unavailable {
                    what: format!("the replica of {tenant} has ended; ask again"),
                    source: None,
                };
                return Err(failed.unwrap_or_else(why).into());
            }
        };
        let path = self.path.join(file_name(tenant));
        let read = tokio::task::spawn_blocking(move || {
            // Each version is a file of its own under one name: who has it open goes on with it.
            let mut connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            sql::confine(&mut connection)?;
            sql::run(&connection, &statement)
        });
        let answer = read
            .await
            .map_err(|error| Error::Unknown { what: format!("the statement did not end: {error}") })??;
        Ok((answer, frame))
    }

    /// Makes the replica, and keeps it current.
    async fn follow(&self, tenant: &Namespace) -> Result<Following> {
        let group: GroupName = GROUP.parse()?;
        match self.followers.create_group(tenant, &group, Begin::Newest, CAP).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        let (directory, random) = (Arc::clone(&self.directory), Arc::clone(&self.handles.random));
        // In WAL mode a reader would need files beside it, which belong to whoever writes.
        let journal_mode = JournalMode::Rollback;
        let options = ReplicaOptions { force: true, journal_mode, ..ReplicaOptions::default() };
        let name = file_name(tenant);
        let mut replica = Replica::open(&self.bucket, tenant, directory, &name, random, options).await?;
        let first = step(&mut replica).await?;
        let (tell, frame) = watch::channel(first);
        let (bucket, followers) = (self.bucket.clone(), Arc::clone(&self.followers));
        let (tenant, member) = (tenant.clone(), self.member.clone());
        let task = tokio::spawn(async move {
            let mut at = first;
            loop {
                if let Err(error) = followers.ack(&tenant, &group, &member, at).await {
                    // It is kept up to here all the same: the next acknowledgement says more.
                    tracing::warn!(%tenant, frame = %at, %error, "the position of the replica was not acknowledged");
                }
                let next = async {
                    wait_beyond(&bucket, &tenant, Some(at), Patience::default()).await?;
                    step(&mut replica).await
                };
                match next.await {
                    Ok(frame) => at = frame,
                    Err(
                        error
                        @ (Error::NotFound { .. } | Error::AlreadyExists { .. } | Error::Invalid { .. }),
                    ) => {
                        tracing::warn!(%tenant, %error, "the replica ends");
                        return;
                    }
                    Err(error) => {
                        tracing::warn!(%tenant, %error, "the replica waits");
                        tokio::time::sleep(Patience::default().longest).await;
                    }
                }
                tell.send_replace(at);
            }
        });
        Ok(Following { frame, task })
    }
}

/// Brings the replica to the newest commit, and says which that is.
async fn step(replica: &mut Replica) -> Result<FrameNo> {
    Ok(match replica.step().await? {
        Step::UpToDate(version) => version.frame_no,
        Step::Applied(applied) => applied.version.frame_no,
        Step::StoreBehind { replica, newest } => {
            let what = format!(
                "a replica at frame {}, where the store ends at {}",
                replica.frame_no, newest.frame_no
            );
            return Err(Error::invalid(what, "stored segments are gone"));
        }
    })
}
