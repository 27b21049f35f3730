//! What a plugin is told: `KUBERNETES_EXEC_INFO`.

use serde::Serialize;

use crate::endpoint::report::{Report, Reported};
use crate::endpoint::source::{Cluster, Exec};
use crate::endpoint::tls;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    kind: &'a str,
    api_version: &'a str,
    spec: InfoSpec<'a>,
}

#[derive(Serialize)]
struct InfoSpec<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterInfo<'a>>,
    interactive: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterInfo<'a> {
    server: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_server_name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    insecure_skip_tls_verify: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_authority_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_url: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_compression: bool,
}

/// What a plugin is told of the cluster and of itself.
pub(super) fn info(exec: &Exec, cluster: &Cluster, report: &mut Report<'_>) -> Result<String, Reported> {
    let is_wanted = exec.provide_cluster_info.unwrap_or_default();
    let cluster = if is_wanted {
        Some(ClusterInfo {
            server: cluster.server.or_empty(),
            tls_server_name: cluster.tls_server_name.get(),
            insecure_skip_tls_verify: cluster.insecure(),
            certificate_authority_data: tls::authority_data(cluster, report)?,
            proxy_url: cluster.proxy_url.get(),
            disable_compression: cluster.disable_compression(),
        })
    } else {
        None
    };
    let api_version = exec.api_version.or_empty();
    let info = Info { kind: "ExecCredential", api_version, spec: InfoSpec { cluster, interactive: false } };
    serde_json::to_string(&info).map_err(|error| report.error(0, "exec.provideClusterInfo", error))
}
