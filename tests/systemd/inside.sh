#!/usr/bin/env bash
# Runs inside the container that boot.sh boots, as root, with the package as /test/package.deb; writes /test/passed at the end.
set -euo pipefail
name=kinesis-autoscaler
config=/etc/$name/config.toml

say() { echo "boot.sh: $1"; }
die() {
  echo "boot.sh: FAILED: $1"
  systemctl status --no-pager --full $name.service $name-once.service $name-once.timer || true
  journalctl --no-pager --quiet -u $name -u $name-once | tail -40
  exit 1
}
trap 'die "line $LINENO: $BASH_COMMAND"' ERR

# Asks until it is so; only a failure waits for long.
until_true() {
  local what=$1 deadline=$((SECONDS + 30))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || die "never came: $what"
    sleep 0.1
  done
}
property() { systemctl show --property "$2" --value "$1"; }
is() { [ "$(property "$1" "$2")" = "$3" ] || die "$1: $2 is $(property "$1" "$2"), not $3"; }
pid() { property $name.service MainPID; }
# Since a mark that `mark` sets, so that earlier lines do not count.
mark() { cursor=$(journalctl --quiet --lines=0 --show-cursor | sed -n 's/^-- cursor: //p'); }
logged() { journalctl --quiet --no-pager --after-cursor="$cursor" -u $name -u $name-once -o cat | grep -q -- "$1"; }
drop_in() {
  mkdir -p "/etc/systemd/system/$1.d"
  cat >"/etc/systemd/system/$1.d/test.conf"
  systemctl daemon-reload
}
write_config() {
  cat >"$config" <<TOML
schedule = "*/3 * * * * *"
call_timeout = "1s"
[aws]
region = "eu-west-1"
[log]
table = "autoscaler-log"
[[streams]]
name = "${1:-orders}"
TOML
}

systemd-analyze --version | head -1

# Installation starts nothing.
dpkg --install /test/package.deb >/dev/null
[ "$(systemctl is-enabled $name.service)" = disabled ]
[ "$(systemctl is-enabled $name-once.timer)" = disabled ]
is $name.service ActiveState inactive
is $name-once.timer ActiveState inactive
say "installed, and nothing started"

# Start, with AWS out of reach.
write_config
cat >>/etc/default/$name <<ENV
AWS_ENDPOINT_URL=http://127.0.0.1:9
AWS_ACCESS_KEY_ID=test
AWS_SECRET_ACCESS_KEY=test
ENV
# A person has run a tick as root before: what that has written becomes the service's.
set -a
. /etc/default/$name
set +a
if $name --once >/dev/null 2>&1; then die "a tick succeeds with AWS out of reach"; fi
[ "$(stat -c %U /var/lib/$name/lock)" = root ] || die "a tick as root has written no state"
drop_in $name.service <<UNIT
[Service]
WatchdogSec=3s
RestartSec=100ms
UNIT
mark
systemctl enable --quiet --now $name.service
is $name.service ActiveState active
is $name.service SubState running
until_true "a tick" sh -c "systemctl show -p StatusText --value $name.service | grep -q ."
say "started with AWS out of reach; status: $(property $name.service StatusText)"

