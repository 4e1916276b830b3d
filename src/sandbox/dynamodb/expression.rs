//! Condition, filter, key-condition, projection and update expressions.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::{
    reserved::is_reserved,
    value::{Item, add, compare, equal, parts},
};

/// The members of a request that hold an expression.
const KINDS: [&str; 5] = [
    "ConditionExpression",
    "FilterExpression",
    "KeyConditionExpression",
    "ProjectionExpression",
    "UpdateExpression",
];

/// Checks that every name and value that a request substitutes is used by one of its expressions,
/// as DynamoDB does.
pub(crate) fn check_substitutions(input: &Map<String, Value>) -> Result<(), String> {
    let mut used = Vec::new();
    for kind in KINDS {
        let text = input.get(kind).and_then(Value::as_str);
        used.extend(tokens(text.unwrap_or_default()).map_err(|e| format!("Invalid {kind}: {e}"))?);
    }
    for member in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
        let Some(given) = input.get(member).and_then(Value::as_object) else {
            continue;
        };
        if given.is_empty() {
            return Err(format!("{member} must not be empty"));
        }
        if let Some(unused) = given.keys().find(|key| !used.contains(key)) {
            return Err(format!(
                "Value provided in {member} unused in expressions: keys: {{{unused}}}"
            ));
        }
    }
    Ok(())
}

/// Parses the tokens of one expression with the substitutions of its request.
pub(crate) struct Expression<'a> {
    names: Option<&'a Map<String, Value>>,
    values: Option<&'a Map<String, Value>>,
    tokens: Vec<String>,
    at: usize,
    kind: &'static str,
    depth: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An operand: something that has a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Attribute(String),
    Value(Value),
    Size(String),
    IfNotExists(String, Box<Operand>),
    Sum(Box<Operand>, Box<Operand>, bool),
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Compare(Comparator, Operand, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(String, bool),
    BeginsWith(String, Operand),
    Contains(String, Operand),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

/// One clause of an UpdateExpression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Set(String, Operand),
    Remove(String),
    Add(String, Operand),
}

/// The deepest nesting of an expression that is accepted.
const MAX_DEPTH: u32 = 100;

impl<'a> Expression<'a> {
    /// Parses the expression in the member `kind` of a request, if it is present.
    pub(crate) fn of(
        input: &'a Map<String, Value>,
        kind: &'static str,
    ) -> Result<Option<Self>, String> {
        let Some(text) = input.get(kind).and_then(Value::as_str) else {
            return Ok(None);
        };
        let object = |member: &str| input.get(member).and_then(Value::as_object);
        Ok(Some(Self {
            names: object("ExpressionAttributeNames"),
            values: object("ExpressionAttributeValues"),
            tokens: tokens(text).map_err(|e| format!("Invalid {kind}: {e}"))?,
            at: 0,
            kind,
            depth: 0,
        }))
    }

    pub(crate) fn condition(mut self) -> Result<Condition, String> {
        let condition = self.or();
        self.finish(condition)
    }

    pub(crate) fn projection(mut self) -> Result<Vec<String>, String> {
        let names = self.list(|e| e.attribute());
        self.finish(names)
    }

    pub(crate) fn update(mut self) -> Result<Vec<Change>, String> {
        let changes = self.changes();
        self.finish(changes)
    }

    fn finish<T>(&self, result: Result<T, String>) -> Result<T, String> {
        let kind = self.kind;
        let result = result.map_err(|e| format!("Invalid {kind}: {e}"))?;
        match self.tokens.get(self.at) {
            None => Ok(result),
            Some(token) => Err(format!("Invalid {kind}: Syntax error; token: {token:?}")),
        }
    }

    fn peek(&self) -> &str {
        self.tokens.get(self.at).map_or("", String::as_str)
    }

