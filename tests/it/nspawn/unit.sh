#!/bin/bash
# The unit, from its first start to a wrong configuration. Runs as root before anything of ours is installed; /trial holds
# the files under test.
. /trial/administrator.sh

of_process() { grep -q "^$1:[[:space:]]*$2\$" "/proc/$(main_pid)/status"; }
arrived_elsewhere() { (($(wc -l </var/log/elsewhere.ndjson) >= $1)); }
metrics() {
    exec 3<>/dev/tcp/127.0.0.1/9465
    printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
    cat <&3
}
buffered() { metrics | grep -q "^audit_shipper_buffered_events{output=\"webhook\"} $1\$"; }

make_log
events 1 100 >>"$log"
install -m 0755 /trial/audit-shipper /usr/bin/audit-shipper
install -m 0644 /trial/audit-shipper.service /usr/lib/systemd/system/audit-shipper.service
install -m 0644 /trial/audit-shipper.conf /usr/lib/sysusers.d/audit-shipper.conf
systemd-sysusers
configure

promise 'verify' systemd-analyze verify /usr/lib/systemd/system/audit-shipper.service
promise 'security' systemd-analyze security --offline=true --threshold=20 /usr/lib/systemd/system/audit-shipper.service

receive receiver 9880 "$received"

# Started is: ready.
promise 'start' systemctl start audit-shipper
promise 'shipped' arrived 100
promise 'user' is User audit-shipper
promise 'uid' of_process Uid "$(printf '%s\t' {,,,}"$(id -u audit-shipper)" | sed 's/\t$//')"
# CAP_DAC_READ_SEARCH alone, number 2.
promise 'capabilities' of_process CapEff 0000000000000004
promise 'bounding set' of_process CapBnd 0000000000000004
promise 'secrets are hidden' bash -c "[[ \$(stat -c %a /proc/$(main_pid)/root/etc/shadow) == 0 ]]"
promise 'the log is read-only' bash -c "! nsenter --target $(main_pid) --mount sh -c ': >>$log'"
promise 'the token is a credential' bash -c "[[ \$(stat -c %a /run/credentials/audit-shipper.service/token) == 400 ]]"
promise 'state directory' bash -c '[[ $(stat -c "%U %a" /var/lib/audit-shipper) == "audit-shipper 700" ]]'
in_its_view() { nsenter --target "$(main_pid)" --mount "$@"; }
names_its_node() { in_its_view audit-shipper check --config /etc/audit-shipper/audit-shipper.yaml | grep -q "node: \"$(uname -n)\""; }
promise 'the node is known although /proc is hidden' names_its_node
promise 'status' bash -c 'systemctl status audit-shipper | grep -q "Status: \"webhook: .*level"'

# Reloaded is: what is written from now on goes where the kubeconfig says now.
receive elsewhere 9881 /var/log/elsewhere.ndjson
sed 's/PORT/9881/' /trial/webhook.kubeconfig >/etc/audit-shipper/webhook.kubeconfig.new
mv /etc/audit-shipper/webhook.kubeconfig.new /etc/audit-shipper/webhook.kubeconfig
promise 'reload' systemctl reload audit-shipper
promise 'reloaded' is ActiveState active
events 101 110 >>"$log"
promise 'reload took effect' arrived_elsewhere 10
sed 's/PORT/9880/' /trial/webhook.kubeconfig >/etc/audit-shipper/webhook.kubeconfig
systemctl reload audit-shipper

# The endpoint is away, retention deletes what was not shipped, and the process is killed: systemd holds the file.
systemctl stop receiver
events 111 200 >>"$log"
mv "$log" /var/log/kubernetes/audit-2026-11-22T02-09-48.548.log
install -m 0600 /dev/null "$log"
events 201 210 >>"$log"
promise 'the store holds both files' is NFileDescriptorStore 2
rm /var/log/kubernetes/audit-2026-11-22T02-09-48.548.log
promise 'the store holds the deleted file' is NFileDescriptorStore 2
systemctl kill --signal=KILL audit-shipper
promise 'restarted after a crash' is NRestarts 1
promise 'running after a crash' is SubState running
receive receiver2 9880 "$received"
promise 'nothing is lost in a crash under retention' arrived 200
promise 'the store is emptied again' is NFileDescriptorStore 1

# A process that hangs is restarted; one that a busy machine lets wait for some seconds is not.
override WatchdogSec=6s
systemctl restart audit-shipper
promise 'running with a short watchdog' is SubState running
kill -STOP "$(main_pid)"
promise 'watchdog' bash -c 'journalctl --unit=audit-shipper | grep -q "Watchdog timeout"'
promise 'restarted by the watchdog' is SubState running
events 211 220 >>"$log"
promise 'shipped after the watchdog' arrived 210

# A stop takes the grace that is configured, though the unit allows less.
override WatchdogSec=6s TimeoutStopSec=1s
systemctl kill --signal=STOP receiver2
systemctl restart audit-shipper
events 221 230 >>"$log"
promise 'a batch is under way' buffered 10
systemctl stop audit-shipper
promise 'stopped in order, in its own time' is Result success
promise 'the grace was used' bash -c 'journalctl --unit=audit-shipper | grep -q "the grace is over"'
systemctl kill --signal=CONT receiver2
promise 'start again' systemctl start audit-shipper
promise 'what was under way is sent again' bash -c "grep -q '$(events 230 230 | grep -o '"auditID":"[^"]*"')' $received"

# A wrong configuration is no reason to try again and again.
systemctl stop audit-shipper
echo 'outputs: 7' >/etc/audit-shipper/audit-shipper.yaml
systemctl start audit-shipper
promise 'a wrong configuration fails' is Result exit-code
promise 'with its own status' is ExecMainStatus 78
promise 'and is not tried again' is SubState failed

cp "$received" /var/log/elsewhere.ndjson /out/
echo done >>/out/results
