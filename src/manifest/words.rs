//! The audit flags among the words of a command line, as pflag would take them.

use std::collections::BTreeMap;

use super::Told;
use crate::flags;

/// The audit flags, by name; the last one of a name counts, and a deprecated name is the flag that it stands for. `Err` is a
/// flag without a value, and its line.
pub(super) fn audit_flags(words: &[Told]) -> Result<BTreeMap<String, Told>, (String, u64)> {
    let words: Vec<Told> = words.iter().flat_map(script).collect();
    let mut flags = BTreeMap::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let Some(flag) = word.text.strip_prefix("--") else { continue };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        let name = name.replace('_', "-");
        if !name.starts_with("audit-") {
            continue;
        }
        let told = match value {
            Some(value) => Told { text: value.to_owned(), ..word.clone() },
            None if flags::is_boolean(&name) => Told { text: "true".to_owned(), ..word.clone() },
            None => match rest.next() {
                Some(value) => value.clone(),
                None => return Err((name, word.line)),
            },
        };
        flags.insert(flags::same_as(name), told);
    }
    Ok(flags)
}

/// The words of a shell script that holds audit flags (`sh -c "exec kube-apiserver --audit-log-path=..."`); any other word as
/// it is. Quotes are taken off, and nothing else of a shell is known.
fn script(word: &Told) -> Vec<Told> {
    let is_script = !word.text.starts_with("--") && word.text.contains(char::is_whitespace);
    if !is_script || !word.text.contains("--audit") {
        return vec![word.clone()];
    }
    let (mut words, mut current, mut quote) = (Vec::new(), String::new(), None);
    for c in word.text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => words.push(std::mem::take(&mut current)),
            _ => current.push(c),
        }
    }
    words.push(current);
    let words = words.into_iter().filter(|text| !text.is_empty());
    words.map(|text| Told { text, ..word.clone() }).collect()
}
