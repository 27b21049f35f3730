//! `setup`: what an endpoint needs before events are sent to it.

mod elasticsearch;

use super::Failure;

/// Which kind of endpoint.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Install the index template that the documents of an output need, in Elasticsearch or OpenSearch
    Elasticsearch(elasticsearch::Args),
}

pub(super) fn command(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Elasticsearch(args) => elasticsearch::setup(args),
    }
}
