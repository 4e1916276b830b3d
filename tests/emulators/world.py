"""Fills emulated AWS services for a test, and reads them out again: JSON in on standard input, JSON out on standard output.

world.py seed     {…services, "streams": [STREAM, …], "table": {"name": …, "items": [raw item, …]}} -> {}
world.py dump     {…services, "table": {"name": …}} -> {"streams": {name: summary}, "alarms": {name: all fields}, "items": [raw item, …]}
world.py state    {…services, "alarms": {name: state}} -> {}
world.py active   {…services, "streams": [{"name": …}, …]} -> {} once all of them are ACTIVE
world.py calls    {…services, "calls": URL, "from": N} -> [call, …], the recorder's notes from the Nth on (recorder.py)
world.py topic    {…services, "name": NAME} -> {"arn": of a new topic, "queue": URL of a queue that it is subscribed by}
world.py messages {…services, "queue": URL} -> [body, …], all that the queue has
world.py serve    a line {"command": one of the above, …its object} at a time, each answered by a line, until standard input ends

services: "region", and the endpoints "kinesis", "cloudwatch", "dynamodb"; for topics "sns" and "sqs", too.
STREAM:   "name", "shards" (null: there is no such stream), "mode" ("PROVISIONED"), "alarm_name" ("{stream}-{direction}-alarm"),
          "up" and "down": ALARM, or null for none; "traffic": [[bytes, records] or null of each 300 s, the last full period last], or so many later: "periods_ahead" (0).
ALARM:    "state" ("OK"), "shard_count" (the stream's own; null: no such query), "stream" (its own name; null: no incoming metric),
          "actions_enabled" (true), "fields": further members of PutMetricAlarm, or others in place of the usual ones (null: left out).
"""

import datetime
import json
import sys
import time
import urllib.request

import boto3
import botocore.config
import botocore.model

PERIOD_SECONDS = 300
METRICS_PER_CALL = 1000
ACTIVE_SECONDS = 60


class Services:
    """Clients of the three services."""

    def __init__(self, spec):
        self.kinesis = client("kinesis", spec)
        self.dynamodb = client("dynamodb", spec)
        # boto3 would rather speak JSON with CloudWatch. In CBOR, AWS's own client proves what the gateway writes.
        usual = botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS
        botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS = ("smithy-rpc-v2-cbor",)
        self.cloudwatch = client("cloudwatch", spec)
        botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS = usual


def client(service, spec):
    return boto3.client(
        service,
        region_name=spec["region"],
        endpoint_url=spec[service],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=botocore.config.Config(proxies={}),
    )


def seed(aws, spec):
    """Creates everything; the alarms' states come last, as CloudWatch sets them after their definition."""
    for stream in spec.get("streams", []):
        if stream.get("shards"):
            create_stream(aws.kinesis, stream)
    active(aws, spec)
    states = {}
    for stream in spec.get("streams", []):
        for direction in ("up", "down"):
            alarm = stream.get(direction)
            if alarm is not None:
                definition = metric_alarm(stream, f"scale-{direction}", alarm)
                aws.cloudwatch.put_metric_alarm(**definition)
                states[definition["AlarmName"]] = alarm.get("state", "OK")
        put_traffic(aws.cloudwatch, stream["name"], stream.get("traffic") or [], stream.get("periods_ahead", 0))
    if table := spec.get("table"):
        create_log_table(aws.dynamodb, table)
    state(aws, {"alarms": states})
    return {}


def create_stream(kinesis, stream):
    on_demand = stream.get("mode") == "ON_DEMAND"
    shards = {} if on_demand else {"ShardCount": stream["shards"]}
    mode = {"StreamMode": stream.get("mode", "PROVISIONED")}
    kinesis.create_stream(StreamName=stream["name"], StreamModeDetails=mode, **shards)


