//! JSON as it is written where a sink's protocol wants a text in a text.

use std::borrow::Cow;

/// What `bytes` say, with a sign in the place of each one that says nothing. They hardly ever hold such, and to find that out
/// takes the lossy way of std five times as long.
pub(super) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    simdutf8::basic::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// A string with its quotes.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    // Writing text to memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}
