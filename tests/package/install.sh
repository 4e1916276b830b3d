#!/usr/bin/env bash
# Installs the package on this Debian machine, runs what it brought, and removes it: install.sh [PACKAGE.deb]
#
# Without a package it builds one. Exits with 77 where it cannot run, and leaves the machine as it was.
set -euo pipefail
name=kinesis-autoscaler
skip() { echo "install.sh: SKIPPED, the package is not installed and not tested: $1" >&2; exit 77; }
die() { echo "install.sh: FAILED: $1" >&2; exit 1; }
say() { echo "install.sh: $1"; }

[ "$(id -u)" = 0 ] || skip "this is not root"
command -v apt-get >/dev/null || skip "this is not Debian"
[ -z "$(dpkg-query -W -f '${Status}' $name 2>/dev/null | grep -v unknown)" ] || skip "$name is installed here already"
for path in /etc/$name /etc/default/$name /var/lib/$name /var/lib/private/$name; do
  [ ! -e $path ] || skip "$path is here already, and is not this test's"
done
package=$(realpath "${1:-$("$(dirname "$0")/build.sh")}")

work=$(mktemp -d)
installed() { dpkg-query -W -f '${Package}:${Architecture} ${db:Status-Status}\n' | grep -v not-installed | cut -d' ' -f1 | sort; }
installed >"$work/before"
cleanup() {
  installed >"$work/after"
  comm -13 "$work/before" "$work/after" | xargs -r dpkg --purge >/dev/null
  rm -rf "$work"
}
trap cleanup EXIT

DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >"$work/apt" 2>&1 || { cat "$work/apt"; die "apt-get"; }
say "installed: $(dpkg-query -W -f '${Package} ${Version}, ${Installed-Size} kB, depends on ${Depends}' $name)"

cd /
if command -v systemctl >/dev/null; then
  # It exits with 1 when it says so.
  [ "$(systemctl is-enabled $name.service)" = disabled ] || die "the service has to be disabled: its configuration is not written yet"
fi
conffiles=$(dpkg-query -W -f '${Conffiles}\n' $name)
for path in /etc/$name/config.toml:644 /etc/default/$name:600; do
  grep -q " ${path%:*} " <<<"$conffiles" || die "${path%:*} is no conffile"
  [ "$(stat -c %a:%U "${path%:*}")" = "${path#*:}:root" ] || die "mode of ${path%:*}"
done

$name --version | grep -q "^$name [0-9]" || die "--version"
# As shipped it subscribes nothing, so that nobody's stream is scaled by accident; with a stream it is good.
set +e
$name check --offline >"$work/check" 2>&1
[ $? = 78 ] && grep -q "no stream is subscribed" "$work/check" || die "the configuration as shipped: $(cat "$work/check")"
set -e
$name check --offline --set 'streams=[{name = "orders"}]' >"$work/check" || die "the configuration as shipped is wrong"
env -i PATH="$PATH" $name --sandbox --once --output json >"$work/report" 2>"$work/log" || { cat "$work/log"; die "a tick in the sandbox"; }
grep -q '"action"' "$work/report" || die "the report of the tick: $(cat "$work/report")"
say "it runs: $(grep -o '"action": *"scale[a-z_]*"' "$work/report" | sort | uniq -c | tr -s ' \n' ' ')"
[ ! -e /var/lib/$name ] || die "the sandbox has written to the state directory"

units=/usr/lib/systemd/system/$name
if command -v systemd-analyze >/dev/null; then
  systemd-analyze verify --man=no $units.service $units-once.service $units-once.timer || die "systemd-analyze verify"
else
  say "systemd-analyze is MISSING: the units are not verified"
fi
for page in "" -check -status -history -alarms -scale -table; do
  gzip -t /usr/share/man/man1/$name$page.1.gz || die "man page $name$page"
done
bash -c "source /usr/share/bash-completion/completions/$name && complete -p $name" >/dev/null || die "completions for bash"
for file in zsh/vendor-completions/_$name fish/vendor_completions.d/$name.fish doc/$name/example.toml doc/$name/copyright; do
  [ -s /usr/share/$file ] || die "/usr/share/$file"
done

echo '# edited' >>/etc/$name/config.toml
dpkg -i "$package" >/dev/null 2>&1 || die "a second installation"
tail -1 /etc/$name/config.toml | grep -qx '# edited' || die "a new version overwrites the configuration"
mkdir -p /var/lib/$name
dpkg --remove $name >/dev/null || die "removal"
[ ! -e /usr/bin/$name ] && [ ! -e $units.service ] || die "removal leaves the program"
[ -e /etc/$name/config.toml ] && [ -e /var/lib/$name ] || die "removal takes the configuration or the rows that wait"
dpkg --purge $name >/dev/null || die "purge"
for path in /etc/$name /etc/default/$name /var/lib/$name /usr/share/doc/$name /etc/systemd/system/$name.service; do
  [ ! -e $path ] && [ ! -L $path ] || die "purge leaves $path"
done
say "passed"
