//! Tries the destinations, all at once and each within its `timeout`, with what `run` would use: the same endpoint, TLS,
//! credentials and signatures. No event is sent, and neither the state directory nor a cursor is looked at.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::file;
use super::found::{Found, Tried};
use crate::config::{Destination, Output, show_duration};
use crate::deliver::Exchange;
use crate::endpoint::{Endpoint, Session};
use crate::prepare::{Prepared, Way};
use crate::sink::{Finding, HttpSink, Place, Probe, Wrong};
use crate::writer::Writer;

/// What is found of each output, in their order.
pub(super) async fn try_all(outputs: &[Output], prepared: Vec<Prepared>) -> Vec<Tried> {
    join_all(outputs.iter().zip(prepared).map(|(output, prepared)| try_one(output, prepared.way))).await
}

async fn try_one(output: &Output, way: Way) -> Tried {
    let mut tried = Tried::new(output, way.display());
    match way {
        Way::Server(endpoint, sink) => {
            let deadline = Deadline::after(output.requests.timeout);
            let ended = Server::try_it(endpoint, sink, deadline, &mut tried).await;
            if let Err(wrong) = ended {
                tried.add(Found::Wrong(wrong));
            }
        }
        Way::Writer(writer) => try_writer(output, writer, &mut tried).await,
    }
    tried
}

async fn try_writer(output: &Output, writer: Writer, tried: &mut Tried) {
    let Destination::File(config) = &output.destination else { return };
    let (path, batch_bytes) = (config.path.clone(), output.truncate.max_batch_size.get() as u64);
    let deadline = Deadline::after(output.requests.timeout);
    // A file system may hang.
    let looking = tokio::task::spawn_blocking(move || file::look(&path, &writer, batch_bytes));
    match timeout_at(deadline.at, looking).await {
        Ok(Ok(findings)) => findings.into_iter().for_each(|finding| tried.add_finding(finding)),
        Ok(Err(error)) => tried.add(Found::Wrong(told(error.to_string(), "look at the file system"))),
        Err(_) => {
            tried.add(Found::Wrong(told(
                deadline.missed("the file system has not answered"),
                "look at the file system",
            )));
        }
    }
}

/// When an output has been tried for long enough.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    fn after(timeout: Duration) -> Self {
        Self { at: Instant::now() + timeout, timeout }
    }

    fn missed(self, what: &str) -> String {
        format!("{what} in time (timeout: {})", show_duration(self.timeout))
    }

    /// The HTTP client keeps the same time, and may be the first to say so, as it does of a connection.
    fn with_time(self, reason: String) -> String {
        if reason.ends_with(" in time") {
            format!("{reason} (timeout: {})", show_duration(self.timeout))
        } else {
            reason
        }
    }
}

/// One endpoint, as it is tried.
struct Server<'a> {
    exchange: Exchange,
    session: Session,
    deadline: Deadline,
    tried: &'a mut Tried,
}

impl Server<'_> {
    /// Asks what can be asked, until something is wrong.
    async fn try_it(
        endpoint: Arc<Endpoint>,
        sink: Arc<dyn HttpSink>,
        deadline: Deadline,
        tried: &mut Tried,
    ) -> Result<(), Wrong> {
        let exchange = Exchange::new(endpoint, Arc::clone(&sink));
        let session = timeout_at(deadline.at, exchange.session()).await;
        let session = session
            .map_err(|_| deadline.missed("the credential plugin has printed nothing"))
            .and_then(|session| session.map_err(|no_answer| no_answer.reason))
            .map_err(|what| Wrong { what, place: Place::Credentials })?;
        let mut server = Server { exchange, session, deadline, tried };
        for probe in sink.probes() {
            server.ask(&probe).await?;
        }
        Ok(())
    }

    async fn ask(&mut self, probe: &Probe<'_>) -> Result<(), Wrong> {
        let finding = match self.ask_once(probe).await? {
            Finding::Again => {
                self.tried.add(Found::Note(
                    "the clocks here and there do not agree; requests get the time there".to_owned(),
                ));
                self.ask_once(probe).await?
            }
            finding => finding,
        };
        match finding {
            Finding::Wrong(wrong) => return Err(wrong),
            Finding::Again => {
                return Err(told("the clocks here and there still do not agree", "look at the clock"));
            }
            Finding::Shown(_) => {
                self.tried.add_finding(finding);
                self.tried.extend(probe.leaves_open.clone().map(Found::NotShown));
            }
            Finding::NotShown(_) => self.tried.add_finding(finding),
        }
        Ok(())
    }

    async fn ask_once(&mut self, probe: &Probe<'_>) -> Result<Finding, Wrong> {
        let began = Instant::now();
        let asking = self.exchange.probe(&self.session, &probe.method, &probe.request);
        let (answer, line) = timeout_at(self.deadline.at, asking)
            .await
            .map_err(|_| self.deadline.missed("no complete answer"))
            .and_then(|answered| answered.map_err(|no_answer| self.deadline.with_time(no_answer.reason)))
            .map_err(|reason| self.tried.unreachable(reason))?;
        self.tried.add_answer(probe, &answer, &line, began.elapsed());
        Ok(probe.read(&answer))
    }
}

fn told(what: impl Into<String>, what_to_do: &str) -> Wrong {
    Wrong { what: what.into(), place: Place::Told(what_to_do.to_owned()) }
}
