//! One command that ends by itself, and what it said.

use std::process::{Command, Stdio};

use super::daemon::Daemon;
use super::workdir::Workdir;

/// A command that has ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The lines of the standard error that begin with `error: `, without that.
    pub(crate) fn errors(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|line| line.strip_prefix("error: ")).collect()
    }

    /// The standard output of a command that did what it should.
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// The errors of a command that finds mistakes in the configuration, and nothing else to say.
    pub(crate) fn mistakes(&self) -> Vec<&str> {
        assert_eq!((self.code, self.stdout.as_str()), (Some(78), ""), "{}", self.stderr);
        assert_eq!(self.errors().len(), self.stderr.lines().count(), "{}", self.stderr);
        self.errors()
    }
}

/// Runs `audit-shipper` to its end.
pub(crate) fn audit_shipper<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    let mut command = Daemon::command();
    command.args(args);
    finish(command)
}

/// Runs a command to its end.
pub(crate) fn finish(mut command: Command) -> Ended {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `command` and the flags that ship the log of `workdir` to the endpoint of its kubeconfig without long waits.
///
/// Flags alone leave `pinMinFree` as it is: on a disk that is fuller than that, a file that is deleted before it was read is
/// lost. A test of such files uses a `Shipper`, which has none.
pub(crate) fn flags(command: &str, workdir: &Workdir) -> Vec<String> {
    vec![
        command.to_owned(),
        format!("--audit-log-path={}", workdir.log().display()),
        format!("--audit-webhook-config-file={}", workdir.path("webhook.kubeconfig").display()),
        format!("--state-dir={}", workdir.state().display()),
        "--bind-address=127.0.0.1:0".to_owned(),
        "--audit-webhook-batch-max-wait=50ms".to_owned(),
        "--audit-webhook-initial-backoff=10ms".to_owned(),
    ]
}
