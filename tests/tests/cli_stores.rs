//! Bad input to the command that concerns stores: servers that cannot be used, secrets, and what newer versions wrote.
//!
//! What a real server refuses by itself (credentials, a bucket that is not there) is in `s3_tour`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a panic is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests make files and look at the time")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use walkeep::core::segment::ObjectChecksum;
use walkeep_tests::command::{Ran, Walkeep};
use walkeep_tests::database::sql;
use walkeep_tests::fake_server::{Reply, Request, deaf_port, start};
use walkeep_tests::footprint::{files, footprint};
use walkeep_tests::forge::Forged;

const CANARY: &str = "canary-77d0-secret";
const KEY: &str = "4294967294-18446744073709551614-00000000000000000001-00000000000000000000-00";

/// A folder with a database.
fn folder() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    sql(&root.path().join("app.db"), "CREATE TABLE t (a)");
    root
}

/// The command with credentials of S3 in which nothing may be shown but the id, and with all there is to log.
fn walkeep(root: &Path) -> Walkeep {
    Walkeep::at(root)
        .with("RUST_LOG", "trace")
        .with("AWS_ACCESS_KEY_ID", "id")
        .with("AWS_SECRET_ACCESS_KEY", CANARY)
        .with("AWS_SESSION_TOKEN", format!("{CANARY}-token"))
}

fn s3(port: u16, more: &str) -> String {
    format!("s3://bucket/p?endpoint=http://127.0.0.1:{port}&allow_http=true{more}")
}

/// Every command that uses a store.
fn every_command(store: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["replicate", "app.db", store, "--once"],
        vec!["replicate", "app.db", store, "--once", "--unfenced"],
        vec!["ls", store],
        vec!["log", store, "-n", "app"],
        vec!["segments", store, "-n", "app"],
        vec!["inspect", store, KEY, "-n", "app"],
        vec!["verify", store],
        vec!["restore", store, "-n", "app", "-o", "out.db"],
    ]
}

#[track_caller]
fn shows_no_secret(ran: &Ran) {
    assert!(!format!("{ran:?}").contains("canary"), "{ran:#?}");
}

/// Runs every command on a store; each must end with 6 in time and say why, also with `--json`.
fn unavailable(store: &str, texts: &[&str], bound: Duration) {
    let root = folder();
    let before = footprint(root.path());
    // Builds the command, if need be.
    Walkeep::at(root.path()).ok(&["--version"]);
    for args in every_command(store) {
        let begun = Instant::now();
        let ran = walkeep(root.path()).run(&args).expect(6).says(texts);
        assert!(begun.elapsed() < bound, "{:?}: {ran:#?}", begun.elapsed());
        shows_no_secret(&ran);
    }
    let quiet = walkeep(root.path()).with("RUST_LOG", "off");
    let error = quiet.run(&["ls", store, "--json"]).expect(6).json_error();
    assert_eq!(error["kind"], "unavailable");
    for text in texts {
        assert!(error["message"].as_str().unwrap().contains(text), "{text:?}: {error}");
    }
    assert_eq!(before, footprint(root.path()), "nothing was written");
}

#[test]
fn a_server_that_is_not_there_is_said_to_refuse_connections() {
    let port = deaf_port();
    let server = format!("the connection to 127.0.0.1:{port} was refused");
    let texts = ["unavailable", "s3://bucket/p", &server, "given up after 1s"];
    unavailable(&s3(port, "&timeout_s=1"), &texts, Duration::from_secs(5));
}

#[test]
fn a_server_that_keeps_silent_is_given_up_in_time() {
    let port = start(|_| Reply::Silence);
    let texts = ["s3://bucket/p", "time-out: no answer within"];
    unavailable(&s3(port, "&timeout_s=1"), &texts, Duration::from_secs(5));
}

#[test]
fn a_clock_that_is_wrong_is_said_to_be_so() {
    let port = start(|_| Reply::s3_error(403, "RequestTimeTooSkewed", "The difference is too large."));
    let texts = ["the clock of this machine is too far from the server's", "RequestTimeTooSkewed"];
    unavailable(&s3(port, ""), &texts, Duration::from_secs(5));
}

