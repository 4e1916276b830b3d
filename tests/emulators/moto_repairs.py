"""Brings moto's CloudWatch alarms nearer to AWS's where the autoscaler depends on the difference.

Each repair says what AWS does and what moto 5.2.5 does instead. All else is moto's own: storage, validation, SetAlarmState,
PutMetricData, GetMetricData, tags. Not repaired, because no test needs it: alarms are never evaluated, GetMetricData starts its
periods at StartTime instead of on whole periods, knows no metric math and never pages, and nothing is throttled.
"""

import threading

from moto.cloudwatch.exceptions import InvalidParameterCombination, InvalidParameterValue, ValidationError
from moto.cloudwatch.models import CloudWatchBackend
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.responses import ActionResult
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

# With Metrics an alarm may have none of these.
SINGLE_METRIC = ("MetricName", "Namespace", "Dimensions", "Period", "Unit", "Statistic", "ExtendedStatistic")
MAX_REASON = 1023
MAX_NAMES = 100
MAX_RECORDS = 100
# The documentation names no default; a small one lets tests meet a second page.
DEFAULT_RECORDS = 50

# Members of PutMetricAlarm that moto accepts and forgets, by the attribute that its serializer looks for.
FORGOTTEN = {
    "EvaluationWindow": "evaluation_window",
    "WarmUpConfiguration": "warm_up_configuration",
    "EvaluationCriteria": "evaluation_criteria",
    "EvaluationInterval": "evaluation_interval",
    "ActionConfiguration": "action_configuration",
}
STATE = ("state_value", "state_reason", "state_reason_data", "state_updated_timestamp", "state_transitioned_timestamp")


def apply():
    """Patches moto in this process."""
    DomainDispatcherApplication.__call__ = _one_at_a_time(DomainDispatcherApplication.__call__)
    CloudWatchBackend.put_metric_alarm = _keep_state(CloudWatchBackend.put_metric_alarm)
    CloudWatchBackend.set_alarm_state = _note_transition(CloudWatchBackend.set_alarm_state)
    CloudWatchResponse.put_metric_alarm = _one_kind_of_alarm(_keep_newer_fields(CloudWatchResponse.put_metric_alarm))
    CloudWatchResponse.describe_alarms = _describe_alarms


def _one_at_a_time(call):
    """AWS: calls do not disturb each other. moto: its state is plain dictionaries, and a thread for each connection changes them."""
    lock = threading.Lock()

    def patched(self, environ, start_response):
        with lock:
            return list(call(self, environ, start_response))

    return patched


def _keep_state(put_metric_alarm):
    """AWS: an update leaves the state as it was, and a new alarm is in INSUFFICIENT_DATA. moto: OK after every put."""

    def repaired(self, name, *args, **kwargs):
        before = self.alarms.get(name)
        alarm = put_metric_alarm(self, name, *args, **kwargs)
        if before is None:
            alarm.state_value = "INSUFFICIENT_DATA"
            alarm.state_transitioned_timestamp = alarm.state_updated_timestamp
        else:
            for attribute in STATE:
                setattr(alarm, attribute, getattr(before, attribute))
        return alarm

    return repaired


def _note_transition(set_alarm_state):
    """AWS: StateTransitionedTimestamp moves when the value changes, and a reason has a length. moto: has no such field, and no limit."""

    def repaired(self, alarm_name, reason, *args, **kwargs):
        if len(reason or "") > MAX_REASON:
            raise ValidationError(f"stateReason must have length less than or equal to {MAX_REASON}")
        before = self.alarms[alarm_name].state_value if alarm_name in self.alarms else None
        set_alarm_state(self, alarm_name, reason, *args, **kwargs)
        alarm = self.alarms[alarm_name]
        if alarm.state_value != before:
            alarm.state_transitioned_timestamp = alarm.state_updated_timestamp

    return repaired


def _keep_newer_fields(put_metric_alarm):
    """AWS: every member comes back from DescribeAlarms. moto: loses the FORGOTTEN ones and AccountId of a query."""

    def repaired(self):
        params = self._get_params()
        result = put_metric_alarm(self)
        alarm = self.cloudwatch_backend.alarms[params["AlarmName"]]
        for member, attribute in FORGOTTEN.items():
            setattr(alarm, attribute, params.get(member))
        for stored, sent in zip(alarm.metric_data_queries, params.get("Metrics", []), strict=True):
            stored.account_id = sent.get("AccountId")
        return result

    return repaired


def _one_kind_of_alarm(put_metric_alarm):
    """AWS: refuses an alarm that is both on one metric and on Metrics, or on neither. moto: stores it."""

    def repaired(self):
        params = self._get_params()
        kinds = [kind for kind in ("MetricName", "Metrics", "EvaluationCriteria") if params.get(kind)]
        if len(kinds) != 1:
            raise ValidationError("exactly one of MetricName, Metrics and EvaluationCriteria must be given")
        if kinds == ["Metrics"] and (clash := [name for name in SINGLE_METRIC if params.get(name)]):
            raise ValidationError(f"with Metrics, no {clash[0]} can be given")
        return put_metric_alarm(self)

    return repaired


def _describe_alarms(self):
    """AWS: the filters combine, names or a prefix but not both, pages by name, and metric alarms alone unless asked otherwise.

    moto: takes one filter and ignores the others (StateValue next to AlarmNames above all), never pages, and adds composite alarms.
    """
    names = self._get_param("AlarmNames")
    prefix = self._get_param("AlarmNamePrefix")
    state = self._get_param("StateValue")
    action = self._get_param("ActionPrefix")
    size = self._get_param("MaxRecords") or DEFAULT_RECORDS
    token = self._get_param("NextToken") or ""
    if names and prefix:
        raise InvalidParameterCombination("AlarmNames and AlarmNamePrefix cannot both be given")
    if len(names or []) > MAX_NAMES:
        raise InvalidParameterValue(f"AlarmNames may have {MAX_NAMES} names at most")
    if not 1 <= size <= MAX_RECORDS:
        raise InvalidParameterValue(f"MaxRecords must be between 1 and {MAX_RECORDS}")
    found = [
        alarm
        for name, alarm in sorted(self.cloudwatch_backend.alarms.items())
        if name > token
        and (not names or name in names)
        and (not prefix or name.startswith(prefix))
        and (not state or alarm.state_value == state)
        and (not action or any(arn.startswith(action) for arn in alarm.alarm_actions))
        and ("MetricAlarm" if alarm.rule is None else "CompositeAlarm") in (self._get_param("AlarmTypes") or ["MetricAlarm"])
    ]
    page = found[:size]
    result = {
        "MetricAlarms": [alarm for alarm in page if alarm.rule is None],
        "CompositeAlarms": [alarm for alarm in page if alarm.rule is not None],
    }
    if len(found) > size:
        result["NextToken"] = page[-1].name
    return ActionResult(result)
