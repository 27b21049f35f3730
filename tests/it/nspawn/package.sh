#!/bin/bash
# The Debian package, from its installation to its purge. Runs as root; /trial holds the package.
. /trial/administrator.sh

gone() { [[ ! -e $1 ]]; }
not() { ! "$@"; }
contains() { grep -q "$1" "$2"; }
state_is_kept() { compgen -G '/var/lib/audit-shipper/*.cursor.json' >/dev/null; }
restarted() { [[ "$(main_pid)" != "$before" && "$(show SubState)" == running ]]; }

make_log
events 1 50 >>"$log"

promise 'install' dpkg --install /trial/audit-shipper.deb
promise 'nothing is left to configure' bash -c '[[ $(dpkg-query --show --showformat="\${Status}" audit-shipper) == "install ok installed" ]]'
promise 'the user is there' id audit-shipper
promise 'the unit is there, and waits for a configuration' not systemctl is-enabled audit-shipper
promise 'it does not run' not systemctl is-active audit-shipper
promise 'the default configuration is one' contains '^outputs:' /etc/audit-shipper/audit-shipper.yaml
promise 'man pages are there' gunzip --test /usr/share/man/man8/audit-shipper.8.gz /usr/share/man/man8/audit-shipper-run.8.gz
promise 'completions are there' bash -c '. /usr/share/bash-completion/completions/audit-shipper && complete -p audit-shipper'
promise 'nothing of the package is for others to write' bash -c '[[ -z $(dpkg --listfiles audit-shipper | xargs -I{} find {} -maxdepth 0 -perm /022 ! -type l) ]]'

# The binary under test in the place of the packaged one, which may be of another build.
install -m 0755 /trial/audit-shipper /usr/bin/audit-shipper
configure
receive receiver 9880 "$received"
promise 'enable' systemctl enable --now audit-shipper
promise 'shipped' arrived 50

before=$(main_pid)
promise 'upgrade' dpkg --install --force-confold /trial/audit-shipper.deb
promise 'an upgrade restarts it' restarted
promise 'an upgrade keeps the configuration' contains kubernetes/audit.log /etc/audit-shipper/audit-shipper.yaml
events 51 60 >>"$log"
promise 'it goes on where it was' arrived 60
cp "$received" /out/

promise 'remove' dpkg --remove audit-shipper
promise 'removed is stopped' not systemctl is-active audit-shipper
promise 'a removal keeps positions and rejected events' state_is_kept
promise 'a removal keeps the configuration' test -e /etc/audit-shipper/audit-shipper.yaml
promise 'purge' dpkg --purge audit-shipper
promise 'a purge takes the state' gone /var/lib/audit-shipper
promise 'a purge takes the configuration' gone /etc/audit-shipper/audit-shipper.yaml
echo done >>/out/results