# The user, the state directory, and what is left of the rights.
main=$(pid)
user=$(stat -c %u "/proc/$main")
[ "$user" -ge 61184 ] && [ "$user" -le 65519 ] || die "the user $user is no dynamic one"
grep -q '^CapEff:.0000000000000000$' "/proc/$main/status"
grep -q '^CapBnd:.0000000000000000$' "/proc/$main/status"
grep -q '^NoNewPrivs:.1$' "/proc/$main/status"
grep -q '^Seccomp:.2$' "/proc/$main/status"
[ "$(stat -L -c %a:%u /var/lib/$name)" = "700:$user" ] || die "the state directory: $(stat -L -c %a:%u /var/lib/$name)"
for file in /var/lib/$name/*; do
  [ "$(stat -c %u "$file")" = "$user" ] || die "$file is not the service's"
done
[ -e /var/lib/$name/lock ] || die "the state directory is not in use"
say "runs as user $user, without capabilities, behind the filter"

# The watchdog is fed: it outlives its period.
first=$(property $name.service WatchdogTimestampMonotonic)
later() { [ "$(property $name.service WatchdogTimestampMonotonic)" -gt $((first + 7000000)) ]; }
until_true "the watchdog's pings" later
is $name.service NRestarts 0
[ "$(pid)" = "$main" ]
say "outlives the watchdog"

# Reload: a good configuration, then a wrong one.
mark
write_config clicks
systemctl reload $name.service
until_true "the reload" logged "the new configuration is in force"
mark
echo 'nonsense = 1' >$config
if systemctl reload $name.service 2>/dev/null; then die "a reload of a wrong configuration succeeds"; fi
until_true "the wrong key in the log" logged nonsense
is $name.service ActiveState active
# Whoever signals the process itself is answered by it.
mark
systemctl kill --kill-whom=main --signal=HUP $name.service
until_true "the refusal" logged "the old one stays in force"
logged nonsense || die "the log does not name the wrong key"
until_true "the refusal in the status" sh -c "systemctl show -p StatusText --value $name.service | grep -q 'reload was refused'"
until_true "the state after the reload" sh -c "systemctl show -p SubState --value $name.service | grep -qx running"
is $name.service ActiveState active
[ "$(pid)" = "$main" ] || die "a reload has restarted the service"
write_config
say "reloads, and keeps the old configuration when the new one is wrong"

# Freeze: the watchdog acts.
mark
kill -STOP "$main"
restarted() { [ "$(property $name.service NRestarts)" = 1 ] && [ "$(property $name.service SubState)" = running ]; }
until_true "the watchdog's restart" restarted
[ "$(pid)" != "$main" ]
until_true "the watchdog's word" sh -c "journalctl --quiet --no-pager -u $name | grep -q 'Watchdog timeout'"
say "frozen, and restarted by the watchdog"

# Killed: restarted.
main=$(pid)
kill -KILL "$main"
until_true "the restart" sh -c "systemctl show -p NRestarts --value $name.service | grep -qx 2"
until_true "running" sh -c "systemctl show -p SubState --value $name.service | grep -qx running"

# Stop.
before=$SECONDS
systemctl stop $name.service
[ $((SECONDS - before)) -le 10 ] || die "the stop took $((SECONDS - before)) s"
is $name.service ActiveState inactive
is $name.service Result success
is $name.service ExecMainStatus 0
say "stops"

# Notifications: the command runs in the sandbox of the service, here a script that keeps what it gets and sees, and then posts
# it by the shipped script and curl to a server that keeps the request.
systemctl stop $name.service
install -m 755 /usr/share/doc/$name/notify-slack.sh /usr/local/bin/
cat >/usr/local/bin/notify <<'SCRIPT'
#!/bin/sh
set -eu
event=$(cat)
seen=$STATE_DIRECTORY/seen-$(printf '%s' "$event" | sed 's/.*"kind":"\([a-z_]*\)".*/\1/')
{
  printf '%s\n' "$event"
  echo "user $(id -u)"
  grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status
  echo mine >/tmp/of-the-command && echo "has a /tmp"
  for place in /etc /usr/local/bin /var/lib /home; do
    (: >"$place/of-the-command") 2>/dev/null && echo "writes to $place"
  done
  echo "arguments $*"
} >"$seen.part" 2>&1
mv "$seen.part" "$seen"
printf '%s' "$event" | /usr/local/bin/notify-slack.sh
SCRIPT
chmod 755 /usr/local/bin/notify
cat >/etc/systemd/system/hook.socket <<'UNIT'
[Socket]
ListenStream=127.0.0.1:8099
Accept=yes
UNIT
cat >/etc/systemd/system/hook@.service <<'UNIT'
[Service]
StandardInput=socket
StandardOutput=socket
ExecStart=/bin/bash /usr/local/bin/hook
UNIT
cat >/usr/local/bin/hook <<'SCRIPT'
while IFS= read -r line && [ "$line" != $'\r' ]; do
  case ${line,,} in content-length:*) length=$(tr -dc 0-9 <<<"$line") ;; esac
done
{ head -c "$length"; echo; } >>/run/hook
printf 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'
SCRIPT
systemctl daemon-reload
systemctl start hook.socket
# A name, so that curl has to look it up.
echo 127.0.0.1 hook.example >>/etc/hosts
echo SLACK_WEBHOOK_URL=http://hook.example:8099/hook >>/etc/default/$name
write_config
printf '[notify]\ncommand = ["/usr/local/bin/notify", "--team", "data"]\n' >>$config
mark
# The daemon, then a single run: their sandboxes have the same lines.
for unit in $name.service $name-once.service; do
  rm -rf /run/hook /var/lib/private/$name/{seen-failed,notifications.json}
  # As long as AWS is out of reach, a single run fails.
  systemctl start $unit || [ $unit = $name-once.service ]
  until_true "the command of $unit" [ -e /var/lib/private/$name/seen-failed ]
  until_true "the request of curl" grep -q '^{"text":"\*orders (eu-west-1): failing\*\\n' /run/hook
  seen=$(cat /var/lib/private/$name/seen-failed)
  event=$(head -1 <<<"$seen")
  for part in '"id":"' '"kind":"failed"' '"state":"begin"' '"stream":"orders"' '"region":"eu-west-1"' '"shards_before":null' \
    '"detail":"' '"hint":"' '"time":"' "\"host\":\"$(hostname)\""; do
    grep -qF "$part" <<<"$event" || die "$part is not in the event: $event"
  done
  user=$(sed -n 's/^user //p' <<<"$seen")
  [ "$user" -ge 61184 ] && [ "$user" -le 65519 ] || die "the command's user $user is no dynamic one"
  for line in $'^CapEff:\t0*$' $'^NoNewPrivs:\t1$' $'^Seccomp:\t2$' '^has a /tmp$' '^arguments --team data$'; do
    grep -q "$line" <<<"$seen" || die "$line: $seen"
  done
  if grep '^writes to' <<<"$seen"; then die "the command is not in the sandbox"; fi
  [ ! -e /tmp/of-the-command ] || die "the command's /tmp is everybody's"
  if logged 'could not be delivered'; then die "a notification was not delivered"; fi
  systemctl stop $unit
