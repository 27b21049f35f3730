//! JSON as it is written where a sink's protocol wants a text in a text.

/// A string with its quotes.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    // Writing text to memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}
