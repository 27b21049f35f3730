//! What is made of the command line itself: completions for shells, and man pages for packages.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Failure, unless_broken_pipe};

/// Commands of administrators are in this section of the manual.
const SECTION: &str = "8";

/// `completion`
#[derive(Debug, clap::Args)]
pub(super) struct CompletionArgs {
    /// The shell that is to complete commands
    shell: Shell,
}

/// `man`
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Where the pages are written to, one for each command
    directory: PathBuf,
}

/// Prints the completions of one shell.
pub(super) fn completion(args: &CompletionArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), env!("CARGO_PKG_NAME"), &mut script);
    unless_broken_pipe(std::io::stdout().write_all(&script).map_err(Into::into))
}

/// Writes the man pages.
pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut command = Cli::command();
    // Gives each command its full name.
    command.build();
    std::fs::create_dir_all(&args.directory)
        .with_context(|| format!("cannot make {}", args.directory.display()))?;
    Ok(write_pages(&command, &args.directory)?)
}

/// The page of a command, and those of the commands below it.
fn write_pages(command: &Command, directory: &Path) -> anyhow::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = directory.join(format!("{name}.{SECTION}"));
    let mut page = Vec::new();
    Man::new(command.clone()).section(SECTION).manual("System Administration").render(&mut page)?;
    std::fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    let is_shown = |below: &&Command| !below.is_hide_set() && below.get_name() != "help";
    command.get_subcommands().filter(is_shown).try_for_each(|below| write_pages(below, directory))
}
