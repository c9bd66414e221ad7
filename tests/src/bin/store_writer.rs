//! A writer of a namespace, in a process of its own: `store_writer STORE NAMESPACE TOKEN`.
//!
//! It opens the namespace, which takes it over from whoever writes it, and stores small segments as fast as it can.
//! Each page of each commit holds the token and a count, so no two writers ever store the same. On stdout:
//!
//! - `open EPOCH FRAME`: it is the writer, and FRAME comes next;
//! - `ack START END STATE`: the frames are acknowledged, and this is the state checksum at their end.
//!
//! It ends with 0 when stdin ends, with 5 when it is fenced, and with 1 for any other reason, which is on stderr.
#![allow(clippy::unwrap_used, clippy::missing_docs_in_private_items, reason = "test code")]

use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use walkeep::backends::StoreUrl;
use walkeep::core::segment::Compression;
use walkeep::core::{Error, Namespace, PageSize, Result, SegmentId};
use walkeep::{Bucket, Handles, Writer};
use walkeep_tests::page_log::PageLog;

/// The pages of the database; every transaction writes them all, so a new writer need not read them.
const PAGES: u32 = 3;

fn main() -> ExitCode {
    let args = std::env::args().skip(1).collect::<Vec<_>>();
    let [store, namespace, token] = &args[..] else { panic!("usage: store_writer STORE NAMESPACE TOKEN") };
    let over = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&over);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        flag.store(true, Ordering::SeqCst);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(write(store, namespace, token, &over)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{token}: {error}");
            ExitCode::from(if matches!(error, Error::Fenced { .. }) { 5 } else { 1 })
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

async fn write(store: &str, namespace: &str, token: &str, over: &AtomicBool) -> Result<()> {
    let url: StoreUrl = store.parse()?;
    let bucket = Bucket::new(Arc::new(url.create()?), None)?;
    let namespace: Namespace = namespace.parse()?;
    let handles = Handles::system();
    let mut writer = Writer::open(&bucket, &namespace, PageSize::MIN, &handles).await?;
    say(&format!("open {} {}", writer.epoch(), writer.next_frame_no()?));
    let mut log = PageLog::new(PageSize::MIN, writer.hash_seed(), writer.next_frame_no()?);
    let mut time = writer.tip().map_or(0, |tip| tip.time().get());
    for count in 0_u64.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        time = time.max(handles.clock.now().get());
        let images = (1..=PAGES).map(|page| (page, image(token, count, page))).collect::<Vec<_>>();
        log.commit(&images, PAGES, time);
        let id = SegmentId::random(&*handles.random)?;
        let sealed = log.seal(&writer, id.0, Compression::None);
        // An outcome that is unknown is settled by the same segment again.
        let stored = loop {
            match writer.store(&sealed).await {
                Err(Error::Unknown { what }) => eprintln!("{token}: {what}"),
                stored => break stored?,
            }
        };
        let footer = &sealed.summary.footer;
        assert_eq!(stored, footer.header.end);
        say(&format!("ack {} {} {}", footer.header.start, footer.header.end, footer.state));
    }
    Ok(())
}

fn image(token: &str, count: u64, page: u32) -> Vec<u8> {
    let mut image = format!("{token} {count} {page} ").into_bytes();
    image.resize(PageSize::MIN.bytes(), b'.');
    image
}
