//! The flags of `run` and `check`, as kube-apiserver's parser (pflag) would take them.
//!
//! Two kinds of mistakes are kept apart. A flag that does not exist or a stray word is wrong *usage*, which clap reports.
//! A value that is not legal is a mistake in the *configuration*, reported together with all others; so values are
//! text here, and [`crate::config`] gives them their types.
//!
//! As in pflag: `--f=v` and `--f v`, for booleans only `--f` and `--f=v`; a value is whatever the next word is, even if it
//! begins with a dash; the last of repeated flags wins; `_` is as good as `-` in a name.

mod table;

use std::ffi::OsString;
use std::sync::LazyLock;

use clap::{Arg, ArgAction, ArgMatches, Command};

use self::table::{FLAGS, Flag, Kind};
use crate::config::{
    self, DEPRECATED_BACKOFF, Errors, IDENTITY_VARIABLES, INITIAL_BACKOFF, Loaded, Origin, Setting, Settings,
};

/// What stood on the command line of `run` or `check`, not yet checked.
#[derive(Debug, Clone, Default)]
pub struct RunArgs {
    given: Vec<Given>,
}

/// The last occurrence of a flag.
#[derive(Debug, Clone)]
struct Given {
    flag: &'static str,
    text: String,
    /// Its place on the line; the alias and the flag it stands for compete by it.
    index: usize,
}

impl RunArgs {
    /// The flags of a daemon that is told of nothing but these files.
    #[must_use]
    pub(crate) fn with<'a>(files: impl IntoIterator<Item = (&'static str, &'a std::path::Path)>) -> Self {
        let given = |(index, (flag, path)): (usize, (&'static str, &std::path::Path))| Given {
            flag,
            text: path.to_string_lossy().into_owned(),
            index,
        };
        Self { given: files.into_iter().enumerate().map(given).collect() }
    }

    /// Loads the configuration from these flags, the environment, and the file that one of them names.
    ///
    /// `env` looks up an environment variable. An empty variable counts as none, since unit files and manifests cannot
    /// always leave one out.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the configuration.
    pub fn load(&self, env: impl Fn(&str) -> Option<OsString>) -> Result<Loaded, Errors> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        let mut not_text = Errors::default();
        let mut settings = Settings::default();
        let mut look_up = |settings: &mut Settings, name, variable: String| {
            let Some(value) = env(&variable) else { return };
            let origin = Origin::Variable(variable);
            match value.into_string() {
                Ok(text) => settings.insert(name, Setting { origin, text }),
                Err(_) => not_text.push(format!("{origin}: is not UTF-8")),
            }
        };
        for flag in FLAGS {
            if let Some(given) = self.given.iter().find(|given| given.flag == flag.name) {
                let origin = Origin::Flag(flag.name);
                settings.insert(flag.name, Setting { origin, text: given.text.clone() });
            } else {
                look_up(&mut settings, flag.name, variable(flag.name));
            }
        }
        for variable in IDENTITY_VARIABLES {
            look_up(&mut settings, variable, variable.to_owned());
        }
        self.apply_alias(&mut settings);
        let state_directory = env("STATE_DIRECTORY").map(|value| value.to_string_lossy().into_owned());
        match config::load(&settings, state_directory.as_deref()) {
            Ok(loaded) if not_text.is_empty() => Ok(loaded),
            Ok(loaded) => {
                not_text.note_files(&loaded.config.outputs);
                Err(not_text)
            }
            Err(mut errors) => {
                not_text.iter().for_each(|error| errors.push(error));
                Err(errors)
            }
        }
    }

    /// Of the backoff and its alias the later one on the line counts, and any flag before any variable.
    fn apply_alias(&self, settings: &mut Settings) {
        let rank = |flag| {
            let setting = settings.get(flag)?;
            let index = self.given.iter().find(|given| given.flag == flag).map(|given| given.index);
            Some((index, setting.clone()))
        };
        if let Some((alias_index, alias)) = rank(DEPRECATED_BACKOFF)
            && rank(INITIAL_BACKOFF).is_none_or(|(index, _)| index < alias_index)
        {
            settings.insert(INITIAL_BACKOFF, alias);
        }
    }
}

/// Whether a flag of kube-apiserver is a boolean, whose value may be left out.
pub(crate) fn is_boolean(name: &str) -> bool {
    FLAGS.iter().any(|flag| flag.name == name && flag.is_boolean())
}

/// The name under which we know a flag of kube-apiserver, if we do.
pub(crate) fn known(name: &str) -> Option<&'static str> {
    FLAGS.iter().map(|flag| flag.name).find(|known| *known == name && known.starts_with("audit-"))
}

/// The flag that a name stands for: the name itself unless it is a deprecated alias.
pub(crate) fn same_as(name: String) -> String {
    if name == DEPRECATED_BACKOFF { INITIAL_BACKOFF.to_owned() } else { name }
}

/// The environment variable of a flag.
fn variable(flag: &str) -> String {
    format!("AUDIT_SHIPPER_{}", flag.replace('-', "_").to_uppercase())
}

/// The flags' names with `_` for `-`; clap wants to borrow them for the life of the program.
static UNDERSCORED: LazyLock<Vec<String>> =
    LazyLock::new(|| FLAGS.iter().map(|flag| flag.name.replace('-', "_")).collect());

impl clap::Args for RunArgs {
    fn augment_args(command: Command) -> Command {
        let flags = FLAGS.iter().zip(UNDERSCORED.iter());
        flags.fold(command, |command, (flag, underscored)| command.arg(argument(flag, underscored))).after_help(
            "Every flag has an environment variable: AUDIT_SHIPPER_ and its name in capitals with _ for -, such as \
             AUDIT_SHIPPER_AUDIT_LOG_PATH. A flag wins over its variable, the variable over the file, the file over the \
             default.",
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for RunArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let last = |flag: &Flag| {
            let text = matches.get_many::<String>(flag.name)?.next_back()?.clone();
            let index = matches.indices_of(flag.name)?.next_back()?;
            Some(Given { flag: flag.name, text, index })
        };
        Ok(Self { given: FLAGS.iter().filter_map(last).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument(flag: &'static Flag, underscored: &'static str) -> Arg {
    let argument = Arg::new(flag.name)
        .long(flag.name)
        .value_name(flag.value_name)
        .help(flag.help)
        .action(ArgAction::Append)
        .hide(flag.name == DEPRECATED_BACKOFF)
        .hide_short_help(flag.kind == Kind::Unused);
    let argument = if underscored == flag.name { argument } else { argument.alias(underscored) };
    if flag.is_boolean() {
        argument.num_args(0..=1).require_equals(true).default_missing_value("true")
    } else {
        argument.allow_hyphen_values(true)
    }
}

#[cfg(test)]
mod tests;
