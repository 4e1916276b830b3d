use super::*;

const X: Option<f64> = None;

fn s(value: f64) -> Option<f64> {
    Some(value)
}

fn eval(text: &str) -> Result<Value, String> {
    let values = BTreeMap::from([
        (
            "a".to_owned(),
            Value::Series(vec![s(1.0), s(2.0), X, s(4.0), X]),
        ),
        (
            "b".to_owned(),
            Value::Series(vec![s(10.0), X, X, s(0.0), X]),
        ),
        ("none".to_owned(), Value::Series(vec![X; 5])),
        ("k".to_owned(), Value::Scalar(2.0)),
    ]);
    let scope = Scope {
        values: &values,
        len: 5,
        fill_empty: false,
    };
    scope.eval(&parse(text)?)
}

#[test]
fn expressions_are_evaluated_point_by_point() {
    let cases: [(&str, [Option<f64>; 5]); 28] = [
        ("a", [s(1.0), s(2.0), X, s(4.0), X]),
        ("a + 1", [s(2.0), s(3.0), X, s(5.0), X]),
        ("1 - a", [s(0.0), s(-1.0), X, s(-3.0), X]),
        ("a + b", [s(11.0), s(2.0), X, s(4.0), X]),
        ("a / b", [s(0.1), X, X, X, X]),
        ("b / a", [s(10.0), s(0.0), X, s(0.0), X]),
        ("-a ^ 2", [s(-1.0), s(-4.0), X, s(-16.0), X]),
        ("a * (k + 1) / 3", [s(1.0), s(2.0), X, s(4.0), X]),
        ("FILL(a, 0)", [s(1.0), s(2.0), s(0.0), s(4.0), s(0.0)]),
        ("FILL(a, REPEAT)", [s(1.0), s(2.0), s(2.0), s(4.0), s(4.0)]),
        ("FILL(a, LINEAR)", [s(1.0), s(2.0), s(3.0), s(4.0), X]),
        ("FILL(a, b)", [s(1.0), s(2.0), X, s(4.0), X]),
        ("FILL(none, 0)", [X; 5]),
        ("MAX([a, b])", [s(10.0), s(2.0), X, s(4.0), X]),
        ("MIN([a, b])", [s(1.0), s(2.0), X, s(0.0), X]),
        ("SUM([a, b])", [s(11.0), s(2.0), X, s(4.0), X]),
        ("AVG([a, b])", [s(5.5), s(2.0), X, s(2.0), X]),
        ("MAX([a, 3])", [s(3.0), s(3.0), X, s(4.0), X]),
        ("MAX([a, b] * 2)", [s(20.0), s(4.0), X, s(8.0), X]),
        ("a / MAX(a)", [s(0.25), s(0.5), X, s(1.0), X]),
        ("IF(a > 1, a, 0)", [s(0.0), s(2.0), X, s(4.0), X]),
        ("IF(a > 1, b)", [X, X, X, s(0.0), X]),
        ("IF(k == 2, a, b)", [s(1.0), s(2.0), X, s(4.0), X]),
        ("a >= 2 AND a < 4", [s(0.0), s(1.0), X, s(0.0), X]),
        ("a == 1 || a == 4", [s(1.0), s(0.0), X, s(1.0), X]),
        ("!(a > 1)", [s(1.0), s(0.0), X, s(0.0), X]),
        (
            "CEIL(a/3) + FLOOR(a/3) + ABS(0-1)",
            [s(2.0), s(2.0), X, s(4.0), X],
        ),
        (
            "MAX([FILL(a,0)/(2*k), FILL(b,0)/1.0e1])",
            [s(1.0), s(0.5), s(0.0), s(1.0), s(0.0)],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(eval(text), Ok(Value::Series(expected.to_vec())), "{text}");
    }
}

#[test]
fn the_throttle_signal_raises_usage_to_one_where_records_are_rejected() {
    let signal = "IF(throttled/(incomingRecords+throttled) > 0.005 AND usageBase >= 0.5, \
                  MAX([usageBase,1]), usageBase)";
    // records, throttled, usageBase -> usage
    let cases = [
        [s(1_000.0), s(0.0), s(0.7), s(0.7)],
        [s(1_000.0), s(10.0), s(0.7), s(1.0)],
        [s(1_000.0), s(5.0), s(0.7), s(0.7)],
        [s(1_000.0), s(10.0), s(1.2), s(1.2)],
        [s(1_000.0), s(10.0), s(0.5), s(1.0)],
        [s(1_000.0), s(10.0), s(0.4), s(0.4)],
        [s(0.0), s(10.0), s(0.7), s(1.0)],
        // Nothing sent: 0/0 has no point, which AND takes for 0.
        [s(0.0), s(0.0), s(0.0), s(0.0)],
        [s(1_000.0), X, s(0.7), s(0.7)],
        [X, s(10.0), s(0.7), s(1.0)],
        [X, X, X, X],
    ];
    let series = |column: usize| Value::Series(cases.iter().map(|case| case[column]).collect());
    let values = BTreeMap::from([
        ("incomingRecords".to_owned(), series(0)),
        ("throttled".to_owned(), series(1)),
        ("usageBase".to_owned(), series(2)),
    ]);
    let scope = Scope {
        values: &values,
        len: cases.len(),
        fill_empty: false,
    };
    let parsed = parse(signal).unwrap();
    assert_eq!(scope.eval(&parsed), Ok(series(3)));
    assert!(parsed.is_pointwise());
}

#[test]
fn conditions_take_scalars_and_series() {
    let cases: [(&str, [Option<f64>; 5]); 12] = [
        (
            "FILL(b, LINEAR)",
            [
                s(10.0),
                s(10.0 - 10.0 / 3.0),
                s(10.0 - 20.0 / 3.0),
                s(0.0),
                X,
            ],
        ),
        ("MAX(2 * [a, b])", [s(20.0), s(4.0), X, s(8.0), X]),
        ("a > 1 && b == 0", [s(0.0), s(0.0), X, s(1.0), X]),
        ("a <= 2", [s(1.0), s(1.0), X, s(0.0), X]),
        ("IF(1, a, b)", [s(1.0), s(2.0), X, s(4.0), X]),
        ("IF(0, a)", [X; 5]),
        ("IF(a >= 2, 7, 8)", [s(8.0), s(7.0), X, s(7.0), X]),
        ("IF(a < k, b, a)", [s(10.0), s(2.0), X, s(4.0), X]),
        ("IF(a > 1 AND b == 0, 1, 0)", [s(0.0), s(0.0), X, s(1.0), X]),
        ("IF(b != 0 OR a == 4, 1, 0)", [s(1.0), s(0.0), X, s(1.0), X]),
        ("MAX([IF(a > k, a, 0), 1])", [s(1.0), s(1.0), X, s(4.0), X]),
        (
            "IF(FILL(a, 0) == 0, 5, FILL(b, 6))",
            [s(10.0), s(6.0), s(5.0), s(0.0), s(5.0)],
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(eval(text), Ok(Value::Series(expected.to_vec())), "{text}");
    }
}

#[test]
fn functions_of_one_series_are_scalars() {
    let cases = [
        ("MAX(a)", 4.0),
        ("MIN(a)", 1.0),
        ("SUM(a)", 7.0),
        ("AVG(a)", 7.0 / 3.0),
    ];
    let more = [
        ("2^3^2", 64.0),
        ("2 - 3 - 4", -5.0),
        ("-2 * 3", -6.0),
        ("1 + 2 * 3", 7.0),
    ];
    for (text, expected) in cases.into_iter().chain(more) {
        assert_eq!(eval(text), Ok(Value::Scalar(expected)), "{text}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let deep = "(".repeat(500);
    let cases = [
        ("ANOMALY_DETECTION_BAND(a)", "ANOMALY_DETECTION_BAND"),
        ("a +", "expected a value"),
        ("a b", "unexpected"),
        ("a $ b", "'$' is not supported"),
        ("1.2.3", "1.2.3 is not a number"),
        ("MAX(a, b)", "MAX does not take 2"),
        ("FILL(a)", "FILL takes two"),
        ("missing + 1", "no metric or expression has the id missing"),
        ("(a", "expected )"),
        ("[a,b] + [a,b]", "between two arrays"),
        ("", "expected a value"),
        (deep.as_str(), "nested too deeply"),
    ];
    for (text, expected) in cases {
        let error = eval(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn an_expression_may_be_nested_to_a_hundred_levels() {
    let nested = |levels| format!("{}k{}", "(".repeat(levels), ")".repeat(levels));
    assert_eq!(eval(&nested(99)), Ok(Value::Scalar(2.0)));
    assert!(eval(&nested(100)).is_err());
    let long = vec!["k"; 200].join(" + ");
    assert_eq!(eval(&long), Ok(Value::Scalar(400.0)), "long is not deep");
}

#[test]
fn pointwise_expressions_are_told_from_others() {
    let cases = [
        ("MAX([FILL(a,0)/k, FILL(b,0)])", true),
        ("IF(a > 1, a, b)", true),
        ("a / MAX(a)", false),
        ("FILL(a, REPEAT)", false),
        ("FILL(a, LINEAR) + 1", false),
        ("MAX(k)", false),
        ("a + MAX(b)", false),
        ("MAX(a) + b", false),
        ("FILL(a, MAX(b))", false),
        ("FILL(MAX(a), b)", false),
        ("MAX([a, MAX(b)])", false),
        ("IF(a, MAX(b))", false),
        ("-MAX(a)", false),
        ("!MAX(a)", false),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).unwrap().is_pointwise(), expected, "{text}");
    }
}

#[test]
fn the_ids_of_an_expression_are_collected() {
    let cases: [(&str, &[&str]); 5] = [
        ("1", &[]),
        ("MAX([a, -b])", &["a", "b"]),
        ("FILL(a, 0) + FILL(b, c)", &["a", "b", "c"]),
        ("FILL(a, REPEAT)", &["a"]),
        ("IF(!a, b ^ 2, c / a)", &["a", "b", "c", "a"]),
    ];
    for (text, expected) in cases {
        let (parsed, mut found) = (parse(text).unwrap(), Vec::new());
        parsed.ids(&mut found);
        assert_eq!(found, expected, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_expressions_never_panic(text in "\\PC{0,60}", close in "([a-c0-9 .,+*/()<>=&|\\[\\]-]|MAX|FILL|IF|REPEAT){0,40}") {
        // Expressions come from users' alarms, so they can be anything.
        let _ = eval(&text);
        let _ = eval(&close);
    }
}
