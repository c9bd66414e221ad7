//! `pagestore DIRECTORY STORE [load | last]`: see `README.md`.

use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use pagestore::{PageStore, load};
use tokio::io::{AsyncBufReadExt, BufReader};
use walkeep::backends::StoreUrl;
use walkeep::core::{Clock, FrameNo, Storage};
use walkeep::log::{LogOptions, SealPolicy};
use walkeep::storage::{AsyncStorage, StorageOptions};
use walkeep::{Error, Handles, Result};

/// Transactions that may wait for the store.
const UNACKNOWLEDGED_MAX: usize = 64;
/// How long what is queued may take at the end.
const SHUTDOWN: Duration = Duration::from_secs(10);

enum Command {
    Set(String, String),
    Get(String),
    Commit,
    Wrong(String),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let outcome = match arguments[..] {
        [directory, store] => run(directory, store, Mode::Input).await,
        [directory, store, "load"] => run(directory, store, Mode::Load).await,
        [directory, store, "last"] => run(directory, store, Mode::Last).await,
        _ => Err(Error::invalid("these arguments", "pagestore DIRECTORY STORE [load | last]")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pagestore: {error}");
            // Not by returning: the runtime would wait for the next line of the input.
            std::process::exit(1)
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Input,
    Load,
    Last,
}

async fn run(directory: &str, store: &str, mode: Mode) -> Result<()> {
    let handles = Handles::system();
    let backend = store.parse::<StoreUrl>()?.create()?;
    let storage = Arc::new(AsyncStorage::new(Arc::new(backend), StorageOptions::default(), handles.clone())?);
    // Small, since the user waits for the store: a server would let more come together.
    let seal = SealPolicy::Any(vec![SealPolicy::Frames(64), SealPolicy::AgeMs(5)]);
    let options = LogOptions { seal, ..LogOptions::default() };
    let namespace = "pagestore".parse()?;
    let directory = Path::new(directory);
    let mut pages = PageStore::open(directory, Arc::clone(&storage), namespace, options, &handles).await?;
    if mode != Mode::Last {
        let commands = if mode == Mode::Load { generated(&pages)? } else { input() };
        work(&mut pages, commands, &*handles.clock).await?;
    }
    pages.flush().await?;
    if mode == Mode::Last {
        println!("last {}", pages.get(load::LAST)?.unwrap_or_else(|| "0".into()));
    }
    for left in storage.shutdown(SHUTDOWN).await {
        eprintln!("not stored: {left:?}");
    }
    Ok(())
}

/// Takes commands, and acknowledges each transaction when it is durable.
async fn work<S: Storage>(
    pages: &mut PageStore<S>,
    mut commands: BoxStream<'_, Command>,
    clock: &dyn Clock,
) -> Result<()> {
    let mut unacknowledged = VecDeque::<(FrameNo, String)>::new();
    let mut ended = false;
    while !ended || !unacknowledged.is_empty() {
        let wait = pages.wake_at().map(|at| at.get().saturating_sub(clock.now().get()));
        let timer = async {
            match wait {
                Some(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            durable = pages.durable() => {
                let durable = durable?;
                while let Some((_, last)) = unacknowledged.pop_front_if(|(frame, _)| *frame <= durable) {
                    println!("acknowledged {last}");
                }
            }
            () = timer => pages.tick()?,
            command = commands.next(), if !ended && unacknowledged.len() < UNACKNOWLEDGED_MAX => match command {
                None => ended = true,
                Some(Command::Set(key, value)) => pages.set(&key, &value)?,
                Some(Command::Get(key)) => println!("{}", pages.get(&key)?.unwrap_or_default()),
                Some(Command::Wrong(line)) => eprintln!("set KEY VALUE, get KEY or commit, not {line:?}"),
                Some(Command::Commit) => {
                    let last = pages.get(load::LAST)?;
                    if let Some(frame) = pages.commit()? {
                        unacknowledged.push_back((frame, last.unwrap_or_else(|| frame.to_string())));
                    }
                }
            },
        }
    }
    Ok(())
}

/// Transactions without end, behind the last one that is there.
fn generated<S: Storage>(pages: &PageStore<S>) -> Result<BoxStream<'static, Command>> {
    let last = pages.get(load::LAST)?.and_then(|last| last.parse().ok()).unwrap_or(0);
    let transactions = (last + 1..).flat_map(|number| {
        let sets = load::transaction(number).into_iter().map(|(key, value)| Command::Set(key, value));
        sets.chain([Command::Commit])
    });
    Ok(stream::iter(transactions).boxed())
}

/// Commands from the standard input.
fn input() -> BoxStream<'static, Command> {
    let lines = BufReader::new(tokio::io::stdin()).lines();
    let commands = stream::unfold(lines, |mut lines| async {
        let line = lines.next_line().await.ok().flatten()?;
        let command = match line.trim().splitn(3, ' ').collect::<Vec<_>>()[..] {
            ["set", key, value] => Command::Set(key.into(), value.into()),
            ["get", key] => Command::Get(key.into()),
            ["commit"] => Command::Commit,
            _ => Command::Wrong(line),
        };
        Some((command, lines))
    });
    commands.boxed()
}
