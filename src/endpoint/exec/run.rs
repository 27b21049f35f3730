//! One run of a command: what it prints until it ends, and the end of all that it started if it does not.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;
use tokio::time::timeout;

/// What a command has printed is there when it ends, or not much later.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// The processes of a run that is not over: they are killed when this is dropped, or each run that takes too long would
/// leave some behind.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.0.and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(id) = id {
            // They may have ended by themselves.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

/// How `child`, which leads a process group, ends, and what it prints, up to a byte more than `most`. `None` if it
/// takes longer than `longest`: then it is killed.
pub(super) async fn to_its_end(
    mut child: Child,
    longest: Duration,
    most: u64,
) -> Option<io::Result<(ExitStatus, Vec<u8>)>> {
    let mut group = Group(child.id());
    let mut printed = Vec::new();
    let status = timeout(longest, read(&mut child, &mut printed, most)).await.ok()?;
    // What it leaves running is its business, and the number may be another's by now.
    group.0 = None;
    Some(status.map(|status| (status, printed)))
}

/// Reads until the end of the output, or of the command: what it leaves running may keep its output open.
async fn read(child: &mut Child, printed: &mut Vec<u8>, most: u64) -> io::Result<ExitStatus> {
    let Some(output) = child.stdout.take() else { return child.wait().await };
    {
        let mut output = output.take(most + 1);
        let mut reading = std::pin::pin!(output.read_to_end(printed));
        tokio::select! {
            biased;
            read = &mut reading => drop(read?),
            ended = child.wait() => {
                if let Ok(read) = timeout(LAST_BYTES, reading).await {
                    read?;
                }
                return ended;
            }
        }
    }
    child.wait().await
}
