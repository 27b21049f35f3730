//! Names that speak of a credential: of query parameters, and of what an authenticator says of a user beside the name.

use std::borrow::Cow;

/// Where one of these is in a name, its value is taken for a credential.
const WORDS: [&str; 14] = [
    "credential",
    "cookie",
    "token",
    "password",
    "passwd",
    "passphrase",
    "privatekey",
    "secret",
    "session",
    "apikey",
    "accesskey",
    "assertion",
    "bearer",
    "jwt",
];

/// Of a query parameter these as well, as part of the name or all of it. (`authorization` is in names of what
/// authenticators say that are no credentials, such as `scopes.authorization.openshift.io`.)
const WORDS_OF_A_QUERY: [&str; 2] = ["signature", "authorization"];
const WHOLE_NAMES_OF_A_QUERY: [&str; 5] = ["key", "sig", "auth", "pwd", "pass"];

/// Whether a key of `user.extra` speaks of a credential.
pub(super) fn is_credential(name: &[u8]) -> bool {
    (0..name.len()).any(|at| any_at(name, at, &WORDS))
}

/// Whether a parameter of a query does.
pub(super) fn is_credential_of_query(name: &[u8]) -> bool {
    if is_ordinary(name) {
        return false;
    }
    let is_word_at = |at| any_at(name, at, &WORDS) || any_at(name, at, &WORDS_OF_A_QUERY);
    WHOLE_NAMES_OF_A_QUERY.iter().any(|whole| name.eq_ignore_ascii_case(whole.as_bytes()))
        || (0..name.len()).any(is_word_at)
}

/// Whether it is one of kube-apiserver's own parameters, as nearly all are.
pub(super) fn is_ordinary(name: &[u8]) -> bool {
    matches!(
        name,
        b"allowWatchBookmarks"
            | b"command"
            | b"container"
            | b"continue"
            | b"dryRun"
            | b"fieldManager"
            | b"fieldSelector"
            | b"fieldValidation"
            | b"follow"
            | b"force"
            | b"gracePeriodSeconds"
            | b"labelSelector"
            | b"limit"
            | b"propagationPolicy"
            | b"resourceVersion"
            | b"resourceVersionMatch"
            | b"sendInitialEvents"
            | b"stderr"
            | b"stdin"
            | b"stdout"
            | b"tailLines"
            | b"timeout"
            | b"timeoutSeconds"
            | b"tty"
            | b"watch"
    )
}

/// Whether one of `words` begins at `at`.
fn any_at(name: &[u8], at: usize, words: &[&str]) -> bool {
    let first = name[at] | 0x20;
    words.iter().any(|word| word.as_bytes()[0] == first && is_at(&name[at..], word.as_bytes()))
}

/// Whether `name` begins with `word`, whatever its case, and whatever separates its parts.
fn is_at(name: &[u8], word: &[u8]) -> bool {
    let mut letters = name.iter().filter(|byte| !matches!(byte, b'-' | b'_' | b'.' | b' '));
    word.iter().all(|expected| letters.next().is_some_and(|byte| byte.to_ascii_lowercase() == *expected))
}

/// A part of a query, decoded.
pub(super) fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let pair = if *byte == b'%' { digit(at + 1).zip(digit(at + 2)) } else { None };
        let (decoded, length) = match pair {
            Some((high, low)) => (u8::try_from(high << 4 | low).unwrap_or_default(), 3),
            None if *byte == b'+' => (b' ', 1),
            None => (*byte, 1),
        };
        out.push(decoded);
        at += length;
    }
    Cow::Owned(out)
}
