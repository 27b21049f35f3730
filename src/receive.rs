//! `audit-shipper receive`: an endpoint for people who have none.
//!
//! It takes what kube-apiserver's audit webhook and `audit-shipper run` send, and appends each event to a file as
//! the line that kube-apiserver's own log holds, byte for byte. A *request* is one POST of an EventList; its *lines*
//! are written all or none. The answer 200 means: the lines are on disk. Whoever sends again after a lost answer is
//! served again, so the file may hold a line twice; such *duplicates* are written like any other line and counted. At
//! least the last 7 million lines are remembered for that, in less than 300 MB, and over a restart too.
//!
//! In reading order: `crate::serve` accepts connections, `request` answers one request with the help of
//! `serve::token`, `body` and `list`, `writer` commits the lines of several requests with one fsync to `output`, and
//! `seen` recognises duplicates.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tracing::info;

use crate::serve::tls::{Files, Named, Tls};
use crate::serve::token::TokenFile;
use metrics::Metrics;
use output::Output;
use request::Endpoint;

mod body;
mod list;
mod metrics;
mod output;
mod request;
mod seen;
mod writer;

pub(crate) use seen::line_hash;

/// The flags of `audit-shipper receive`.
#[derive(Debug, Clone, clap::Args)]
pub struct ReceiveArgs {
    /// Address to listen on; port 0 takes any free port, and the log names it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9880")]
    pub bind_address: SocketAddr,
    /// File that events are appended to, one line each; - is the standard output
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Certificate chain to serve TLS with (PEM); needs --tls-key. Renewed files count from the next connection on
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Require a client certificate signed by one of these authorities (PEM); needs TLS
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Require the bearer token in this file; a change of the file counts from the next request on
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// Why `receive` did not start.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The flags or the files that they name are wrong: every mistake, each beginning with its flag.
    #[error("{}", .0.join("\n"))]
    Config(Vec<String>),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// `--bind-address`.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The output cannot be opened, locked or read.
    #[error("cannot use the output {}", path.display())]
    Output {
        /// `--output`.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Serves until `stop` completes; requests under way then get a few seconds to finish.
///
/// The address is logged as the field `address` of the message `listening`, once connections are answered.
///
/// # Errors
///
/// If the configuration is wrong, or the address or the output cannot be had. Once it listens, it does not fail:
/// a request whose lines cannot be written is answered 503, and the sender tries again.
pub async fn receive(args: ReceiveArgs, stop: impl Future<Output = ()>) -> Result<(), ReceiveError> {
    let Security { tls, token } = Security::check(&args).map_err(ReceiveError::Config)?;
    let bind = |source| ReceiveError::Bind { address: args.bind_address, source };
    let listener = TcpListener::bind(args.bind_address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;

    let path = args.output.clone();
    let output = spawn_blocking(move || Output::open(&path))
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(panic)))
        .map_err(|source| ReceiveError::Output { path: args.output.clone(), source })?;
    let metrics = Arc::new(Metrics::new());
    let (writer, thread) = writer::start(output, Arc::clone(&metrics))
        .map_err(|source| ReceiveError::Output { path: args.output.clone(), source })?;

    info!(%address, output = %args.output.display(), tls = tls.is_some(), "listening");
    let finished = crate::serve::serve(listener, tls, Endpoint::new(token, writer, metrics), stop).await;
    if finished {
        // With the last request its sender is gone, so the thread ends with what it was given. It has panicked at
        // the worst, and then nothing was acknowledged.
        let _ = spawn_blocking(move || thread.join()).await;
    }
    info!("stopped");
    Ok(())
}

/// How senders are told from strangers.
struct Security {
    tls: Option<Arc<Tls>>,
    token: Option<TokenFile>,
}

impl Security {
    /// Loads every file that the flags name and lists every mistake.
    fn check(args: &ReceiveArgs) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let tls = match (&args.tls_cert, &args.tls_key) {
            (Some(cert), Some(key)) => {
                let files = Files {
                    cert: Named { by: "--tls-cert", path: cert.clone() },
                    key: Named { by: "--tls-key", path: key.clone() },
                    client_ca: args.client_ca.clone().map(|path| Named { by: "--client-ca", path }),
                };
                Tls::load(files).map(Arc::new).map_err(|mut found| mistakes.append(&mut found)).ok()
            }
            (Some(_), None) => {
                mistakes.push("--tls-cert: needs --tls-key".to_owned());
                None
            }
            (None, Some(_)) => {
                mistakes.push("--tls-key: needs --tls-cert".to_owned());
                None
            }
            (None, None) => None,
        };
        if args.client_ca.is_some() && args.tls_cert.is_none() && args.tls_key.is_none() {
            mistakes.push("--client-ca: needs --tls-cert and --tls-key".to_owned());
        }
        let token = args.token_file.as_deref().and_then(|path| {
            TokenFile::load(path)
                .map_err(|error| mistakes.push(format!("--token-file: {}: {error}", path.display())))
                .ok()
        });
        if mistakes.is_empty() { Ok(Self { tls, token }) } else { Err(mistakes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> ReceiveArgs {
        ReceiveArgs {
            bind_address: SocketAddr::from(([127, 0, 0, 1], 0)),
            output: PathBuf::from("-"),
            tls_cert: None,
            tls_key: None,
            client_ca: None,
            token_file: None,
        }
    }

    #[test]
    fn every_mistake_is_listed() {
        let missing = PathBuf::from("/nonexistent/file");
        let wrong = ReceiveArgs {
            tls_key: Some(missing.clone()),
            client_ca: Some(missing.clone()),
            token_file: Some(missing.clone()),
            ..args()
        };
        let mistakes = Security::check(&wrong).err().unwrap();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(mistakes[0].starts_with("--tls-key: needs --tls-cert"));
        assert!(mistakes[1].starts_with("--token-file: /nonexistent/file: "));

        let unreadable = ReceiveArgs { tls_cert: Some(missing), ..wrong };
        let mistakes = Security::check(&unreadable).err().unwrap();
        let flags: Vec<_> = mistakes.iter().filter_map(|mistake| mistake.split(':').next()).collect();
        assert_eq!(flags, ["--tls-cert", "--tls-key", "--client-ca", "--token-file"]);
    }

    #[test]
    fn a_client_ca_needs_tls() {
        let wrong = ReceiveArgs { client_ca: Some(PathBuf::from("ca.pem")), ..args() };
        assert_eq!(Security::check(&wrong).err().unwrap(), ["--client-ca: needs --tls-cert and --tls-key"]);
    }
}
