//! `webhook.compression` and its level.

use super::mistakes::check;
use super::*;

#[test]
fn compression_is_off_and_its_level_the_cheapest_unless_told() {
    let compression = |fields: &str| {
        let yaml = LEAST.replace("/kc", &format!("/kc{fields}"));
        load_yaml(&yaml).unwrap().config.outputs.remove(0).requests.compression
    };
    let of = |coding, level| Some(Compression { coding, level });
    assert_eq!(compression(""), None);
    assert_eq!(compression(", compression: none"), None);
    assert_eq!(compression(", compression: gzip"), of(Coding::Gzip, 1));
    assert_eq!(compression(", compression: zstd"), of(Coding::Zstd, 1));
    assert_eq!(compression(", compression: gzip, compressionLevel: 9"), of(Coding::Gzip, 9));
    assert_eq!(compression(", compression: zstd, compressionLevel: 19"), of(Coding::Zstd, 19));
}

#[test]
fn compression_is_one_of_a_few_and_has_levels_of_its_own() {
    let webhook = |fields: &str| load_yaml(&LEAST.replace("/kc", &format!("/kc, {fields}")));
    let at = "f.yaml:2: outputs[0].webhook.compression";
    for (fields, what) in [
        ("compression: br", ": \"br\" is not known; legal are none, gzip and zstd"),
        ("compression: gzp", ": \"gzp\" is not known; legal are none, gzip and zstd; did you mean `gzip`?"),
        // What is wrong with a level cannot be told without a coding.
        ("compression: 7, compressionLevel: 20", ": must be a string, not the number 7; put it in quotes"),
        ("compression: gzip, compressionLevel: 10", "Level: 10 is out of range; legal are 1 to 9 for gzip"),
        ("compression: gzip, compressionLevel: 0", "Level: 0 is out of range; legal are 1 to 9 for gzip"),
        ("compression: zstd, compressionLevel: 20", "Level: 20 is out of range; legal are 1 to 19 for zstd"),
        ("compression: zstd, compressionLevel: -1", "Level: -1 is out of range; legal are 1 to 19 for zstd"),
        (
            "compression: zstd, compressionLevel: 257",
            "Level: 257 is out of range; legal are 1 to 19 for zstd",
        ),
        ("compression: zstd, compressionLevel: fast", "Level: must be a whole number, not a string"),
        (
            "compressionLevel: 3",
            "Level: has no effect without compression; remove it, or choose gzip or zstd",
        ),
        (
            "compression: none, compressionLevel: 1",
            "Level: has no effect without compression; remove it, or choose gzip or zstd",
        ),
    ] {
        check(webhook(fields), &[&format!("{at}{what}")]);
    }
    check(
        webhook("compresion: gzip"),
        &["f.yaml:2: outputs[0].webhook.compresion: is not a known field; did you mean `compression`?"],
    );
}
