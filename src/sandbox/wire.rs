//! Wire protocols: parses HTTP requests, and formats responses and errors for each service.

use aws_smithy_runtime_api::{
    client::orchestrator::{HttpRequest, HttpResponse},
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Map, Value, json};

use super::cbor;

/// The services that the sandbox supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    Kinesis,
    CloudWatch,
    DynamoDb,
    Sns,
    Sts,
}

impl Service {
    /// Returns the prefix of the service's IAM actions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kinesis => "kinesis",
            Self::CloudWatch => "cloudwatch",
            Self::DynamoDb => "dynamodb",
            Self::Sns => "sns",
            Self::Sts => "sts",
        }
    }
}

/// An error response of AWS.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    pub status: u16,
    pub code: String,
    pub message: String,
    /// Additional members of the error body.
    pub extra: Map<String, Value>,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            extra: Map::new(),
        }
    }

    /// Creates an error with HTTP status 400, which most errors of AWS have.
    pub(crate) fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    pub(crate) fn with(mut self, member: &str, value: Value) -> Self {
        self.extra.insert(member.to_owned(), value);
        self
    }
}

pub(crate) type Answer = Result<Value, ApiError>;

/// A parsed request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub service: Service,
    pub operation: String,
    pub region: String,
    pub access_key: String,
    pub input: Map<String, Value>,
}

/// What a request was signed with, from its Authorization header.
struct Scope<'a> {
    access_key: &'a str,
    region: &'a str,
    service: &'a str,
}

impl<'a> Scope<'a> {
    fn of(http: &'a HttpRequest) -> Option<Self> {
        let header = http.headers().get("authorization")?;
        let (_, scope) = header.split_once("Credential=")?;
        let mut parts = scope.split(',').next()?.split('/');
        let (access_key, _date) = (parts.next()?, parts.next()?);
        Some(Self {
            access_key,
            region: parts.next()?,
            service: parts.next()?,
        })
    }
}

const SNS_NAMESPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";
const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

const CLOUDWATCH_PATH: &str = "/service/GraniteServiceVersion20100801/operation/";

impl Request {
    /// Parses a request. An error comes with the service whose protocol its response must use.
    pub(crate) fn parse(http: &HttpRequest) -> Result<Self, (Service, ApiError)> {
        let scope = Scope::of(http);
        let signed_for = scope.as_ref().map_or("", |scope| scope.service);
        let (service, operation) = target(http, signed_for)?;
        let fail = |code: &str, message: String| (service, ApiError::bad(code, message));
        let Some(scope) = scope else {
            return Err(fail(
                "MissingAuthenticationTokenException",
                "Missing Authentication Token".into(),
            ));
        };
        let body = http.body().bytes().unwrap_or_default();
        let input = read_body(service, body).map_err(|e| fail("SerializationException", e))?;
        Ok(Self {
            service,
            operation,
            region: scope.region.to_owned(),
            access_key: scope.access_key.to_owned(),
            input,
        })
    }

    /// Returns the number of metrics that GetMetricData asks for.
    pub(crate) fn metrics(&self) -> usize {
        let queries = self
            .input
            .get("MetricDataQueries")
            .and_then(Value::as_array);
        queries.map_or(0, Vec::len)
    }

    /// Returns the stream, alarm, table, topic or role that the request names.
    pub(crate) fn resource(&self) -> Option<String> {
        let text = |member| self.input.get(member).and_then(Value::as_str);
        let arn_tail = |arn: &str| arn.rsplit('/').next().unwrap_or(arn).to_owned();
        if let Some(name) = text("StreamName")
            .or_else(|| text("AlarmName"))
            .or_else(|| text("TableName"))
            .or_else(|| text("RoleArn"))
            .or_else(|| text("TopicArn"))
        {
            return Some(name.to_owned());
        }
        text("StreamARN").map(arn_tail).or_else(|| {
            let first = self.input.get("TransactItems")?.get(0)?.as_object()?;
            let table = first.values().next()?.get("TableName")?.as_str()?;
            Some(table.to_owned())
        })
    }
}

fn target(http: &HttpRequest, signed_for: &str) -> Result<(Service, String), (Service, ApiError)> {
    let path = http.uri();
    if let Some((_, operation)) = path.split_once(CLOUDWATCH_PATH) {
        return Ok((Service::CloudWatch, operation.to_owned()));
    }
    let target = http.headers().get("x-amz-target").unwrap_or_default();
    match target.split_once('.') {
        Some(("Kinesis_20131202", operation)) => Ok((Service::Kinesis, operation.to_owned())),
        Some(("DynamoDB_20120810", operation)) => Ok((Service::DynamoDb, operation.to_owned())),
        Some((other, _)) => Err((
            Service::Kinesis,
            ApiError::bad(
                "UnknownOperationException",
                format!("the sandbox has no service {other}"),
            ),
        )),
        None => {
            let form = read_form(http.body().bytes().unwrap_or_default());
            match form.get("Action").and_then(Value::as_str) {
                Some(action) if signed_for == "sns" => Ok((Service::Sns, action.to_owned())),
                Some(action) => Ok((Service::Sts, action.to_owned())),
                None => Err((
                    Service::Sts,
                    ApiError::bad("InvalidAction", format!("the sandbox cannot answer {path}")),
                )),
            }
        }
    }
}

