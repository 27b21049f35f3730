//! Readers that others have written, in Python; without Python or the package they are left out, and say so.

use std::path::Path;
use std::process::Command;

use crate::support::leave_out;

/// What a script ends with if its package is not installed.
const NOT_INSTALLED: i32 = 77;

/// Runs a script of this directory. What it does not like ends the test.
pub(super) fn check<P: AsRef<Path>>(script: &str, log: &Path, requests: &[P]) {
    let script = format!("{}/tests/it/sinks/{script}", env!("CARGO_MANIFEST_DIR"));
    let requests = requests.iter().map(AsRef::as_ref);
    let mut command = Command::new("python3");
    let output = match command.arg(&script).arg(log).args(requests).output() {
        Ok(output) => output,
        Err(error) => return leave_out(format_args!("python3 cannot be run: {error}")),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {}
        Some(NOT_INSTALLED) => leave_out(said),
        _ => panic!("{script}: {said}"),
    }
}
