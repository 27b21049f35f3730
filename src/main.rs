//! The `audit-shipper` command.
fn main() {}