done
systemctl reset-failed $name-once.service || true
say "notifies by a command, in the sandbox, as user $user"

# A wrong configuration is no reason to try again.
echo 'nonsense = 1' >$config
if systemctl start $name.service 2>/dev/null; then die "starts with a wrong configuration"; fi
is $name.service ActiveState failed
is $name.service ExecMainStatus 78
is $name.service NRestarts 0
systemctl reset-failed $name.service
say "a wrong configuration stops it for good, with status 78"

# The configuration as a credential, for root only.
write_config
chmod 600 $config
cat >/etc/systemd/system/$name.service.d/credential.conf <<'UNIT'
[Service]
LoadCredential=config.toml:/etc/kinesis-autoscaler/config.toml
Environment=KINESIS_AUTOSCALER_CONFIG=%d/config.toml
UNIT
systemctl daemon-reload
systemctl start $name.service
is $name.service SubState running
rm /etc/systemd/system/$name.service.d/credential.conf
systemctl daemon-reload
chmod 644 $config
say "reads a configuration that only root can read, as a credential"

# The timer takes the daemon's place, and runs again and again, whatever the run's result.
# Beside the timer's own 60 s: an empty value would take OnBootSec away, too.
drop_in $name-once.timer <<'UNIT'
[Timer]
OnUnitInactiveSec=1s
RandomizedDelaySec=0
UNIT
mark
systemctl start $name-once.timer
until_true "the end of the daemon" sh -c "systemctl show -p ActiveState --value $name.service | grep -qx inactive"
ended() {
  local runs
  runs=$(journalctl --quiet --no-pager --after-cursor="$cursor" -o cat -u $name-once | grep -c 'Deactivated successfully\|Failed with result')
  [ "$runs" -ge "$1" ]
}
until_true "two runs of the timer" ended 2
is $name-once.timer ActiveState active
is $name-once.service ExecMainStatus 1
say "the timer runs again and again, with AWS out of reach"
drop_in $name-once.service <<UNIT
[Service]
ExecStart=
ExecStart=/usr/bin/$name --sandbox --once
UNIT
succeeded() { [ "$(property $name-once.service Result)" = success ] && logged 'Deactivated successfully'; }
mark
until_true "a good run of the timer" succeeded
systemctl stop $name-once.timer
until_true "the end of the run" sh -c "systemctl show -p ActiveState --value $name-once.service | grep -qx 'inactive\|failed'"
say "the timer runs the sandbox to a good end"

# And back: the daemon, on a day at speed in the sandbox.
rm -r /etc/systemd/system/$name.service.d
drop_in $name.service <<UNIT
[Service]
ExecStart=
ExecStart=/usr/bin/$name --sandbox
UNIT
systemctl start $name.service
until_true "a tick in the sandbox" sh -c "systemctl show -p StatusText --value $name.service | grep -q ."
say "in the sandbox; status: $(property $name.service StatusText)"

# Upgrade: what runs is restarted, what is edited is kept. Removal stops it; purge takes everything.
main=$(pid)
dpkg --install /test/package.deb >/dev/null
until_true "the restart by the upgrade" sh -c "systemctl show -p SubState --value $name.service | grep -qx running"
[ "$(pid)" != "$main" ] || die "an upgrade leaves the old program running"
[ "$(systemctl is-enabled $name.service)" = enabled ]
dpkg --remove $name >/dev/null
[ "$(property $name.service ActiveState)" = inactive ] || die "removal leaves it running"
[ -e $config ] && [ -e /var/lib/private/$name/lock ]
dpkg --purge $name >/dev/null
[ ! -e /var/lib/private/$name ] && [ ! -e $config ]
say "upgraded, removed, purged"
touch /test/passed