#[test]
fn a_server_that_asks_to_wait_is_asked_again_and_given_up_in_time() {
    let port = start(|_| Reply::s3_error(503, "SlowDown", "Reduce your request rate."));
    unavailable(&s3(port, "&timeout_s=1"), &["SlowDown", "given up after 1s"], Duration::from_secs(5));
}

/// Somebody who may read and not write is told so; other writers are not blamed.
#[test]
fn credentials_that_may_not_write_are_said_to_be_refused() {
    let port = start(|request| match request.method.as_str() {
        "PUT" => Reply::s3_error(403, "AccessDenied", "Access Denied"),
        _ => Reply::empty_listing(),
    });
    let (root, store) = (folder(), s3(port, ""));
    let ran = walkeep(root.path()).run(&["replicate", "app.db", &store, "--once"]).expect(6);
    shows_no_secret(
        &ran.says(&["put s3://bucket/p/namespaces/app/manifest", "the credentials were refused"]),
    );
}

/// The server repeats the whole request in its answer, as a proxy that helps may do.
fn parrot(request: &Request) -> Reply {
    let head = request.head.replace(['<', '>', '&', '\r', '\n'], " ");
    Reply::s3_error(400, "InvalidRequest", &format!("You said {head}"))
}

#[test]
fn secrets_are_in_no_output_whatever_the_server_repeats() {
    let port = start(parrot);
    let endpoint = format!("endpoint=http://127.0.0.1:{port}&allow_http=true");
    let azure_key = "Y2FuYXJ5LWF6dXJlLWtleQ==";
    let sas = "sv=2021-08-06&ss=b&srt=sco&sp=rwl&sig=canary%2Bsas%2Fsignature%3D";
    for (store, variables) in [
        (format!("s3://bucket/p?{endpoint}"), vec![]),
        (format!("gs://bucket/p?{endpoint}"), vec![("GOOGLE_BEARER_TOKEN", "canary-bearer-token")]),
        (format!("az://container/p?account=me&{endpoint}"), vec![("AZURE_STORAGE_ACCOUNT_KEY", azure_key)]),
        (format!("az://container/p?account=me&{endpoint}"), vec![("AZURE_STORAGE_SAS_TOKEN", sas)]),
        (
            format!("az://container/p?account=me&{endpoint}"),
            vec![("AZURE_STORAGE_TOKEN", "canary-azure-token")],
        ),
    ] {
        let root = folder();
        let walkeep =
            variables.iter().fold(walkeep(root.path()), |walkeep, (name, value)| walkeep.with(name, *value));
        for args in every_command(&store) {
            let ran = walkeep.run(&args).expect(6).says(&["You said"]);
            shows_no_secret(&ran);
            assert!(!format!("{ran:?}").contains(azure_key), "{ran:#?}");
        }
    }
}

/// What is written in place of an address may be a secret too.
#[test]
fn secrets_in_an_address_are_refused_and_not_repeated() {
    let root = folder();
    for store in [
        "s3://id:canary@bucket/p",
        "s3://bucket?endpoint=https://id:canary@example.org",
        "s3://bucket?secret_access_key=canary",
        "https://id:canary@example.org/bucket",
        "s4://canary",
    ] {
        for args in every_command(store) {
            let ran = walkeep(root.path()).run(&args).expect(2);
            shows_no_secret(&Ran { args: String::new(), ..ran });
            let ran = walkeep(root.path()).run(&[&args[..], &["--json"]].concat()).expect(2);
            shows_no_secret(&Ran { args: String::new(), ..ran });
        }
        let variable = walkeep(root.path()).with("WALKEEP_STORE", store);
        shows_no_secret(&variable.run(&["ls"]).expect(2));
        shows_no_secret(&variable.ok(&["ls", "--help"]));
    }
}

