//! Times in claims, and arithmetic with times that cannot overflow.

use std::time::Duration;

use time::UtcDateTime;

/// The last second of the year 9999, the latest time that a claim may name.
const MAX_SECONDS: u64 = 253_402_300_799;

/// How far the clock of another replica may be ahead.
pub(crate) const MAX_CLOCK_AHEAD: Duration = Duration::from_secs(2);

/// Reads a NumericDate (RFC 7519 section 2): seconds, possibly with a fraction or an exponent, from 1970 to 9999.
pub(crate) fn numeric_date(raw: &str) -> Option<UtcDateTime> {
    if !raw.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if let Ok(seconds) = raw.parse::<u64>() {
        let seconds = i64::try_from(seconds).ok().filter(|_| seconds <= MAX_SECONDS)?;
        return UtcDateTime::from_unix_timestamp(seconds).ok();
    }
    // It has a fraction or an exponent.
    let nanoseconds = raw.parse::<f64>().ok()? * 1e9;
    let max = (MAX_SECONDS as f64) * 1e9;
    if !(0.0..=max).contains(&nanoseconds) {
        return None;
    }
    UtcDateTime::from_unix_timestamp_nanos(nanoseconds as i128).ok()
}

/// Returns `time + by`, or the latest possible time if that overflows.
pub(crate) fn later(time: UtcDateTime, by: Duration) -> UtcDateTime {
    time::Duration::try_from(by).map_or(UtcDateTime::MAX, |by| time.saturating_add(by))
}

/// Returns `time - by`, or the earliest possible time if that overflows.
pub(crate) fn earlier(time: UtcDateTime, by: Duration) -> UtcDateTime {
    time::Duration::try_from(by).map_or(UtcDateTime::MIN, |by| time.saturating_sub(by))
}

/// Returns the time from `then` to `now`, which is negative if `then` is in the future.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a duration can hold the difference of any two times"
)]
pub(crate) fn since(then: UtcDateTime, now: UtcDateTime) -> time::Duration {
    now - then
}

/// Returns true if `then` is later than `now` by more than this.
pub(crate) fn is_later_by_more(then: UtcDateTime, now: UtcDateTime, by: Duration) -> bool {
    // Hardly any time is later, and a comparison costs a fraction of a subtraction.
    then > now && since(now, then) > by
}

/// Writes a time as RFC 3339 does, in whole seconds.
pub(crate) fn rfc3339(at: UtcDateTime) -> String {
    let (year, month, day) = at.date().to_calendar_date();
    let (hour, minute, second) = at.time().as_hms();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

/// Reads a time as RFC 3339 section 5.6 writes it, with `Z` or an offset.
#[cfg(feature = "authzen")]
pub(crate) fn from_rfc3339(text: &str) -> Option<UtcDateTime> {
    use time::format_description::well_known::Rfc3339;

    // The parser also accepts a space, which the grammar does not have.
    let text = Some(text).filter(|text| matches!(text.as_bytes().get(10), Some(b'T' | b't')))?;
    time::OffsetDateTime::parse(text, &Rfc3339).ok().map(time::OffsetDateTime::to_utc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "authzen")]
    #[test]
    fn a_time_of_rfc_3339_is_read_and_nothing_like_it() {
        let at = |text| from_rfc3339(text).map(|at| at.unix_timestamp());
        let moment = Some(1_800_000_000);
        for text in [
            "2027-01-15T08:00:00Z",
            "2027-01-15t08:00:00z",
            "2027-01-15T08:00:00.123456Z",
            "2027-01-15T10:30:00+02:30",
            "2027-01-15T00:00:00-08:00",
            "2027-01-15T08:00:00-00:00",
        ] {
            assert_eq!(at(text), moment, "{text}");
        }
        assert_eq!(at("2016-12-31T23:59:60Z"), at("2016-12-31T23:59:59Z"));
        assert_eq!(
            from_rfc3339(&rfc3339(from_rfc3339("2027-01-15T08:00:00Z").unwrap())).map(rfc3339),
            Some("2027-01-15T08:00:00Z".to_owned())
        );
        for text in [
            "",
            "2027-01-15",
            "2027-01-15T08:00:00",
            "2027-01-15 08:00:00Z",
            "2027-01-15T08:00Z",
            "2027-13-15T08:00:00Z",
            "2027-02-30T08:00:00Z",
            "2027-01-15T24:00:00Z",
            "2027-01-15T08:00:61Z",
            "2027-01-15T08:00:00.Z",
            "2027-01-15T08:00:00+2:00",
            "2027-01-15T08:00:00+02:60",
            "2027-01-15T08:00:00*02:00",
            "2027-01-15T08:00:00ZZ",
            "+027-01-15T08:00:00Z",
            "2027-01-15T+8:00:00Z",
            "２027-01-15T08:00:00Z",
            "1800000000",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn dates_may_have_fractions_and_end_with_the_year_9999() {
        let at = |raw| numeric_date(raw).map(|date| date.unix_timestamp_nanos());
        assert_eq!(at("1800000000"), Some(1_800_000_000_000_000_000));
        assert_eq!(at("1.8e9"), Some(1_800_000_000_000_000_000));
        assert_eq!(at("1.5"), Some(1_500_000_000));
        assert_eq!(at("253402300799").map(|n| n / 1_000_000_000), Some(253_402_300_799));
        assert_eq!(at("253402300800"), None);
        assert_eq!(at("1e12"), None);
        assert_eq!(at("-0"), None);
        assert_eq!(at("\"1\""), None);
    }

    #[test]
    fn any_two_times_have_a_difference() {
        let all = since(UtcDateTime::MIN, UtcDateTime::MAX);
        assert!(all > Duration::from_secs(MAX_SECONDS));
        assert_eq!(since(UtcDateTime::MAX, UtcDateTime::MIN), -all);
    }
}
