//! Points in time as text (RFC 3339), which sorts as time does.

use cofferdam_bridge::clock::Timestamp;

/// `2026-01-02T03:04:05.000000006Z`. Years before 0 and after 9999 are told as the nearest that has four digits.
pub fn format_time(time: Timestamp) -> String {
    let (first, last) = (-62_167_219_200, 253_402_300_799);
    let seconds = time.seconds.clamp(first, last);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", time.nanoseconds)
}

/// The date of a day since 1970-01-01: year, month from 1, day from 1 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let told = |seconds, nanoseconds| format_time(Timestamp { seconds, nanoseconds });
        // The seconds are those that date(1) prints.
        assert_eq!(told(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(told(951_782_399, 5), "2000-02-28T23:59:59.000000005Z");
        assert_eq!(told(951_782_400, 0), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(told(1_709_251_199, 0), "2024-02-29T23:59:59.000000000Z");
        assert_eq!(told(-1, 0), "1969-12-31T23:59:59.000000000Z");
        assert_eq!(told(i64::MAX, 0), "9999-12-31T23:59:59.000000000Z");
        assert_eq!(told(i64::MIN, 0), "0000-01-01T00:00:00.000000000Z");
    }
}