    fn next(&mut self) -> String {
        let token = self.peek().to_owned();
        self.at += 1;
        token
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.peek().eq_ignore_ascii_case(word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.eat(word) {
            return Ok(());
        }
        Err(format!(
            "Syntax error; expected {word:?}, found {:?}",
            self.peek()
        ))
    }

    fn list<T>(&mut self, one: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let mut items = vec![one(self)?];
        while self.eat(",") {
            items.push(one(self)?);
        }
        Ok(items)
    }

    fn or(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("nested too deeply".into());
        }
        let mut left = self.and()?;
        while self.eat("OR") {
            left = Condition::Or(Box::new(left), Box::new(self.and()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn and(&mut self) -> Result<Condition, String> {
        let mut left = self.not()?;
        while self.eat("AND") {
            left = Condition::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Condition, String> {
        let mut negated = false;
        while self.eat("NOT") {
            negated = !negated;
        }
        let inner = self.primary()?;
        Ok(if negated {
            Condition::Not(Box::new(inner))
        } else {
            inner
        })
    }

    fn primary(&mut self) -> Result<Condition, String> {
        if self.eat("(") {
            let inner = self.or()?;
            self.expect(")")?;
            return Ok(inner);
        }
        let called = self.tokens.get(self.at + 1).is_some_and(|t| t == "(");
        if called && self.peek() != "size" {
            return self.function();
        }
        let left = self.operand()?;
        if self.eat("BETWEEN") {
            let low = self.operand()?;
            self.expect("AND")?;
            return Ok(Condition::Between(left, low, self.operand()?));
        }
        if self.eat("IN") {
            self.expect("(")?;
            let items = self.list(Self::operand)?;
            self.expect(")")?;
            return Ok(Condition::In(left, items));
        }
        let comparator = match self.next().as_str() {
            "=" => Comparator::Equal,
            "<>" => Comparator::NotEqual,
            "<" => Comparator::Less,
            "<=" => Comparator::LessOrEqual,
            ">" => Comparator::Greater,
            ">=" => Comparator::GreaterOrEqual,
            other => {
                return Err(format!(
                    "Syntax error; expected a comparison, found {other:?}"
                ));
            }
        };
        Ok(Condition::Compare(comparator, left, self.operand()?))
    }

    fn function(&mut self) -> Result<Condition, String> {
        let name = self.next();
        self.expect("(")?;
        let attribute = self.attribute()?;
        let condition = match name.as_str() {
            "attribute_exists" => Condition::Exists(attribute, true),
            "attribute_not_exists" => Condition::Exists(attribute, false),
            "begins_with" | "contains" => {
                self.expect(",")?;
                let operand = self.operand()?;
                if name == "contains" {
                    Condition::Contains(attribute, operand)
                } else {
                    Condition::BeginsWith(attribute, operand)
                }
            }
            other => return Err(format!("the sandbox does not support the function {other}")),
        };
        self.expect(")")?;
        Ok(condition)
    }

    fn operand(&mut self) -> Result<Operand, String> {
        if self.peek().starts_with(':') {
            return Ok(Operand::Value(self.value()?));
        }
        if self.peek() == "size" && self.tokens.get(self.at + 1).is_some_and(|t| t == "(") {
            self.at += 2;
            let attribute = self.attribute()?;
            self.expect(")")?;
            return Ok(Operand::Size(attribute));
        }
        Ok(Operand::Attribute(self.attribute()?))
    }

    fn value(&mut self) -> Result<Value, String> {
        let name = self.next();
        let value = self.values.and_then(|values| values.get(&name));
        value.cloned().ok_or_else(|| {
            format!("An expression attribute value used in expression is not defined; attribute value: {name}")
        })
    }

    fn attribute(&mut self) -> Result<String, String> {
        let token = self.next();
        if matches!(self.peek(), "." | "[") {
            return Err(format!(
                "the sandbox does not support document paths: {token}{}",
                self.peek()
            ));
        }
        if token.starts_with('#') {
            let name = self.names.and_then(|names| names.get(&token)?.as_str());
            return name.map(str::to_owned).ok_or_else(|| {
                format!("An expression attribute name used in the document path is not defined; attribute name: {token}")
            });
        }
        if token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            if is_reserved(&token) {
                return Err(format!(
                    "Attribute name is a reserved keyword; reserved keyword: {token}"
                ));
            }
            return Ok(token);
        }
        Err(format!(
            "Syntax error; expected an attribute, found {token:?}"
        ))
    }

    fn changes(&mut self) -> Result<Vec<Change>, String> {
        let mut changes = Vec::new();
        while self.at < self.tokens.len() {
            let clause = self.next().to_ascii_uppercase();
            let more = match clause.as_str() {
                "SET" => self.list(|e| {
                    let name = e.attribute()?;
                    e.expect("=")?;
                    Ok(Change::Set(name, e.sum()?))
                })?,
                "REMOVE" => self.list(|e| Ok(Change::Remove(e.attribute()?)))?,
                "ADD" => self.list(|e| Ok(Change::Add(e.attribute()?, e.operand()?)))?,
                "DELETE" => return Err("the sandbox does not support DELETE".into()),
                other => return Err(format!("Syntax error; token: {other:?}")),
            };
            changes.extend(more);
        }
        Ok(changes)
    }

    fn sum(&mut self) -> Result<Operand, String> {
        let left = self.set_operand()?;
        let subtract = match self.peek() {
            "+" => false,
            "-" => true,
            _ => return Ok(left),
        };
        self.at += 1;
        let right = self.set_operand()?;
        Ok(Operand::Sum(Box::new(left), Box::new(right), subtract))
    }

    fn set_operand(&mut self) -> Result<Operand, String> {
        let called = self.tokens.get(self.at + 1).is_some_and(|t| t == "(");
        if !called {
            return self.operand();
        }
        let name = self.next();
        if name != "if_not_exists" {
            return Err(format!("the sandbox does not support the function {name}"));
        }
        self.expect("(")?;
        let attribute = self.attribute()?;
        self.expect(",")?;
        let otherwise = self.operand()?;
        self.expect(")")?;
        Ok(Operand::IfNotExists(attribute, Box::new(otherwise)))
    }
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '#' | ':');
        let len = if word(first) {
            rest.find(|c| !word(c)).unwrap_or(rest.len())
        } else if ["<>", "<=", ">="].iter().any(|s| rest.starts_with(s)) {
            2
        } else if "()=<>,+-.[]".contains(first) {
            1
        } else {
            return Err(format!("Syntax error; token: {first:?}"));
        };
        out.push(rest[..len].to_owned());
        rest = rest[len..].trim_start();
    }
    Ok(out)
}

impl Operand {
    /// Returns the operand's value in `item`, if there is one.
    fn of(&self, item: &Item) -> Option<Value> {
        match self {
            Self::Attribute(name) => item.get(name).cloned(),
            Self::Value(value) => Some(value.clone()),
            Self::Size(name) => {
                let (_, content) = parts(item.get(name)?)?;
                let size = match content {
                    Value::String(text) => text.len(),
                    Value::Array(items) => items.len(),
                    Value::Object(members) => members.len(),
                    _ => return None,
                };
                Some(json!({"N": size.to_string()}))
            }
            Self::IfNotExists(name, otherwise) => {
                item.get(name).cloned().or_else(|| otherwise.of(item))
            }
            Self::Sum(left, right, subtract) => add(&left.of(item)?, &right.of(item)?, *subtract),
        }
    }
}

impl Condition {
    /// Returns whether `item` meets the condition. A comparison with a missing attribute is false.
    pub(crate) fn holds(&self, item: &Item) -> bool {
        let order = |a: &Operand, b: &Operand| compare(&a.of(item)?, &b.of(item)?);
        let same = |a: &Operand, b: &Operand| match (a.of(item), b.of(item)) {
            (Some(a), Some(b)) => equal(&a, &b),
            _ => false,
        };
        match self {
            Self::And(a, b) => a.holds(item) && b.holds(item),
            Self::Or(a, b) => a.holds(item) || b.holds(item),
            Self::Not(inner) => !inner.holds(item),
            Self::Exists(name, expected) => item.contains_key(name) == *expected,
            Self::Between(value, low, high) => {
                order(value, low).is_some_and(Ordering::is_ge)
                    && order(value, high).is_some_and(Ordering::is_le)
            }
            Self::In(value, items) => items.iter().any(|other| same(value, other)),
            Self::Compare(comparator, a, b) => match comparator {
                Comparator::Equal => same(a, b),
                Comparator::NotEqual => !same(a, b),
                Comparator::Less => order(a, b).is_some_and(Ordering::is_lt),
                Comparator::LessOrEqual => order(a, b).is_some_and(Ordering::is_le),
                Comparator::Greater => order(a, b).is_some_and(Ordering::is_gt),
                Comparator::GreaterOrEqual => order(a, b).is_some_and(Ordering::is_ge),
            },
            Self::BeginsWith(name, prefix) => {
                let prefix = prefix.of(item);
                match (text_of(item.get(name)), text_of(prefix.as_ref())) {
                    (Some(text), Some(prefix)) => text.starts_with(prefix),
                    _ => false,
                }
            }
            Self::Contains(name, part) => contains(item.get(name), part.of(item).as_ref()),
        }
    }
}

fn text_of(value: Option<&Value>) -> Option<&str> {
    match parts(value?)? {
        ("S", Value::String(text)) => Some(text),
        _ => None,
    }
}

fn contains(whole: Option<&Value>, part: Option<&Value>) -> bool {
    let (Some(whole), Some(part)) = (whole, part) else {
        return false;
    };
    if let (Some(whole), Some(part)) = (text_of(Some(whole)), text_of(Some(part))) {
        return whole.contains(part);
    }
    match (parts(whole), parts(part)) {
        (Some(("L", Value::Array(items))), _) => items.iter().any(|item| equal(item, part)),
        (Some(("SS" | "NS" | "BS", Value::Array(items))), Some((_, part))) => items.contains(part),
        _ => false,
    }
}

/// Applies the clauses of an UpdateExpression. All of them read the original item.
pub(crate) fn apply(changes: &[Change], before: &Item) -> Result<Item, String> {
    let mut after = before.clone();
    let incorrect = || "An operand in the update expression has an incorrect data type".to_owned();
    for change in changes {
        match change {
            Change::Remove(name) => {
                after.remove(name);
            }
            Change::Set(name, operand) => {
                let value = operand.of(before).ok_or_else(|| match operand {
                    Operand::Sum(..) if operands_exist(operand, before) => incorrect(),
                    _ => "The provided expression refers to an attribute that does not exist in the item".into(),
                })?;
                after.insert(name.clone(), value);
            }
            Change::Add(name, operand) => {
                let zero = json!({"N": "0"});
                let old = before.get(name).unwrap_or(&zero);
                let value = operand.of(before).and_then(|value| add(old, &value, false));
                after.insert(name.clone(), value.ok_or_else(incorrect)?);
            }
        }
    }
    Ok(after)
}

fn operands_exist(operand: &Operand, item: &Item) -> bool {
    match operand {
        Operand::Sum(a, b, _) => a.of(item).is_some() && b.of(item).is_some(),
        other => other.of(item).is_some(),
    }
}

#[cfg(test)]
#[path = "expression_tests.rs"]
mod tests;
