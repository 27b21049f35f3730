//! Numbers with a spelling: durations, sizes, and what pflag takes for an int, a bool or a float32.
//!
//! kube-apiserver's flags are read by Go's standard library, so the rules here are Go's: a value that works in the static
//! pod manifest works here, and one that kube-apiserver refuses is refused here. Sizes (`16MiB`) exist only in the YAML
//! file; kube-apiserver's flags count plain bytes.
//!
//! Every function returns what is wrong as the end of a sentence that begins with the value's place.

use std::time::Duration;

use super::MinFree;

/// Units of a duration in nanoseconds, as `time.ParseDuration` knows them; both micro signs are in use.
const DURATION_UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Units of a size in bytes. The largest that divides a size exactly is the one it is printed in.
const SIZE_UNITS: [(&str, i64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
];

/// Go keeps a duration in an int64 of nanoseconds; a longer one is an error there and here.
const LONGEST: u128 = i64::MAX as u128;

/// Reads a duration as Go writes it: `30s`, `1m30s`, `1.5h`, or a bare `0`. No wait of ours can be negative.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("{text:?} is not a duration; legal are such as 30s, 1m30s or 1.5h");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} has no unit; legal are such as 30s, 1m30s or 1.5h"));
    }
    let mut nanos: u128 = 0;
    while {
        let (term, after) = duration_term(rest).ok_or_else(invalid)?;
        nanos = nanos.saturating_add(term);
        rest = after;
        !rest.is_empty()
    } {}
    if negative && nanos > 0 {
        return Err(format!("{text:?} is negative; legal are 0 and above"));
    }
    if nanos > LONGEST {
        return Err(format!("{text:?} is too long; legal are up to 292 years"));
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| invalid())
}

/// One number with its unit, in nanoseconds, and what follows it. What is less than a nanosecond is cut off, as in Go.
fn duration_term(text: &str) -> Option<(u128, &str)> {
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), split_digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_ends = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_ends);
    let (_, scale) = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?;
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(LONGEST) };
    // The longest unit has 13 digits, so further ones count for less than a nanosecond.
    let fraction = &fraction[..fraction.len().min(18)];
    let parts: u128 = fraction.parse().unwrap_or(0);
    let digits = u32::try_from(fraction.len()).unwrap_or(18);
    Some((whole.saturating_mul(*scale).saturating_add(parts * scale / 10u128.pow(digits)), rest))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// A duration as Go's `Duration.String` prints it: `30s`, `1m30s`, `1h0m0s`, `1.5s`, `250ms`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), u64::from(duration.subsec_nanos()));
    match (seconds, nanos) {
        (0, 0) => "0s".to_owned(),
        (0, 1..1_000) => format!("{nanos}ns"),
        (0, 1_000..1_000_000) => fraction(nanos, 1_000) + "\u{b5}s",
        (0, _) => fraction(nanos, 1_000_000) + "ms",
        _ => {
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = fraction(seconds % 60 * 1_000_000_000 + nanos, 1_000_000_000) + "s";
            match (hours, minutes) {
                (0, 0) => rest,
                (0, _) => format!("{minutes}m{rest}"),
                _ => format!("{hours}h{minutes}m{rest}"),
            }
        }
    }
}

/// `amount / unit` in decimal, without trailing zeros; `unit` is a power of ten.
fn fraction(amount: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", amount / unit, amount % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Reads a size: `16MiB`, `100KiB`, `10MB`, or plain bytes.
pub(super) fn size(text: &str) -> Result<i64, String> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (digits, unit) = split_digits(digits);
    let unit = unit.trim_start();
    let scale = match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, scale)) => *scale,
        None if unit.is_empty() || unit == "B" => 1,
        None => {
            return Err(format!(
                "{text:?} is not a size; legal are such as 16MiB, 100KiB, 10MB or plain bytes"
            ));
        }
    };
    if digits.is_empty() {
        return Err(format!("{text:?} is not a size; legal are such as 16MiB, 100KiB, 10MB or plain bytes"));
    }
    format!("{sign}{digits}")
        .parse::<i64>()
        .ok()
        .and_then(|count| count.checked_mul(scale))
        .ok_or_else(|| format!("{text:?} is too large; legal are sizes below 8 EiB"))
}

/// Writes a size so that [`size`] reads the same one.
pub(super) fn show_size(bytes: u64) -> String {
    let binary = SIZE_UNITS.iter().filter(|(unit, _)| unit.ends_with("iB"));
    for (unit, scale) in binary {
        let scale = scale.unsigned_abs();
        if bytes >= scale && bytes.is_multiple_of(scale) {
            return format!("{}{unit}", bytes / scale);
        }
    }
    bytes.to_string()
}

/// Reads a share of a file system, `10%`, or a size.
pub(super) fn free_space(text: &str) -> Result<MinFree, String> {
    let legal = "legal are shares from 0% to 100% and sizes such as 10GiB";
    let Some(share) = text.strip_suffix('%') else {
        let bytes = size(text).map_err(|_| format!("{text:?} is neither a share nor a size; {legal}"))?;
        let negative = |_| format!("{text:?} is negative; {legal}");
        return u64::try_from(bytes).map(MinFree::Bytes).map_err(negative);
    };
    if share.is_empty() || !share.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} is not a whole number of percent; {legal}"));
    }
    let percent = share.parse().ok().filter(|percent| *percent <= 100);
    percent.map(MinFree::Percent).ok_or_else(|| format!("{text:?} is out of range; {legal}"))
}

/// Writes free space so that [`free_space`] reads the same.
pub(super) fn show_free_space(free: MinFree) -> String {
    match free {
        MinFree::Percent(percent) => format!("{percent}%"),
        MinFree::Bytes(bytes) => show_size(bytes),
    }
}

/// Reads what `strconv.ParseInt(text, 0, 64)` reads: a base prefix `0x`, `0o`, `0b` or `0`, and `_` between digits.
pub(crate) fn int(text: &str) -> Result<i64, String> {
    let invalid = || format!("{text:?} is not a whole number");
    let (sign, unsigned) = match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // Go allows "_" after the prefix as well, so that only the first digit of a decimal number must not be one.
    let digits = if radix == 10 { digits } else { digits.strip_prefix('_').unwrap_or(digits) };
    let groups_are_digits =
        digits.split('_').all(|group| !group.is_empty() && group.chars().all(|c| c.is_digit(radix)));
    if !groups_are_digits {
        return Err(invalid());
    }
    let digits = digits.replace('_', "");
    i64::from_str_radix(&format!("{sign}{digits}"), radix)
        .map_err(|_| format!("{text:?} is out of range; legal are 64 bits"))
}

/// Reads what `strconv.ParseBool` reads.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("{text:?} is not a boolean; legal are true and false")),
    }
}

/// Reads a float32 and keeps its decimal value, so that 0.1 is not shown as 0.10000000149011612.
pub(super) fn float(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if number.is_finite() && number.abs() > f64::from(f32::MAX) {
        return Err(format!("{text:?} is out of range; legal are 32-bit floating point numbers"));
    }
    Ok(number)
}

#[cfg(test)]
mod tests;
