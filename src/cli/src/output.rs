//! What the user sees: data on stdout, the rest on stderr.
//!
//! A reader that closes the pipe (`walkeep log … | head`) ends the command quietly.
#![expect(clippy::print_stderr, reason = "this is where the command talks")]

use std::io::{self, Write};

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::failure::Failure;

/// Writes a line of data.
pub(crate) fn line(text: impl std::fmt::Display) {
    end_quietly(writeln!(io::stdout().lock(), "{text}"));
}

/// Writes data that is text of its own.
pub(crate) fn text(bytes: &[u8]) {
    end_quietly(io::stdout().lock().write_all(bytes));
}

/// Writes one JSON document on one line.
///
/// # Errors
///
/// When the value cannot be written as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?);
    Ok(())
}

/// Whether notes are JSON. Set once, before the first one.
static JSON_NOTES: AtomicBool = AtomicBool::new(false);

/// Makes notes JSON, one document a line, for machines that read stderr too.
pub(crate) fn write_notes_as_json() {
    JSON_NOTES.store(true, Ordering::Relaxed);
}

#[derive(Serialize)]
struct Note {
    kind: &'static str,
    message: String,
}

/// Says something about what is being done.
pub(crate) fn note(text: impl std::fmt::Display) {
    if !JSON_NOTES.load(Ordering::Relaxed) {
        eprintln!("{text}");
    } else if let Ok(note) = serde_json::to_string(&Note { kind: "note", message: text.to_string() }) {
        eprintln!("{note}");
    }
}

/// Says something about a failure that follows. Under `--json` the failure is the one document on stderr.
pub(crate) fn note_beside_failure(text: impl std::fmt::Display) {
    if !JSON_NOTES.load(Ordering::Relaxed) {
        note(text);
    }
}

/// Says why the command failed, and what to do.
pub(crate) fn failure(failure: &Failure, json: bool) {
    if json {
        match serde_json::to_string(failure) {
            Ok(text) => eprintln!("{text}"),
            Err(error) => eprintln!("{{\"kind\":\"other\",\"message\":\"{error}\"}}"),
        }
        return;
    }
    eprintln!("error: {}", failure.message());
    eprintln!("hint: {}", failure.hint());
}

fn end_quietly(written: io::Result<()>) {
    if let Err(error) = written {
        let code = i32::from(error.kind() != io::ErrorKind::BrokenPipe);
        if code != 0 {
            eprintln!("error: write to stdout: {error}");
        }
        std::process::exit(code);
    }
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// `one thing`, `2 things`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
