//! Points in time, as formats and keys store them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
///
/// `Display` writes RFC 3339 in UTC with milliseconds, or the bare number for years beyond 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The number of milliseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Which month it lies in, in UTC: 12 for each year since the year 0, and those of its year before it.
    #[must_use]
    pub const fn month(self) -> u64 {
        let (year, month, _) = civil_from_days(self.0 / 86_400_000);
        year * 12 + month - 1
    }
}

/// The last millisecond of the year 9999.
const YEAR_9999_END: u64 = 253_402_300_799_999;

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 > YEAR_9999_END {
            return write!(f, "{} ms since 1970", self.0);
        }
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// The Gregorian date of a number of days since 1970-01-01, counted in years that begin in March, so that the
/// leap day is the last day of a year.
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_rfc_3339() {
        assert_eq!(UnixMillis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(UnixMillis(1_795_246_458_509).to_string(), "2026-11-21T07:34:18.509Z");
        assert_eq!(UnixMillis(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
        assert_eq!(UnixMillis(4_107_542_400_000).to_string(), "2100-03-01T00:00:00.000Z");
        assert_eq!(UnixMillis(YEAR_9999_END).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(UnixMillis(u64::MAX).to_string(), "18446744073709551615 ms since 1970");
    }
}
