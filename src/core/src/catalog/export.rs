//! A catalog as lines of JSON, to move in from another metadata store, and out again (`docs/catalog.md`).
//!
//! The first line says what it is, the last one how many records there are; in between is one record a line, each behind
//! those that it belongs to. So a file that was cut short, or is something else, is refused as a whole.

use serde::{Deserialize, Serialize};

use super::{CatalogId, CatalogRecord};
use crate::error::{Error, Result};

/// The version that is written and read.
pub const EXPORT_VERSION: u32 = 1;

/// The first and the last line.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Frame {
    WalkeepCatalog {
        version: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        catalog: Option<CatalogId>,
    },
    End {
        records: u64,
    },
}

fn line(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::invalid("a line of an export", format!("it cannot be written: {error}")))
}

/// The first line of an export, without its end of line.
///
/// # Errors
///
/// `Invalid` when it cannot be written as JSON.
pub fn export_begin(catalog: CatalogId) -> Result<String> {
    line(&Frame::WalkeepCatalog { version: EXPORT_VERSION, catalog: Some(catalog) })
}

/// The line of a record.
///
/// # Errors
///
/// `Invalid` when it cannot be written as JSON.
pub fn export_record(record: &CatalogRecord) -> Result<String> {
    line(record)
}

/// The last line, behind so many records.
///
/// # Errors
///
/// `Invalid` when it cannot be written as JSON.
pub fn export_end(records: u64) -> Result<String> {
    line(&Frame::End { records })
}

/// Reads an export line by line.
#[derive(Debug, Default)]
pub struct ExportReader {
    begun: bool,
    ended: bool,
    lines: u64,
    records: u64,
}

impl ExportReader {
    /// Takes the next line. Gives the record in it, if it is one of a record.
    ///
    /// # Errors
    ///
    /// `Invalid` with the number of the line.
    pub fn push(&mut self, text: &str) -> Result<Option<CatalogRecord>> {
        self.lines += 1;
        let number = self.lines;
        let refused = |why: String| Error::invalid(format!("line {number} of the export"), why);
        if !self.begun {
            return self.begin(text).map(|()| None);
        }
        if self.ended {
            return if text.trim().is_empty() {
                Ok(None)
            } else {
                Err(refused("it stands behind the end".into()))
            };
        }
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| refused(format!("it is not JSON: {error}")))?;
        if value.get("kind").and_then(serde_json::Value::as_str) == Some("end") {
            let end: Frame = serde_json::from_value(value).map_err(|error| refused(error.to_string()))?;
            return match end {
                Frame::End { records } if records == self.records => {
                    self.ended = true;
                    Ok(None)
                }
                _ => Err(refused(format!(
                    "{} records were before it, and it says another number",
                    self.records
                ))),
            };
        }
        let record: CatalogRecord = serde_json::from_value(value).map_err(|error| {
            refused(format!("it is no record that this version of Walkeep knows: {error}"))
        })?;
        record.check().map_err(|error| refused(error.to_string()))?;
        self.records += 1;
        Ok(Some(record))
    }

    fn begin(&mut self, text: &str) -> Result<()> {
        match serde_json::from_str::<Frame>(text) {
            Ok(Frame::WalkeepCatalog { version: EXPORT_VERSION, .. }) => {
                self.begun = true;
                Ok(())
            }
            Ok(Frame::WalkeepCatalog { version, .. }) => Err(Error::invalid(
                format!("an export of version {version}"),
                format!("this version of Walkeep reads version {EXPORT_VERSION}; use a newer one"),
            )),
            _ => {
                let example = r#"{"kind":"walkeep_catalog","version":1}"#;
                Err(Error::invalid(
                    "line 1 of the export",
                    format!("an export of a catalog begins with {example}"),
                ))
            }
        }
    }

    /// How many records there were, once all lines were taken.
    ///
    /// # Errors
    ///
    /// `Invalid` when the last line is missing: the rest may be missing too.
    pub fn finish(&self) -> Result<u64> {
        if self.ended {
            return Ok(self.records);
        }
        let what = format!("an export that ends behind line {}", self.lines);
        Err(Error::invalid(
            what,
            "its last line is missing, which says how many records there are: it was cut short",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{NamespaceRecord, NamespaceSettings};
    use crate::namespace::Namespace;
    use crate::unix_millis::UnixMillis;

    fn record(name: &str) -> CatalogRecord {
        let namespace = Namespace::new(name).unwrap();
        let settings = NamespaceSettings::default();
        CatalogRecord::Namespace(NamespaceRecord::new(&namespace, &settings, UnixMillis(7)).unwrap())
    }

    fn read(lines: &[String]) -> Result<Vec<CatalogRecord>> {
        let mut reader = ExportReader::default();
        let records = lines.iter().map(|line| reader.push(line)).collect::<Result<Vec<_>>>()?;
        reader.finish()?;
        Ok(records.into_iter().flatten().collect())
    }

    fn lines() -> Vec<String> {
        vec![
            export_begin(CatalogId(3)).unwrap(),
            export_record(&record("a")).unwrap(),
            export_record(&record("b")).unwrap(),
            export_end(2).unwrap(),
        ]
    }

    #[test]
    fn an_export_reads_back() {
        assert_eq!(read(&lines()).unwrap(), [record("a"), record("b")]);
        assert_eq!(read(&[export_begin(CatalogId(3)).unwrap(), export_end(0).unwrap()]).unwrap(), []);
    }

    #[test]
    fn what_was_cut_short_or_is_something_else_is_refused_with_its_line() {
        for len in 0..4 {
            assert!(read(&lines()[..len]).unwrap_err().to_string().contains("cut short"));
        }
        let refused = |at: usize, text: &str| {
            let mut lines = lines();
            lines[at] = text.into();
            read(&lines).unwrap_err().to_string()
        };
        assert!(refused(0, "{}").contains("begins with"));
        let newer = refused(0, r#"{"kind":"walkeep_catalog","version":2}"#);
        assert!(newer.contains("version 2") && newer.contains("version 1"), "{newer}");
        assert!(refused(1, "x").contains("line 2"));
        assert!(refused(1, r#"{"kind":"namespace","namespace":"__catalog"}"#).contains("line 2"));
        assert!(refused(2, r#"{"kind":"planet"}"#).contains("line 3"));
        assert!(refused(3, r#"{"kind":"end","records":3}"#).contains("line 4"));
        let behind = [lines(), vec![lines()[1].clone()]].concat();
        assert!(read(&behind).unwrap_err().to_string().contains("behind the end"));
    }
}
