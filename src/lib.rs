//! audit-shipper: kube-apiserver's audit log, from the file to a remote endpoint.
//!
//! kube-apiserver writes audit events, one JSON line each, to a file that it rotates. We read that file and send it, in
//! batches, to an audit webhook or to wherever people keep their audit logs.
//!
//! - **The file on disk is the buffer.** An output reads the file itself, from its own cursor. A slow endpoint delays only
//!   its own output; nothing is queued, and nothing is dropped for being late.
//! - **The ack is a return value.** `deliver` returns when each event of a batch is decided; then the cursor moves. There
//!   is no channel of acks and no tracker of offsets.
//! - **A sink is pure.** It turns events into a body and an answer into a verdict; one shared piece of code does the I/O.
//! - **Crash-only.** To kill the process at any instant costs duplicates, never lines.
//!
//! # The picture
//!
//! ```text
//!   kube-apiserver and its rotator
//!     audit-<t1>.log.gz   audit-<t2>.log   audit.log        one writer, oldest deleted first
//!          +---------+---------+---------------+
//!                    |                                       source: notify, "something changed" (a hint)
//!   source::pins   a handle on every file, until it is settled  <---- opened in the watcher's own thread
//!                    |  bytes (pull)                                        |
//! ===================|======= one task per output: route ===================|============
//!                    v                                                      v
//!   source::tail   whole lines, until a batch is full or too old  <-- hint | tick | stop
//!                    |   line by line
//!                    v
//!   event          is it an audit event? If not, it becomes an aside        (pure)
//!   match          does this output take it?                                (pure)
//!   policy         is it kept, and how much of it?                          (pure)
//!   redact         values that must not leave become marks                  (pure)
//!   truncate       what is too large is cut, or becomes an aside            (pure)
//!                    |   Batch { items, asides, end: Cursor }
//!                    v
//!   throttle       wait for qps / burst                                     (the only deliberate wait)
//!                    v
//!   route          up to maxInFlight batches under way, settled in order
//!                    v
//!   sink           items -> body, the same bytes                            (pure)
//!   deliver        compress, window, POST, timeout, backoff, halving ------------> endpoint
//!   sink           answer -> Accepted | Retry | Hold | Refused | Each <--- answer -+
//!   (writer        the lines, rotated, fsync: in the place of these three, for a file and for standard output)
//!                    v
//!   rejected       asides and refused events -> <output>.rejected.ndjson, fsync
//!                    v
//!   checkpoint     the cursor moves to Batch.end -> <output>.cursor.json, fsync at most once a second
//! =======================================================================================
//!   pipeline       builds all of it, owns the stop       admin  /metrics /healthz /livez /readyz
//!                                                            live   / /api/v1/status
//! ```
//!
//! # Words
//!
//! | word | what it is |
//! |---|---|
//! | output | a destination in the configuration; it is served by a *route* on one log after the other |
//! | trail | the logs that are read one after another; mostly there is one |
//! | route | one log, one sink or writer, one cursor; one task with one loop |
//! | line | the bytes between two newlines of the log; a run of NULs ends one too |
//! | span | in a file that a container runtime writes: lines up to one behind which no line of the container is open |
//! | record | what the container wrote as one line, put together from a span |
//! | skipped | of a record: it is no event, nor what may be left of one; it is in no book |
//! | piece | a part of a line in which an event is glued to something else; from there on it is a line of its own |
//! | event | a line that is an audit event |
//! | aside | a line that is not shipped; it waits, with its reason, to be written to the file of rejected events |
//! | item | an event as it stands in a list: its line without `kind` and `apiVersion` |
//! | batch | the items that travel in one request, the asides between them, and the position after them |
//! | series | the live file and its backups: one log, in the order of writing |
//! | strand | a live name with its backups; a series is one, or one for each container that wrote the log |
//! | pin | an open handle on a file of the series; nobody can take from us what we hold |
//! | nameless | of a file: it was deleted, and lives on because it is held |
//! | copy | what a rotator makes of the live file before it truncates that |
//! | spool | copies of nameless files, made on a stop |
//! | mark | how far one file of the series is settled; the file is known by its content |
//! | cursor | the marks of an output; everything before them is settled |
//! | settled | acknowledged by the endpoint, safe in the file that an output writes, left out by match or policy, or on disk in the file of rejected events |
//! | match | the rules that say which events an output takes, in the words of a policy |
//! | treatment | what an output does to an event before it ships it |
//! | identity | of an output: the cluster and the node that its endpoint is told events come from |
//! | verdict | what an answer means: accepted, retry, hold, refused |
//! | hold | somebody has to change something first: credentials, an address, the endpoint |
//! | suspect | a single event that was refused; *evidence* decides whether it is at fault or the endpoint |
//! | probe | a request without events that shows whether events would be taken; what it shows is a *finding* |
//! | gap | a place where events are or may be missing |
//! | grace | of an output: how long until retention reaches what it has not settled |
//! | gap record | an event of our own that stands in the stream for a gap; in no book, and settled as any event |
//!
//! # Modules, in reading order
//!
//! What is wanted:
//! - [`cli`]: the commands and their exit status.
//! - [`flags`]: kube-apiserver's flags and ours, read as pflag reads them.
//! - [`config`]: flags, variables and the YAML file into one checked configuration; all mistakes at once.
//! - `yaml`: a YAML file as a tree that knows its lines.
//! - [`endpoint`]: where an output's requests go, as a kubeconfig or the configuration says: URL, TLS and credentials,
//!   renewed while we run.
//! - `manifest`: kube-apiserver's static pod manifest, which may say a part of it.
//! - `host`: the host in a server's URL, and whether it is this machine.
//! - [`prepare`]: the files that the configuration names, read before anything starts; a `stamp` tells when one has changed.
//!
//! How it is set up:
//! - [`pipeline`]: puts the outputs to work and stops them in order. `reload` finds that the configuration is another one,
//!   `hangup` has everything be read again at SIGHUP, `trail` leads each output from one log to the next.
//! - [`route`]: the loop of one output, and the only place that moves its cursor.
//!
//! The way of an event:
//! - [`source`]: when to look at the log. Below it: names and their order (`series`), the handles on its files (`pins`) and
//!   how they outlive the process (`fdstore`, `spool`), lines out of one file (`reader`), what is unread (`tail`), and what
//!   is in a line that is not an event itself (`format`).
//! - [`event`]: a borrowed view of one event, which is also the check of its line.
//! - [`json`]: places in the JSON text of an event, and edits by place.
//! - [`policy`]: kube-apiserver's audit policy, applied once more to what was recorded; and an output's match, which asks in
//!   the same way.
//! - [`redact`]: masks what must never leave the node, by places too.
//! - [`truncate`]: makes large events fit.
//! - [`batch`]: items and asides, with the position that is settled with them.
//! - [`buffers`]: what a batch's items are kept in, used again and again.
//! - [`throttle`]: batches a second.
//! - [`sink`]: the form of requests and what answers mean, one file per protocol.
//! - [`body`]: a request's body, which shares the buffers of its batch.
//! - [`compress`]: a body, compressed, if the endpoint is to have it so.
//! - [`deliver`]: requests until the endpoint has decided on every event, or writing until all of it is written.
//! - [`writer`]: a file that is rotated by size, and standard output.
//! - [`rejected`]: the bounded file of what is not shipped: an `entry` of it, and the file while it is `held` alone.
//! - [`checkpoint`]: the cursor in memory and on disk, and the lock on the state directory.
//! - [`gap`]: what is said of a place where events are or may be missing, in our log and in the stream.
//! - [`fingerprint`]: the hashes that identify content.
//!
//! What others see of it:
//! - [`health`]: how an output is doing, the evidence for suspects, and whether its loop still runs (`pulse`).
//! - [`metrics`]: every metric, and the books that always balance.
//! - [`retention`]: how long until a rotator deletes what is not settled.
//! - [`admin`]: metrics and health over HTTP.
//! - [`live`]: the live view: a page and a document that say how each output does, now and over the last hour.
//! - [`supervisor`]: what systemd is told, and its watchdog.
//!
//! Beside the daemon:
//! - [`receive`]: an endpoint for people who have none.
//! - [`demo`]: the whole of it on one machine, checked by content.
//! - [`logs`]: logs that commands read from end to end, each line once, on all processors.
//! - [`tally`]: which values come how often, in bounded memory.
//! - [`shown`]: how numbers and foreign texts are shown to people.
//! - `serve`: the HTTP server that [`admin`], [`live`] and [`receive`] share.
//! - `durable`: what a file on disk is worth after a crash.
//! - `properties`: what all property tests share.
//!
//! # Invariants
//!
//! Comments and reviews refer to them by number.
//!
//! - **I1** Only `route` moves a cursor, and only past settled batches. (`cursor reset` and `skip` do so on an operator's
//!   word, and under the lock that a daemon holds.)
//! - **I2** `sink`, `policy` and `redact` (once they are loaded), `truncate`, `event`, `json`, `batch` and `compress` do no
//!   I/O, read no clock and know no tokio.
//! - **I3** What is below `source` is blocking std code; `source.rs` alone knows `notify`.
//! - **I4** No channel carries events between tasks. What crosses a task's boundary are wake-ups, counts and the stop.
//! - **I5** Each file in the state directory has one writer at a time: the daemon that holds the directory. Only a file of
//!   rejected events is changed by operators too while it runs, and by each of them under the lock on that file.
//! - **I6** Every buffer, file and wait has a configured bound, and loading proves that the bounds fit together.
//! - **I7** No JSON value of a whole document is ever built on the hot path.
//! - **I8** A line is delivered, left out by match or policy, set aside with a reason, or reported lost; each is counted, and
//!   there is no fifth way. (What a container writes beside events is no such line; it is skipped, and counted too.)
//! - **I9** Wake-ups may be lost, late or wrong; correctness never depends on them.
//! - **I10** The identity of a file is its content, never its inode or its name alone.
//! - **I11** Our own log never holds an event's body, a token, a query string or the body of an endpoint's
//!   answer, which may repeat all of them.

pub mod admin;
pub mod batch;
pub mod body;
pub mod buffers;
pub mod checkpoint;
pub mod cli;
pub mod compress;
pub mod config;
pub mod deliver;
pub mod demo;
mod durable;
pub mod endpoint;
pub mod event;
pub mod fingerprint;
pub mod flags;
pub mod gap;
pub mod health;
mod host;
pub mod json;
pub mod live;
pub mod logs;
mod manifest;
pub mod metrics;
pub mod pipeline;
pub mod policy;
pub mod prepare;
#[cfg(test)]
mod properties;
pub mod receive;
pub mod redact;
pub mod rejected;
pub mod retention;
pub mod route;
pub(crate) mod serve;
pub mod shown;
pub mod sink;
pub mod source;
mod stamp;
pub mod supervisor;
pub mod tally;
pub mod throttle;
pub mod truncate;
pub mod writer;
pub(crate) mod yaml;
