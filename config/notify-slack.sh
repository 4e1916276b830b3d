#!/usr/bin/env bash
# Posts a notification of kinesis-autoscaler to a Slack channel. Copy it to /usr/local/bin, and set
#
#   [notify]
#   command = ["/usr/local/bin/notify-slack.sh"]
#
# in the configuration, and SLACK_WEBHOOK_URL=https://hooks.slack.com/services/... in
# /etc/default/kinesis-autoscaler. It needs curl.
set -euo pipefail

: "${SLACK_WEBHOOK_URL:?is not set}"

event=$(cat)

# A text of the event. It stays escaped as in JSON, because it goes into JSON again; Slack wants
# three more characters escaped.
text() {
  printf '%s' "$event" | sed -nE 's/.*"'"$1"'":"(([^"\\]|\\.)*)".*/\1/p' |
    sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g'
}

message="*$(text summary)*"
for member in detail hint; do
  line=$(text "$member")
  [ -z "$line" ] || message+="\\n$line"
done
message+="\\n_$(text host), $(text time)_"

# The URL is a secret: as an argument it would show in the list of processes.
printf 'url = "%s"\n' "$SLACK_WEBHOOK_URL" |
  curl --config - --silent --show-error --fail --max-time 8 \
    --header 'Content-Type: application/json' --data-raw "{\"text\":\"$message\"}"
