//! `$(VAR)` in a container's command, arguments and variables, as kubelet replaces it
//! (`third_party/forked/golang/expansion`): `$$` is a `$`, and what names no variable stays as it is.

use super::{Told, Variable};

/// Replaces the references of `told` by what `variables` hold; the last of a name counts.
pub(super) fn expanded(told: Told, variables: &[Variable]) -> Told {
    let mut unseen = told.unseen;
    let mut text = String::with_capacity(told.text.len());
    let mut rest = told.text.as_str();
    while let Some((before, behind)) = rest.split_once('$') {
        text += before;
        rest = if let Some(behind) = behind.strip_prefix('$') {
            text.push('$');
            behind
        } else if let Some((name, behind)) = behind.strip_prefix('(').and_then(|inner| inner.split_once(')'))
        {
            match variables.iter().rfind(|variable| variable.name == name) {
                Some(Variable { value: Some(value), .. }) => text += value,
                found => {
                    unseen = unseen.or_else(|| found.map(|variable| variable.name.clone()));
                    text.extend(["$(", name, ")"]);
                }
            }
            behind
        } else {
            text.push('$');
            behind
        };
    }
    text += rest;
    Told { text, line: told.line, unseen }
}
