use proptest::prelude::*;

use super::*;

#[test]
fn durations_are_go_durations() {
    let legal = [
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("-0s", 0),
        ("30s", 30_000_000_000),
        ("+5s", 5_000_000_000),
        ("1m30s", 90_000_000_000),
        ("1.5h", 5_400_000_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("100ms", 100_000_000),
        ("1us1µs1μs1ns", 3_001),
        ("1s1h", 3_601_000_000_000),
        ("0.3333333333333333333h", 1_200_000_000_000 - 1),
        ("9223372036854775807ns", i64::MAX.unsigned_abs()),
    ];
    for (text, nanos) in legal {
        assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
    }
    for text in [
        "",
        "-",
        ".",
        "s",
        ".s",
        "1",
        "30",
        "1d",
        "1 s",
        "s1",
        "1s ",
        "1s5",
        "1h1",
        "1S",
        "1e3s",
        "10sec",
        "9223372036854775808ns",
        "-1s",
        "-1ns",
    ] {
        assert!(duration(text).is_err(), "{text}");
    }
    assert_eq!(duration("30"), Err("\"30\" has no unit; legal are such as 30s, 1m30s or 1.5h".to_owned()));
}

#[test]
fn sizes_take_binary_and_decimal_units() {
    let legal = [
        ("0", 0),
        ("-1", -1),
        ("16MiB", 16 << 20),
        ("100KiB", 102_400),
        ("1GiB", 1 << 30),
        ("10MB", 10_000_000),
        ("5 KB", 5_000),
        ("7B", 7),
    ];
    for (text, bytes) in legal {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
    for text in ["", "MiB", "1.5MiB", "16mib", "16M", "0x10", "9000000000TiB", "1MiBs", "--1"] {
        assert!(size(text).is_err(), "{text}");
    }
}

#[test]
fn ints_take_go_prefixes() {
    let legal = [
        ("0", 0),
        ("400", 400),
        ("-1", -1),
        ("+7", 7),
        ("0x10", 16),
        ("0XfF", 255),
        ("0o17", 15),
        ("0b101", 5),
        ("017", 15),
        ("10_000", 10_000),
        ("0x_1f", 31),
        ("-9223372036854775808", i64::MIN),
    ];
    for (text, number) in legal {
        assert_eq!(int(text), Ok(number), "{text}");
    }
    for text in [
        "",
        "-",
        "+",
        "1.5",
        "1e3",
        "0x",
        "08",
        "0b2",
        "1__0",
        "_1",
        "1_",
        "--1",
        "+-1",
        " 1",
        "9223372036854775808",
        "ten",
        "0x-1",
    ] {
        assert!(int(text).is_err(), "{text}");
    }
}

#[test]
fn bools_are_pflag_bools() {
    for (text, value) in
        [("1", true), ("t", true), ("T", true), ("TRUE", true), ("true", true), ("True", true)]
    {
        assert_eq!(boolean(text), Ok(value));
    }
    for text in ["0", "f", "F", "FALSE", "false", "False"] {
        assert_eq!(boolean(text), Ok(false));
    }
    for text in ["", "yes", "on", "tRUE", "2", " true"] {
        assert!(boolean(text).is_err(), "{text}");
    }
}

#[test]
fn floats_are_32_bit_but_keep_their_decimals() {
    assert_eq!(float("0.1"), Ok(0.1));
    assert_eq!(float("1e3"), Ok(1000.0));
    assert!(float("1e39").is_err());
    assert!(float("").is_err());
    assert!(float("ten").is_err());
}

proptest! {
    #![proptest_config(crate::properties::cases(256))]

    /// A duration that was printed is read back as itself.
    #[test]
    fn duration_round_trip(nanos in 0..=i64::MAX.unsigned_abs()) {
        let original = Duration::from_nanos(nanos);
        prop_assert_eq!(duration(&show_duration(original)), Ok(original));
    }

    /// A size that was printed is read back as itself.
    #[test]
    fn size_round_trip(count in 0..1i64 << 20, shift in 0..40u32) {
        let bytes = count << shift;
        prop_assert_eq!(size(&show_size(bytes.unsigned_abs())), Ok(bytes));
    }

    /// No text makes a parser panic.
    #[test]
    fn any_text_is_safe(text in "\\PC{0,20}|[-+0-9._a-zµ]{0,40}") {
        let _ = (duration(&text), size(&text), int(&text), boolean(&text), float(&text));
    }
}
