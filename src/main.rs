//! The `audit-shipper` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    audit_shipper::cli::main()
}
