//! A point in time as users write it.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use walkeep::core::{Clock, UnixMillis};

/// What may be written, for help and messages.
pub(crate) const FORMS: &str = "RFC 3339 (2026-11-21T14:03:07Z), local time (2026-11-21 14:03:07), or relative (-5m, \
                                \"5 minutes ago\")";

/// A point in time, and how it was read where that is not obvious.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeArg {
    pub(crate) time: UnixMillis,
    pub(crate) note: Option<String>,
}

/// Reads a point in time, relative to the machine's clock and time zone.
pub(crate) fn parse(text: &str) -> Result<TimeArg, String> {
    let now = walkeep::backends::os::SystemClock.now();
    parse_at(text, now, &TimeZone::system())
}

fn parse_at(text: &str, now: UnixMillis, zone: &TimeZone) -> Result<TimeArg, String> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(TimeArg { time: millis(timestamp)?, note: None });
    }
    if let Ok(local) = text.parse::<DateTime>() {
        let zoned = zone.to_ambiguous_zoned(local).compatible().map_err(|error| error.to_string())?;
        let note = Some(format!("{text} is read as local time: {}", rfc3339(&zoned)));
        return Ok(TimeArg { time: millis(zoned.timestamp())?, note });
    }
    if text == "now" {
        return Ok(TimeArg { time: now, note: None });
    }
    let relative = text.strip_suffix("ago").map(str::trim).or_else(|| text.strip_prefix('-'));
    if let Some(span) = relative.and_then(|text| text.parse::<Span>().ok()).filter(|span| !span.is_negative())
    {
        let now = i64::try_from(now.get()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let now = now.ok_or("the clock is out of range")?.to_zoned(zone.clone());
        let then = now.checked_sub(span).map_err(|error| error.to_string())?;
        let note = Some(format!("{text} is {}", rfc3339(&then)));
        return Ok(TimeArg { time: millis(then.timestamp())?, note });
    }
    Err(format!("it is none of: {FORMS}"))
}

fn millis(timestamp: Timestamp) -> Result<UnixMillis, String> {
    // "At or before 14:03:07.1239" must not exclude a commit of 14:03:07.123: fractions are cut, not rounded.
    u64::try_from(timestamp.as_nanosecond().div_euclid(1_000_000))
        .map(UnixMillis)
        .map_err(|_| "it is before 1970".to_string())
}

fn rfc3339(zoned: &Zoned) -> String {
    zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_269_787_000);

    fn parse(text: &str) -> Result<TimeArg, String> {
        parse_at(text, NOW, &TimeZone::fixed(jiff::tz::offset(2)))
    }

    #[test]
    fn rfc_3339_needs_no_note() {
        let time = parse("2026-11-21T14:03:07Z").unwrap();
        assert_eq!((time.time, time.note), (NOW, None));
        assert_eq!(parse("2026-11-21T16:03:07.5+02:00").unwrap().time, UnixMillis(NOW.get() + 500));
    }

    #[test]
    fn local_time_says_how_it_was_read() {
        let time = parse("2026-11-21 16:03:07").unwrap();
        assert_eq!(time.time, NOW);
        assert!(time.note.unwrap().contains("2026-11-21T16:03:07+02:00"));
    }

    #[test]
    fn relative_times_count_back_from_now() {
        for text in ["-5m", "5 minutes ago", "5m ago"] {
            assert_eq!(parse(text).unwrap().time, UnixMillis(NOW.get() - 300_000), "{text}");
        }
        assert_eq!(parse("-1h30m").unwrap().time, UnixMillis(NOW.get() - 5_400_000));
        assert_eq!(parse("now").unwrap().time, NOW);
    }

    #[test]
    fn other_forms_are_refused_with_those_that_are_known() {
        for text in ["", "yesterday", "5m", "14:03", "2026-13-01T00:00:00Z", "1950-01-01T00:00:00Z", "--5m"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("x").unwrap_err().contains("RFC 3339"));
    }
}