def metric_alarm(stream, direction, alarm):
    """The usual alarm of the original's documentation, with every field that a careful operator may have set."""
    name = stream.get("alarm_name", "{stream}-{direction}-alarm").format(stream=stream["name"], direction=direction)
    up = direction == "scale-up"
    topic = f"arn:aws:sns:eu-west-1:123456789012:{stream['name']}"
    fields = {
        "AlarmName": name,
        "AlarmDescription": f"{direction} of {stream['name']}; runbook: https://wiki.example.com/streams?a=1&b=2",
        "ActionsEnabled": alarm.get("actions_enabled", True),
        "OKActions": [f"{topic}-ok"],
        "AlarmActions": [f"{topic}-{direction}", f"{topic}-pager"],
        "InsufficientDataActions": [f"{topic}-insufficient"],
        "EvaluationPeriods": 1 if up else 288,
        "DatapointsToAlarm": 1 if up else 287,
        "Threshold": 0.75 if up else 0.25,
        "ComparisonOperator": f"{'Greater' if up else 'LessThan'}{'Than' if up else ''}OrEqualToThreshold",
        "TreatMissingData": "ignore",
        "Metrics": queries(stream, alarm),
        "Tags": [{"Key": "team", "Value": "streams"}, {"Key": "direction", "Value": direction}],
    }
    fields |= alarm.get("fields", {})
    return {name: value for name, value in fields.items() if value is not None}


def queries(stream, alarm):
    """shardCount, the incoming metrics, and the usage that they make."""
    shard_count = alarm.get("shard_count", str(stream.get("shards") or 1))
    measured = alarm.get("stream", stream["name"])
    made = []
    if shard_count is not None:
        made.append({"Id": "shardCount", "Expression": shard_count, "Label": "Shard count", "ReturnData": False, "Period": 300})
    if measured is not None:
        made += [incoming("incomingBytes", "IncomingBytes", measured), incoming("incomingRecords", "IncomingRecords", measured)]
    made += [
        expression("bytesFilled", "FILL(incomingBytes,0)", "Incoming bytes, filled"),
        expression("recordsFilled", "FILL(incomingRecords,0)", "Incoming records, filled"),
        expression(
            "usage",
            "MAX([bytesFilled/(1024*1024*60*5*shardCount),recordsFilled/(1000*60*5*shardCount)])",
            "Usage, 1 = full",
            return_data=True,
        ),
    ]
    return made


def incoming(id, metric, stream):
    return {
        "Id": id,
        "Label": f"{metric} of {stream}",
        "AccountId": "123456789012",
        "ReturnData": False,
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/Kinesis",
                "MetricName": metric,
                "Dimensions": [{"Name": "StreamName", "Value": stream}],
            },
            "Period": PERIOD_SECONDS,
            "Stat": "Sum",
        },
    }


def expression(id, text, label, return_data=False):
    return {"Id": id, "Expression": text, "Label": label, "ReturnData": return_data}


def put_traffic(cloudwatch, stream, traffic, periods_ahead):
    """One datum per metric and period: moto does not refuse the namespace, which is AWS's own."""
    now = datetime.datetime.now(datetime.UTC).timestamp()
    end = now - now % PERIOD_SECONDS + periods_ahead * PERIOD_SECONDS
    data = []
    for age, sums in enumerate(reversed(traffic), start=1):
        if sums is None:
            continue
        at = datetime.datetime.fromtimestamp(end - age * PERIOD_SECONDS, datetime.UTC)
        dimensions = [{"Name": "StreamName", "Value": stream}]
        for metric, value, unit in (("IncomingBytes", sums[0], "Bytes"), ("IncomingRecords", sums[1], "Count")):
            data.append({"MetricName": metric, "Dimensions": dimensions, "Timestamp": at, "Value": value, "Unit": unit})
    for start in range(0, len(data), METRICS_PER_CALL):
        cloudwatch.put_metric_data(Namespace="AWS/Kinesis", MetricData=data[start : start + METRICS_PER_CALL])


