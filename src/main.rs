//! The `audit-shipper` command.

use std::process::ExitCode;

use audit_shipper::demo::{DemoArgs, demo};
use audit_shipper::receive::{ReceiveArgs, ReceiveError, receive};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Parser)]
#[command(version, about)]
enum Cli {
    /// Takes what `run` sends and appends each event as a line to a file
    Receive(ReceiveArgs),
    /// The whole thing on this machine, no cluster needed
    Demo(DemoArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    match cli {
        Cli::Receive(args) => match receive(args, stopped()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let code = if matches!(error, ReceiveError::Config(_)) { 78 } else { 1 };
                tracing::error!("{:#}", anyhow::Error::from(error));
                ExitCode::from(code)
            }
        },
        Cli::Demo(args) => match demo(args, stopped()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!("{:#}", anyhow::Error::from(error));
                ExitCode::from(1)
            }
        },
    }
}

async fn stopped() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