fn read_body(service: Service, body: &[u8]) -> Result<Map<String, Value>, String> {
    let value = match service {
        Service::Sns | Service::Sts => Value::Object(read_form(body)),
        _ if body.is_empty() => json!({}),
        Service::CloudWatch => cbor::decode(body).map_err(|e| e.to_string())?,
        _ => serde_json::from_slice(body).map_err(|e| e.to_string())?,
    };
    match value {
        Value::Object(members) => Ok(members),
        other => Err(format!("expected an object, got {other}")),
    }
}

fn read_form(body: &[u8]) -> Map<String, Value> {
    let text = String::from_utf8_lossy(body);
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (unescape(key), Value::String(unescape(value))))
        .collect()
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match (byte, hex) {
            (b'%', Some(value)) => {
                out.push(value);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Formats a response in the protocol of `service`.
pub(crate) fn respond(service: Service, operation: &str, id: u64, answer: &Answer) -> HttpResponse {
    let status = answer.as_ref().err().map_or(200, |error| error.status);
    let (content_type, body) = match (service, answer) {
        (Service::CloudWatch, Ok(value)) => ("application/cbor", cbor::encode(value)),
        (Service::CloudWatch, Err(error)) => {
            ("application/cbor", cbor::encode(&error_body(error, "")))
        }
        (Service::Sns, _) => ("text/xml", query_xml(SNS_NAMESPACE, operation, answer)),
        (Service::Sts, _) => ("text/xml", query_xml(STS_NAMESPACE, operation, answer)),
        (_, Ok(value)) => (json_type(service), value.to_string().into_bytes()),
        (_, Err(error)) => {
            let namespace = match service {
                Service::DynamoDb => "com.amazonaws.dynamodb.v20120810#",
                _ => "",
            };
            let body = error_body(error, namespace).to_string().into_bytes();
            (json_type(service), body)
        }
    };
    // A fault may ask for an invalid status; 500 replaces it.
    let status = StatusCode::try_from(status)
        .or_else(|_| StatusCode::try_from(500))
        .expect("500 is a status");
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    let headers = response.headers_mut();
    headers.insert("content-type", content_type);
    headers.insert(
        "x-amzn-requestid",
        format!("00000000-0000-4000-8000-{id:012x}"),
    );
    if service == Service::CloudWatch {
        headers.insert("smithy-protocol", "rpc-v2-cbor");
        if let Err(error) = answer {
            let blame = if error.status < 500 {
                "Sender"
            } else {
                "Receiver"
            };
            // A fault may have any text as its code. Without the header the SDK finds it in the
            // body.
            let _ = headers.try_insert("x-amzn-query-error", format!("{};{blame}", error.code));
        }
    }
    response
}

fn json_type(service: Service) -> &'static str {
    match service {
        Service::DynamoDb => "application/x-amz-json-1.0",
        _ => "application/x-amz-json-1.1",
    }
}

fn error_body(error: &ApiError, namespace: &str) -> Value {
    let mut body = error.extra.clone();
    body.insert("__type".into(), json!(format!("{namespace}{}", error.code)));
    body.insert("message".into(), json!(error.message));
    Value::Object(body)
}

/// A response of the query protocol.
fn query_xml(namespace: &str, operation: &str, answer: &Answer) -> Vec<u8> {
    let mut out = String::new();
    match answer {
        Ok(value) => {
            out += &format!("<{operation}Response xmlns=\"{namespace}\"><{operation}Result>");
            write_xml(&mut out, value);
            out += &format!("</{operation}Result></{operation}Response>");
        }
        Err(error) => {
            out += &format!("<ErrorResponse xmlns=\"{namespace}\"><Error><Type>Sender</Type>");
            write_xml(
                &mut out,
                &json!({"Code": error.code, "Message": error.message}),
            );
            out += "</Error></ErrorResponse>";
        }
    }
    out.into_bytes()
}

fn write_xml(out: &mut String, value: &Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                out.push_str(&format!("<{name}>"));
                write_xml(out, value);
                out.push_str(&format!("</{name}>"));
            }
        }
        Value::String(text) => out.push_str(&escape(text)),
        other => out.push_str(&other.to_string()),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_unescaped() {
        let cases = [
            ("a=b", "a", "b"),
            ("a=b+c%2Fd", "a", "b c/d"),
            ("a=100%", "a", "100%"),
            ("a%20=%C3%A9", "a ", "é"),
        ];
        for (form, key, value) in cases {
            assert_eq!(read_form(form.as_bytes())[key], value, "{form}");
        }
    }
}