def create_log_table(dynamodb, table):
    """The original's table: stream and time of scaling, pay per request, with a time to live."""
    dynamodb.create_table(
        TableName=table["name"],
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "stream_name", "KeyType": "HASH"},
            {"AttributeName": "scaling_datetime", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "stream_name", "AttributeType": "S"},
            {"AttributeName": "scaling_datetime", "AttributeType": "S"},
        ],
    )
    ttl = {"AttributeName": "expiration_datetime", "Enabled": True}
    dynamodb.update_time_to_live(TableName=table["name"], TimeToLiveSpecification=ttl)
    for item in table.get("items", []):
        dynamodb.put_item(TableName=table["name"], Item=item)


def dump(aws, spec):
    """Everything, in a fixed order."""
    streams = {name: aws.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"] for name in stream_names(aws)}
    alarms = {}
    for page in aws.cloudwatch.get_paginator("describe_alarms").paginate():
        for alarm in page["MetricAlarms"]:
            tags = aws.cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
            alarms[alarm["AlarmName"]] = alarm | {"Tags": tags}
    items = []
    if table := spec.get("table"):
        for page in aws.dynamodb.get_paginator("scan").paginate(TableName=table["name"]):
            items += page["Items"]
    items.sort(key=lambda item: json.dumps(item, sort_keys=True))
    return {"streams": streams, "alarms": alarms, "items": items}


def stream_names(aws):
    """All of them, page by page: from the last name on, as moto gives no NextToken."""
    names, start = [], {}
    while True:
        page = aws.kinesis.list_streams(**start)
        names += page["StreamNames"]
        if not page["HasMoreStreams"]:
            return sorted(names)
        start = {"ExclusiveStartStreamName": names[-1]}


def state(aws, spec):
    for name, value in spec["alarms"].items():
        aws.cloudwatch.set_alarm_state(
            AlarmName=name,
            StateValue=value,
            StateReason="Threshold Crossed: set by the test",
            StateReasonData='{"version":"1.0","recentDatapoints":[0.9],"threshold":0.75}',
        )
    return {}


def active(aws, spec):
    end = time.monotonic() + ACTIVE_SECONDS
    for stream in spec.get("streams", []):
        while stream.get("shards", 1):
            summary = aws.kinesis.describe_stream_summary(StreamName=stream["name"])["StreamDescriptionSummary"]
            if summary["StreamStatus"] == "ACTIVE":
                break
            if time.monotonic() > end:
                sys.exit(f"error: {stream['name']} is still {summary['StreamStatus']} after {ACTIVE_SECONDS} s")
            time.sleep(0.1)
    return {}


def calls(aws, spec):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{spec['calls']}?from={spec['from']}") as reply:
        return json.load(reply)


def topic(aws, spec):
    sns, sqs = client("sns", spec), client("sqs", spec)
    arn = sns.create_topic(Name=spec["name"])["TopicArn"]
    queue = sqs.create_queue(QueueName=spec["name"])["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=attributes["QueueArn"])
    return {"arn": arn, "queue": queue}


def messages(aws, spec):
    sqs, bodies = client("sqs", spec), []
    while page := sqs.receive_message(QueueUrl=spec["queue"], MaxNumberOfMessages=10).get("Messages"):
        bodies += [json.loads(message["Body"]) for message in page]
    return bodies


def serve(commands):
    aws = None
    for line in sys.stdin:
        spec = json.loads(line)
        aws = aws or Services(spec)
        print(json.dumps(commands[spec["command"]](aws, spec), default=plain), flush=True)


def plain(value):
    """What JSON has no type for: times, as UTC to the microsecond."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    raise TypeError(f"{type(value)} in an answer")


def main():
    commands = {"seed": seed, "dump": dump, "state": state, "active": active, "calls": calls, "topic": topic, "messages": messages}
    if sys.argv[1:] == ["serve"]:
        serve(commands)
        return
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    spec = json.load(sys.stdin)
    json.dump(commands[sys.argv[1]](Services(spec), spec), sys.stdout, default=plain, indent=1)


if __name__ == "__main__":
    main()
