//! The text of errors.

use std::io;

use kinesis_autoscaler::output::error::{Exit, Failure, Report};

#[derive(Debug, thiserror::Error)]
#[error("stream orders could not be described")]
struct Outer(#[source] io::Error);

fn report() -> Report {
    Report::new(Outer(io::Error::other("connection refused\nby the host")))
}

#[test]
fn the_chain_and_the_hints_come_below_the_error() {
    let report = report()
        .hint("check AWS_ENDPOINT_URL,\nor leave it out")
        .hint("second");
    assert_eq!(
        Failure::new(Exit::Failed, report).to_string(),
        "error: stream orders could not be described\n\
         caused by: connection refused\n           by the host\n\
         hint: check AWS_ENDPOINT_URL,\n      or leave it out\n\
         hint: second"
    );
}

#[test]
fn colour_is_for_labels_only() {
    let mut text = Vec::new();
    report().hint("h").write(&mut text, true).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.starts_with("\x1b[1;31merror:\x1b[0m stream"),
        "{text:?}"
    );
    assert!(text.ends_with("\x1b[1;36mhint:\x1b[0m h\n"), "{text:?}");
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let codes = [Exit::Done, Exit::Failed, Exit::Usage, Exit::Config].map(|it| it as u8);
    assert_eq!(codes, [0, 1, 2, 78]);
}
