#!/usr/bin/env bash
# Boots a Debian with a real systemd in a container, installs the package there, and puts the units to the test:
# start, watchdog, reload, freeze, stop, wrong configuration, notification, timer, upgrade, removal. boot.sh [PACKAGE.deb]
#
# Without a package it builds one. It needs root, systemd-nspawn and debootstrap, and once the package mirror, for the root
# folder in target/systemd. Exits with 77 where it cannot run. What runs inside is inside.sh.
set -euo pipefail
here=$(realpath "$(dirname "$0")")
cache=${CARGO_TARGET_DIR:-$here/../../target}/systemd
skip() { echo "boot.sh: SKIPPED, the units are not tested under a real systemd: $1" >&2; exit 77; }

[ "$(id -u)" = 0 ] || skip "this is not root"
for tool in systemd-nspawn:systemd-container debootstrap:debootstrap; do
  command -v "${tool%:*}" >/dev/null ||
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${tool#*:}"; } >/dev/null 2>&1 ||
    skip "${tool%:*} is missing and cannot be installed"
done
mkdir -p "$cache"
cache=$(realpath "$cache")
if [ ! -x "$cache/bookworm/usr/bin/curl" ]; then
  rm -rf "$cache/part" "$cache/bookworm"
  # curl is for the command that notifies.
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates,curl bookworm "$cache/part" >"$cache/debootstrap.log" 2>&1 ||
    skip "debootstrap fails: $(tail -1 "$cache/debootstrap.log")"
  mv "$cache/part" "$cache/bookworm"
fi
package=$(realpath "${1:-$("$here/../package/build.sh")}")

work=$(mktemp -d "$cache/run.XXXXXX")
nspawn=
cleanup() {
  [ -z "$nspawn" ] || kill "$nspawn" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap cleanup EXIT
cp -a "$cache/bookworm" "$work/root"
mkdir -p "$work/root/test"
cp "$here/inside.sh" "$work/root/test/"
cp "$package" "$work/root/test/package.deb"
cat >"$work/root/etc/systemd/system/inside.service" <<'UNIT'
[Unit]
Description=The test
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/bash /test/inside.sh
StandardOutput=append:/test/log
StandardError=append:/test/log
TimeoutStartSec=5min
UNIT
ln -s ../inside.service "$work/root/etc/systemd/system/multi-user.target.wants/inside.service"

# No network but the container's own loopback: nothing here may reach AWS.
timeout --kill-after=10 360 systemd-nspawn --quiet -D "$work/root" --machine=kinesis-autoscaler-test --private-network \
  --register=no --keep-unit --console=pipe --boot </dev/null >"$work/console" 2>&1 &
nspawn=$!
wait "$nspawn" || true
nspawn=
cat "$work/root/test/log" 2>/dev/null || true
if [ ! -e "$work/root/test/log" ] && ! grep -q 'systemd 25[0-9]' "$work/console"; then
  skip "systemd-nspawn cannot boot here: $(tail -1 "$work/console")"
fi
[ -e "$work/root/test/passed" ] || { tail -40 "$work/console"; echo "boot.sh: FAILED" >&2; exit 1; }
echo "boot.sh: passed"
