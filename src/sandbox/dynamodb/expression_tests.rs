use super::*;

fn item() -> Item {
    let item = json!({
        "title": {"S": "orders"}, "n": {"N": "4"}, "things": {"L": [{"S": "a"}]}, "tags": {"SS": ["x", "y"]}, "name": {"S": "b"},
    });
    item.as_object().unwrap().clone()
}

fn request(kind: &str, text: &str) -> Map<String, Value> {
    let request = json!({
        kind: text,
        "ExpressionAttributeNames": {"#n": "n", "#title": "title", "#name": "name"},
        "ExpressionAttributeValues": {
            ":one": {"N": "1"}, ":four": {"N": "4.0"}, ":ten": {"N": "10"}, ":a": {"S": "a"}, ":or": {"S": "or"},
            ":x": {"S": "x"}, ":orders": {"S": "orders"},
        },
    });
    request.as_object().unwrap().clone()
}

fn holds(text: &str) -> Result<bool, String> {
    let request = request("ConditionExpression", text);
    let expression = Expression::of(&request, "ConditionExpression")?.unwrap();
    Ok(expression.condition()?.holds(&item()))
}

#[test]
fn conditions_hold_or_not() {
    let cases = [
        ("#n = :four", true),
        ("n = :one", false),
        ("n <> :one", true),
        ("absent <> :one", true),
        ("absent = :one", false),
        ("n < :ten AND n > :one", true),
        ("n <= :four and n >= :four", true),
        ("n < :a", false),
        ("attribute_exists(n)", true),
        ("attribute_exists (absent)", false),
        ("attribute_not_exists(#title)", false),
        ("attribute_not_exists(absent) OR n = :one", true),
        ("NOT n = :one", true),
        ("NOT (n = :four OR n = :one)", false),
        ("n = :one OR n = :four AND n = :ten", false),
        ("(n = :four OR n = :one) AND n = :ten", false),
        ("n BETWEEN :one AND :ten AND begins_with(#title, :or)", true),
        ("n IN (:one, :four)", true),
        ("begins_with(n, :or)", false),
        ("contains(title, :or)", true),
        ("contains(things, :a) AND contains(tags, :x)", true),
        ("contains(tags, :a)", false),
        ("size(title) > :four", true),
        (":one < n", true),
        ("#name <> :a AND attribute_exists(#name)", true),
    ];
    for (text, expected) in cases {
        assert_eq!(holds(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let deep = "(".repeat(300);
    let cases = [
        ("attribute_type(n, :a)", "attribute_type"),
        ("n = :undefined", ":undefined"),
        ("#undefined = :one", "#undefined"),
        ("a.b = :one", "document paths: a."),
        ("things[0] = :a", "document paths: things["),
        ("name = :a", "reserved keyword: name"),
        ("attribute_exists(Status)", "reserved keyword: Status"),
        ("n = ", "expected an attribute"),
        ("n :one", "expected a comparison"),
        ("n = :one n", "token: \"n\""),
        ("n = :one; x", "';'"),
        ("(n = :one", "expected \")\""),
        (deep.as_str(), "nested too deeply"),
    ];
    for (text, expected) in cases {
        let error = holds(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn updates_change_the_item_as_it_was_before() {
    let cases = [
        (
            "SET n = n + :one, m = n",
            json!({"n": {"N": "5"}, "m": {"N": "4"}}),
        ),
        ("SET n = n - :ten", json!({"n": {"N": "-6"}})),
        (
            "SET m = if_not_exists(m, :one) + :one",
            json!({"m": {"N": "2"}}),
        ),
        ("SET n = if_not_exists(#n, :one)", json!({"n": {"N": "4"}})),
        (
            "set #name = :a remove n, things ADD c :one, d :ten",
            json!({
            "name": {"S": "a"}, "n": null, "things": null, "c": {"N": "1"}, "d": {"N": "10"}}),
        ),
        ("ADD n :ten", json!({"n": {"N": "14"}})),
    ];
    for (text, expected) in cases {
        let request = request("UpdateExpression", text);
        let expression = Expression::of(&request, "UpdateExpression")
            .unwrap()
            .unwrap();
        let after = apply(&expression.update().unwrap(), &item()).unwrap();
        let mut wanted = item();
        for (name, value) in expected.as_object().unwrap() {
            if value.is_null() {
                wanted.remove(name);
            } else {
                wanted.insert(name.clone(), value.clone());
            }
        }
        assert_eq!(after, wanted, "{text}");
    }
}

#[test]
fn wrong_updates_are_named() {
    let cases = [
        ("SET n = absent", "does not exist"),
        ("SET n = absent + :one", "does not exist"),
        ("SET n = title + :one", "incorrect data type"),
        ("ADD title :one", "incorrect data type"),
        ("DELETE tags :x", "DELETE"),
        ("SET n = list_append(things, things)", "list_append"),
        ("CHANGE n", "CHANGE"),
        ("SET n :one", "expected \"=\""),
    ];
    for (text, expected) in cases {
        let request = request("UpdateExpression", text);
        let expression = Expression::of(&request, "UpdateExpression")
            .unwrap()
            .unwrap();
        let error = expression
            .update()
            .and_then(|changes| apply(&changes, &item()))
            .unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn every_substitution_must_be_used() {
    let cases = [
        (json!({}), None),
        (
            json!({"ExpressionAttributeValues": {}}),
            Some("must not be empty"),
        ),
        (
            json!({"FilterExpression": "#a = :b", "ExpressionAttributeNames": {"#a": "a"},
            "ExpressionAttributeValues": {":b": {"N": "1"}}}),
            None,
        ),
        (
            json!({"FilterExpression": "aa = :bb", "ExpressionAttributeNames": {"#a": "a"}}),
            Some("#a"),
        ),
        (
            json!({"FilterExpression": "aa = :bb", "ExpressionAttributeValues": {":b": {"N": "1"}}}),
            Some(":b"),
        ),
    ];
    for (request, expected) in cases {
        let got = check_substitutions(request.as_object().unwrap()).err();
        match expected {
            None => assert_eq!(got, None, "{request}"),
            Some(part) => assert!(got.is_some_and(|e| e.contains(part)), "{request}"),
        }
    }
}
