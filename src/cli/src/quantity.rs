//! Durations and sizes as users write them, in flags and in the configuration file alike.
//!
//! - a duration is a number of seconds, or one with `ms`, `s`, `m` or `h`, up to a day: `0.5`, `500ms`, `2m`;
//! - a span, how long something is kept, is a whole number with `m`, `h`, `d`, `w` or `y`: `24h`, `30d`;
//! - a size is a number of bytes, or one with `K`, `M`, `G` or `T`, which are powers of 1024: `4096`, `64M`, `1GiB`.

use std::time::Duration;

/// Longer ones are mistakes, and would overflow what timers count.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a duration.
///
/// # Errors
///
/// What a duration looks like.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused =
        || "a duration is a number of seconds, or one with ms, s, m or h: 500ms, 1s, 2m".to_string();
    let at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(at).ok_or_else(refused)?;
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(refused()),
    };
    let number: f64 = number.parse().map_err(|_| refused())?;
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| refused())?;
    if duration > DURATION_MAX {
        return Err("it is longer than a day (24h)".to_string());
    }
    Ok(duration)
}

/// A day, of which longer spans are made.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads how long something is kept: a number with `m`, `h`, `d`, `w` or `y` (365 days).
///
/// # Errors
///
/// What such a span looks like.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let refused = || "a span is a whole number with m, h, d, w or y: 90m, 24h, 7d, 1y".to_string();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(refused)?;
    let number: u32 = number.parse().ok().filter(|_| !number.starts_with('+')).ok_or_else(refused)?;
    let unit = match unit {
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(60 * 60),
        "d" => DAY,
        "w" => DAY * 7,
        "y" => DAY * 365,
        _ => return Err(refused()),
    };
    match unit.checked_mul(number) {
        Some(Duration::ZERO) => Err("it must be more than 0".to_string()),
        Some(span) => Ok(span),
        None => Err(refused()),
    }
}

/// Reads a size.
///
/// # Errors
///
/// What a size looks like.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let refused = || "a size is a number of bytes, or one with K, M, G or T".to_string();
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let shift = match unit.to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(refused()),
    };
    let number: u64 = number.parse().map_err(|_| refused())?;
    number.checked_mul(1 << shift).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units_and_are_whole() {
        for (text, hours) in [("60m", 1), ("24h", 24), ("7d", 168), ("2w", 336), ("1y", 8760)] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(hours * 3600)), "{text}");
        }
        for wrong in ["", "d", "7", "-1d", "+1d", "1.5d", "1 d", "1D", "1dd", "ä", "99999999999y"] {
            assert!(parse_span(wrong).unwrap_err().contains("24h"), "{wrong}");
        }
        assert!(parse_span("0d").unwrap_err().contains("more than 0"));
    }

    #[test]
    fn durations_have_units_and_are_seconds_without() {
        for (text, millis) in [
            ("5", 5000),
            ("0.5", 500),
            ("500ms", 500),
            ("1s", 1000),
            ("2m", 120_000),
            ("24h", 86_400_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "s", "-1s", "1d", "1 s", "1sec", "1S", "inf", "nan", "1e3", "0x10", "ä", "1ä"] {
            assert!(parse_duration(wrong).unwrap_err().contains("500ms"), "{wrong}");
        }
        assert!(parse_duration("25h").unwrap_err().contains("a day"));
        assert!(parse_duration("99999999999999999999999999").unwrap_err().contains("500ms"));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("4096").unwrap(), 4096);
        assert_eq!(parse_size("2K").unwrap(), 2048);
        assert_eq!(parse_size("3GiB").unwrap(), 3 << 30);
        for wrong in ["", "G", "1X", "99999999T", "-1"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
