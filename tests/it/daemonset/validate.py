"""Reads rendered manifests, and asks others' schemas about them, without a network: Kubernetes' own for everything that it knows, in
the oldest and the newest version that the package has, where a field that no schema has is an error; and the model of Prometheus'
operator for a PodMonitor. That one lets unknown fields pass, but does not keep them.

What no schema sees: whether names lead to something that exists, admission (PodSecurity, quotas), and what the cluster defaults.
"""

import pathlib
import sys

try:
    import kubernetes_validate
    import yaml
    from cloudcoil.models.prometheus_operator import v1 as prometheus_operator
except ImportError as error:
    print(f"{error}: pip install kubernetes-validate cloudcoil-models-prometheus-operator", file=sys.stderr)
    sys.exit(77)

schemas = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
versions = sorted(tuple(map(int, path.name[1:].split("-")[0].split("."))) for path in schemas.glob("v*-local-strict"))
seen = []
for manifest in sys.argv[1:]:
    for document in yaml.safe_load_all(pathlib.Path(manifest).read_text()):
        seen.append(document["kind"])
        if document["kind"] == "PodMonitor":
            model = prometheus_operator.PodMonitor.model_validate(document)
            kept = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
            assert kept == document, f"of\n{document}\nis known\n{kept}"
        else:
            for version in (versions[0], versions[-1]):
                kubernetes_validate.validate(document, ".".join(map(str, version[:2])), strict=True)
print(*seen)
