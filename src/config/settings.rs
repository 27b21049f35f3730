//! What the command line and the environment said, as text, by the flag's name.
//!
//! [`crate::flags`] fills this, so that it has already been decided there that a flag wins over its variable. Whether the
//! texts are legal is decided by whoever reads them.

use std::collections::BTreeMap;

use super::identity::IDENTITY_VARIABLES;
use super::report::Origin;

/// kube-apiserver's old name of [`INITIAL_BACKOFF`]; both set the same variable.
pub(crate) const DEPRECATED_BACKOFF: &str = "audit-webhook-batch-initial-backoff";

/// The wait before the first retry.
pub(crate) const INITIAL_BACKOFF: &str = "audit-webhook-initial-backoff";

/// The values of flags and variables. What an alias said is kept under its own name and under the flag's, what a variable
/// said that stands for no flag under the variable's.
#[derive(Debug, Default)]
pub(crate) struct Settings(BTreeMap<&'static str, Setting>);

/// One value and whether the flag or its variable gave it.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) origin: Origin,
    pub(crate) text: String,
}

impl Settings {
    pub(crate) fn insert(&mut self, flag: &'static str, setting: Setting) {
        self.0.insert(flag, setting);
    }

    pub(crate) fn get(&self, flag: &str) -> Option<&Setting> {
        self.0.get(flag)
    }

    /// What is said of every output, however many there are.
    pub(super) fn of_all_outputs(&self) -> Self {
        let of_all = |name: &'static str| Some((name, self.get(name)?.clone()));
        Self(IDENTITY_VARIABLES.into_iter().filter_map(of_all).collect())
    }

    /// The values that belong to an output rather than to the daemon.
    pub(super) fn of_one_output(&self) -> impl Iterator<Item = &Setting> {
        // The version has no field in the file; what the deprecated alias says is under the flag's name as well.
        let others = ["audit-webhook-version", DEPRECATED_BACKOFF];
        let belongs = move |flag: &str| {
            ["gap-records", "redact", "audit-policy-file"].contains(&flag)
                || flag.starts_with("audit-webhook-") && !others.contains(&flag)
        };
        self.0.iter().filter(move |(flag, _)| belongs(flag)).map(|(_, setting)| setting)
    }
}
