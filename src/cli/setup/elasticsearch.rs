//! `setup elasticsearch`: the index template of an output's data stream, put where the output sends its events, with the
//! same credentials.
//!
//! It is put as a whole, so to run it again does no harm. A data stream that is there already takes it from its next
//! backing index on; that is said and not done, since a rollover is the operator's.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use crate::cli::{Failure, runtime, unless_broken_pipe};
use crate::config::{self, Config, Destination, Output};
use crate::deliver::Exchange;
use crate::endpoint::Endpoint;
use crate::flags::RunArgs;
use crate::sink::elasticsearch::template::{self, Product};
use crate::sink::elasticsearch::{Elasticsearch, said};
use crate::sink::{Answer, Request};

/// For which output.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Configuration file of the daemon
    #[arg(long, value_name = "FILE", env = "AUDIT_SHIPPER_CONFIG")]
    config: PathBuf,
    /// The output; needed if several go to Elasticsearch or OpenSearch
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
    /// Print the template instead of installing it
    #[arg(long)]
    print: bool,
    /// Which of the two the endpoint is; without it, it is asked
    #[arg(long, value_name = "PRODUCT", value_parser = ["elasticsearch", "opensearch"])]
    product: Option<String>,
}

pub(super) fn setup(args: &Args) -> Result<(), Failure> {
    let files = [("config", args.config.as_path())];
    let loaded = RunArgs::with(files).load(|name| std::env::var_os(name)).map_err(Failure::config)?;
    let (output, config) =
        choose(&loaded.config, args.output.as_deref()).map_err(|mistake| Failure::Config(vec![mistake]))?;
    let endpoint = Endpoint::of_output(output).map_err(Failure::Config)?;
    let mut stderr = std::io::stderr();
    for warning in endpoint.warnings() {
        let _ = writeln!(stderr, "warning: {warning}");
    }
    let sink = Elasticsearch::new(config, &output.identity, Path::new(""));
    let server =
        Server { place: endpoint.display(), exchange: Exchange::new(Arc::new(endpoint), Arc::new(sink)) };
    let said = runtime()?.block_on(async {
        let product = match args.product.as_deref() {
            Some("opensearch") => Product::OpenSearch,
            Some(_) => Product::Elasticsearch,
            None => server.product().await?,
        };
        let Some(template) = template::index_template(config, product) else {
            bail!(
                "output {}: mode ecs-raw needs the template and the ingest pipeline of Elastic's integration for \
                 Kubernetes: install its assets in Kibana; nothing was changed",
                output.name
            );
        };
        if args.print { Ok(template) } else { server.install(config, product, template).await }
    })?;
    unless_broken_pipe(std::io::stdout().write_all(said.as_bytes()).map_err(Into::into))
}

/// The output that is meant.
fn choose<'a>(
    config: &'a Config,
    name: Option<&str>,
) -> Result<(&'a Output, &'a config::Elasticsearch), String> {
    let is_meant = |output: &Output| name.is_none_or(|name| output.name == name);
    let mut meant = config.outputs.iter().filter_map(|output| match &output.destination {
        Destination::Elasticsearch(config) if is_meant(output) => Some((output, config)),
        _ => None,
    });
    match (meant.next(), meant.next(), name) {
        (Some((one, _)), Some((other, _)), _) => {
            let (one, other) = (&one.name, &other.name);
            Err(format!("several outputs go to Elasticsearch: say --output={one} or --output={other}"))
        }
        (Some(output), None, _) => Ok(output),
        (None, _, Some(name)) => Err(format!("--output: no output named {name:?} goes to Elasticsearch")),
        (None, _, None) => Err("no output of the configuration goes to Elasticsearch".to_owned()),
    }
}

/// Where events would go.
struct Server {
    place: String,
    exchange: Exchange,
}

impl Server {
    async fn product(&self) -> anyhow::Result<Product> {
        let answer = self.ask(Method::GET, "/", Request::default()).await?;
        if answer.status != 200 {
            bail!("{}: who are you? {}", self.place, in_words(&answer));
        }
        Product::of_root(&answer.body).with_context(|| {
            format!(
                "{}: neither Elasticsearch nor OpenSearch says what was answered; is the URL right? --product tells \
                 which it is",
                self.place
            )
        })
    }

    /// Installs the template, and says what was done.
    async fn install(
        &self,
        config: &config::Elasticsearch,
        product: Product,
        template: String,
    ) -> anyhow::Result<String> {
        let (place, name, stream) = (&self.place, template::name(config), &config.data_stream);
        let request = Request {
            headers: vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
            body: std::iter::once(Bytes::from(template)).collect(),
            ..Request::default()
        };
        let answer = self.ask(Method::PUT, &format!("/_index_template/{name}"), request).await?;
        if answer.status != 200 {
            bail!("{place}: index template {name} was not installed: {}", in_words(&answer));
        }
        let product = product.as_str();
        let installed =
            format!("{place}: {product} has index template {name} for data stream {stream} now\n");
        let answer = self.ask(Method::GET, &format!("/_data_stream/{stream}"), Request::default()).await?;
        Ok(installed
            + &match answer.status {
                200 => format!(
                    "{place}: {stream} is there already and takes the template at its next rollover; POST \
                     {stream}/_rollover makes that now\n"
                ),
                404 => format!("{place}: {stream} is made when the first event arrives\n"),
                _ => format!(
                    "{place}: whether {stream} is there already is not known: {}\n",
                    in_words(&answer)
                ),
            })
    }

    async fn ask(&self, method: Method, target: &str, request: Request) -> anyhow::Result<Answer> {
        let what = format!("{}: {method} {target}", self.place);
        let request = Request { target: target.to_owned().into(), ..request };
        match self.exchange.send(method, request).await {
            Ok((answer, _)) => Ok(answer),
            Err(no_answer) => bail!("{what}: {}", no_answer.reason),
        }
    }
}

/// An answer that is no success.
fn in_words(answer: &Answer) -> String {
    let meaning = match answer.status {
        401 => " (it does not know these credentials)",
        403 => {
            " (these credentials are not allowed to do this: manage_index_templates is needed, and monitor)"
        }
        404 => " (is the URL right?)",
        _ => "",
    };
    let said = said(&answer.body);
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    format!("status {}{meaning}{said}", answer.status)
}