#[test]
fn settings_that_cannot_be_are_wrong_usage_with_those_that_can() {
    let root = folder();
    for (store, text) in [
        ("s3://bucket?regoin=eu-1", "path_style"),
        ("s3://bucket?endpoint=http://127.0.0.1:9", "allow_http=true"),
        ("s3://bucket?timeout_s=0", "from 1 to 3600"),
        ("gs://bucket?region=x", "known for gs:// are endpoint"),
        ("az://a b", "letters"),
        ("s3://", "the bucket \"\""),
    ] {
        for args in every_command(store) {
            Walkeep::at(root.path()).run(&args).expect(2).says(&[text]);
        }
    }
    // The same from the environment, where it is no word of the command line.
    let walkeep = walkeep(root.path()).with("AWS_ENDPOINT_URL", "http://127.0.0.1:9").with("RUST_LOG", "off");
    walkeep.run(&["ls", "s3://bucket"]).expect(1).says(&["allow_http=true"]);
}

#[test]
fn the_help_of_every_command_lists_settings_and_variables() {
    let walkeep = Walkeep::at(&std::env::temp_dir());
    for command in ["replicate", "restore", "ls", "log", "segments", "inspect", "verify"] {
        let help = walkeep.ok(&[command, "--help"]).stdout;
        for text in [
            "s3://BUCKET",
            "gs://BUCKET",
            "az://CONTAINER",
            "endpoint=URL",
            "region=NAME",
            "AWS_ACCESS_KEY_ID",
        ] {
            assert!(help.contains(text), "{command}: {text}");
        }
    }
    assert!(walkeep.ok(&["replicate", "--help"]).stdout.contains("--unfenced"));
}

// What newer versions wrote.

/// A store in a folder with one capture.
fn captured() -> (TempDir, Walkeep) {
    let root = folder();
    let walkeep = Walkeep::at(root.path());
    walkeep.replicate("app.db");
    (root, walkeep)
}

/// The first object of a folder of the store: the newest.
fn newest(root: &Path, folder: &str) -> std::path::PathBuf {
    let store = root.join("store");
    let found = files(&store).into_iter().find(|name| name.starts_with(&format!("namespaces/app/{folder}/")));
    store.join(found.unwrap())
}

#[track_caller]
fn newer_is_refused(root: &Path, walkeep: &Walkeep, args: &[&str], what: &str) {
    let before = footprint(root);
    let texts = [format!("of {what} format 2"), "reads format 1".into(), "use a newer one".into()];
    walkeep.run(args).expect(1).says(&texts.each_ref().map(String::as_str));
    assert_eq!(before, footprint(root), "{args:?}");
}

#[test]
fn a_manifest_of_a_newer_format_is_refused_with_both_versions() {
    let (root, walkeep) = captured();
    let path = newest(root.path(), "manifest");
    let text = fs::read_to_string(&path).unwrap();
    let line = format!("{}\n", text.lines().next().unwrap().replace("\"format\":1", "\"format\":2"));
    let mut checksum = ObjectChecksum::new();
    checksum.update(line.as_bytes());
    fs::write(&path, format!("{line}crc64:{:016x}\n", checksum.value())).unwrap();
    for args in [
        &["replicate", "app.db", "store", "--once"][..],
        &["ls", "store", "--json"],
        &["log", "store"],
        &["segments", "store"],
        &["inspect", "store", KEY],
        &["restore", "store", "-o", "out.db"],
    ] {
        newer_is_refused(root.path(), &walkeep, args, "manifest");
    }
}

#[test]
fn a_segment_of_a_newer_format_is_refused_with_both_versions() {
    const HEADER_VERSION_OFFSET: usize = 8;
    let (root, walkeep) = captured();
    let path = newest(root.path(), "segments");
    let newer = Forged::of(&fs::read(&path).unwrap()).with(HEADER_VERSION_OFFSET, &2_u16.to_le_bytes());
    fs::write(&path, newer.resealed()).unwrap();
    let file = path.display().to_string();
    for args in [
        &["replicate", "app.db", "store", "--once"][..],
        &["ls", "store", "--json"],
        &["log", "store", "--json"],
        &["inspect", &file],
        &["restore", "store", "-o", "out.db"],
    ] {
        newer_is_refused(root.path(), &walkeep, args, "segment");
    }
}
