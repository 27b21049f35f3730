# What the trials share: sourced by them, in a booted Debian tree. What a trial finds goes to /out/results, a line for each
# promise: `ok NAME`, or `FAILED NAME` with what was found instead, which ends the trial.
set -u
log=/var/log/kubernetes/audit.log
received=/var/log/received.ndjson

# Waits until a command succeeds.
wait_for() {
    local until=$((SECONDS + 150))
    until "$@" &>/dev/null; do
        ((SECONDS < until)) || return 1
        sleep 0.05
    done
}

# A promise, and the command that succeeds if it is kept.
promise() {
    local name=$1
    shift
    if wait_for "$@"; then
        echo "ok $name" >>/out/results
    else
        echo "FAILED $name: $*: $("$@" 2>&1 | tail -n 3)" >>/out/results
        # What comes after it would fail for the same reason.
        exit 1
    fi
}

show() { systemctl show --value --property="$1" audit-shipper; }
is() { [[ "$(show "$1")" == "$2" ]]; }
main_pid() { show MainPID; }
arrived() { (($(wc -l <"$received") >= $1)); }
events() { sed -n "$1,$2p" /trial/events.ndjson; }

# The log as kube-apiserver makes it: for root alone.
make_log() {
    install -d -m 0700 /var/log/kubernetes
    install -m 0600 /dev/null "$log"
}

# A drop-in for the unit.
override() {
    mkdir -p /run/systemd/system/audit-shipper.service.d
    printf '[Service]\n%s\n' LoadCredential=token:/etc/audit-shipper/credentials/token "$@" \
        >/run/systemd/system/audit-shipper.service.d/trial.conf
    systemctl daemon-reload
}

# Where the unit is told to send to.
configure() {
    install -D -m 0644 /trial/audit-shipper.yaml /etc/audit-shipper/audit-shipper.yaml
    install -m 0644 /trial/ca.pem /etc/audit-shipper/ca.pem
    sed 's/PORT/9880/' /trial/webhook.kubeconfig >/etc/audit-shipper/webhook.kubeconfig
    install -d -m 0700 /etc/audit-shipper/credentials
    install -m 0600 /trial/token /etc/audit-shipper/credentials/token
    override
}

# An endpoint: the name of its unit, its port, its file.
receive() {
    systemd-run --quiet --unit="$1" /usr/bin/audit-shipper receive --bind-address="127.0.0.1:$2" --output="$3" \
        --tls-cert=/trial/server.pem --tls-key=/trial/server-key.pem --token-file=/trial/token
    wait_for bash -c "exec 3<>/dev/tcp/127.0.0.1/$2"
}
