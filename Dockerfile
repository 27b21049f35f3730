# The image is the daemon and the authorities that it trusts: no shell, no library, no package. What it copies is put into
# target/image by `.ci/image`, which builds the image too. To build it with docker:
#
#     BUILDER=docker .ci/image
#
# or step by step, on a machine with glibc 2.35 or later:
#
#     RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --release --target "$(rustc --print host-tuple)"
#     install -D target/*-linux-gnu/release/audit-shipper target/image/root/usr/bin/audit-shipper
#     install -D -m 0644 /etc/ssl/certs/ca-certificates.crt target/image/root/etc/ssl/certs/ca-certificates.crt
#     install -d -m 0700 target/image/state
#     docker build --tag audit-shipper .
FROM scratch
ARG VERSION=unknown
LABEL org.opencontainers.image.title="audit-shipper" \
    org.opencontainers.image.description="Ships kube-apiserver's rotated audit log from a control-plane node to a remote endpoint" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION"
COPY target/image/root/ /
COPY --chown=65532:65532 target/image/state/ /var/lib/audit-shipper/
# Nobody in particular. Whoever has to read a log that only its owner may read runs it as that owner, with no capability: see
# config/kubernetes/base/daemonset.yaml.
USER 65532:65532
EXPOSE 9465
ENTRYPOINT ["/usr/bin/audit-shipper"]
CMD ["run", "--config", "/etc/audit-shipper/config/audit-shipper.yaml"]
