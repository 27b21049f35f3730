//! What the container's variables tell Alibaba Cloud's logtail-ds: `aliyun_logs_<config>` and `aliyun_logs_<config>_<item>`.
//!
//! The name is divided at its *last* underscore, so that a config whose name has one loses its end to the item; logtail does
//! the same. `loong_logs_` is the newer prefix, and wins.

use std::collections::BTreeMap;
use std::path::Path;

use super::path::cleaned;
use super::{Log, Manifest, Variable};

/// The older one first.
const PREFIXES: [&str; 2] = ["aliyun_logs_", "loong_logs_"];

/// One configuration of logtail.
#[derive(Debug)]
pub(crate) struct LogConfig {
    pub(crate) name: String,
    items: BTreeMap<String, Item>,
}

/// One of its items.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) variable: String,
    pub(crate) line: u64,
    /// `None`: only kubelet knows it.
    pub(crate) value: Option<String>,
}

impl LogConfig {
    /// The item of this name; the one without a name says what is collected.
    pub(crate) fn item(&self, name: &str) -> Option<&Item> {
        self.items.get(name)
    }

    /// All items by their names.
    pub(crate) fn items(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.items.iter().map(|(name, item)| (name.as_str(), item))
    }

    /// The text of an item that the manifest holds.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.item(name)?.value.as_deref()
    }

    /// The tag: `k=v`, or one word for both.
    pub(crate) fn tag(&self) -> Option<(&str, &str)> {
        let text = self.text("tags").filter(|text| !text.is_empty())?;
        Some(text.split_once('=').unwrap_or((text, text)))
    }

    /// Whether the container's standard output is collected.
    pub(crate) fn is_of_stdout(&self) -> bool {
        matches!(self.text(""), Some("stdout" | "stdout-only"))
    }
}

impl Manifest {
    /// All configurations of logtail, by their names.
    pub(crate) fn log_configs(&self) -> Vec<LogConfig> {
        let mut configs: BTreeMap<&str, BTreeMap<String, Item>> = BTreeMap::new();
        for prefix in PREFIXES {
            for Variable { name, line, value } in &self.variables {
                let Some(rest) = name.strip_prefix(prefix).filter(|rest| !rest.ends_with('_')) else {
                    continue;
                };
                let (config, item) = rest.rsplit_once('_').unwrap_or((rest, ""));
                let told = Item { variable: name.clone(), line: *line, value: value.clone() };
                configs.entry(config).or_default().insert(item.to_owned(), told);
            }
        }
        let named = |(name, items): (&str, _)| LogConfig { name: name.to_owned(), items };
        configs.into_iter().map(named).collect()
    }

    /// Whether this configuration collects the audit log.
    pub(crate) fn is_ours(&self, config: &LogConfig) -> bool {
        match (&self.log, config.text("")) {
            (Log::File(file), Some(pattern)) => matches(pattern, &file.inside),
            (Log::Stdout, Some(_)) => config.is_of_stdout(),
            (_, None) => false,
        }
    }

    /// The configuration of logtail that collects the audit log.
    pub(crate) fn sls(&self) -> Option<LogConfig> {
        self.log_configs().into_iter().find(|config| self.is_ours(config))
    }

    /// Project of the configuration: its own, or the default of logtail's, which may be set here too.
    pub(crate) fn project<'a>(&'a self, config: &'a LogConfig) -> Option<(&'a str, &'a str, u64)> {
        let own = config
            .item("project")
            .and_then(|item| Some((item.variable.as_str(), item.value.as_deref()?, item.line)));
        own.or_else(|| self.told("ALICLOUD_LOG_DEFAULT_PROJECT"))
    }

    /// A variable whose value the manifest holds, with its line.
    pub(crate) fn told(&self, variable: &'static str) -> Option<(&str, &str, u64)> {
        let found = self.variable(variable)?;
        Some((variable, found.value.as_deref()?, found.line))
    }
}

/// Whether `pattern` means the file at `path`: `*` in the name, `/**/` for any directories below.
fn matches(pattern: &str, path: &str) -> bool {
    let pattern = cleaned(Path::new(pattern)).display().to_string();
    let (directory, name) = pattern.rsplit_once('/').unwrap_or(("", &pattern));
    let (in_directory, file) = path.rsplit_once('/').unwrap_or(("", path));
    let is_there = match directory.strip_suffix("/**") {
        Some(above) => {
            in_directory.strip_prefix(above).is_some_and(|below| below.is_empty() || below.starts_with('/'))
        }
        None => directory == in_directory,
    };
    is_there && is_like(name, file)
}

/// Whether `name` is `pattern` with something in place of each `*`.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}
