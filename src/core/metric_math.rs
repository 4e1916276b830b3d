//! CloudWatch metric math: the part of it that alarms on streams use.
//!
//! Follows "Using math expressions with CloudWatch metrics" in the user guide. An operator between
//! two series yields a point wherever either series has one, and treats a missing point as 0. A
//! division by 0 yields no point. A function of one series yields a scalar, a function of an array
//! of series yields a series.

use std::collections::BTreeMap;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Number(f64),
    Id(String),
    Array(Vec<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Call(Function, Vec<Expr>),
    /// `FILL(series, filling)`.
    Fill(Box<Expr>, Filling),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Max,
    Min,
    Sum,
    Avg,
    If,
    Abs,
    Ceil,
    Floor,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Filling {
    With(Box<Expr>),
    Repeat,
    Linear,
}

/// Parses `text`. The error says what is wrong or not supported.
pub fn parse(text: &str) -> Result<Expr, String> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
    };
    let expr = parser.binary(0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(token) => Err(format!("unexpected {token:?} in the expression {text}")),
    }
}

impl Expr {
    /// Collects the ids that the expression refers to.
    pub fn ids<'a>(&'a self, found: &mut Vec<&'a str>) {
        match self {
            Self::Number(_) => {}
            Self::Id(id) => found.push(id),
            Self::Array(items) | Self::Call(_, items) => {
                items.iter().for_each(|item| item.ids(found));
            }
            Self::Not(inner) | Self::Negate(inner) => inner.ids(found),
            Self::Binary(_, left, right) => {
                left.ids(found);
                right.ids(found);
            }
            Self::Fill(inner, filling) => {
                inner.ids(found);
                if let Filling::With(with) = filling {
                    with.ids(found);
                }
            }
        }
    }

    /// Returns whether each point of the result depends only on points of the same time.
    pub fn is_pointwise(&self) -> bool {
        use Function::{Avg, Max, Min, Sum};
        match self {
            Self::Number(_) | Self::Id(_) => true,
            Self::Call(Max | Min | Sum | Avg, args) => {
                matches!(args.as_slice(), [Self::Array(items)] if items.iter().all(Self::is_pointwise))
            }
            Self::Array(items) | Self::Call(_, items) => items.iter().all(Self::is_pointwise),
            Self::Not(inner) | Self::Negate(inner) => inner.is_pointwise(),
            Self::Binary(_, left, right) => left.is_pointwise() && right.is_pointwise(),
            Self::Fill(inner, Filling::With(with)) => inner.is_pointwise() && with.is_pointwise(),
            Self::Fill(..) => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Word(String),
    Symbol(&'static str),
}

/// Longer symbols come first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 19] = [
    "<=", ">=", "==", "!=", "&&", "||", "<", ">", "+", "-", "*", "/", "^", "(", ")", "[", "]", ",",
    "!",
];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let taken = if first.is_ascii_digit() || first == '.' {
            let number = number_prefix(rest);
            let value = number
                .parse()
                .map_err(|_| format!("{number} is not a number in {text}"))?;
            out.push(Token::Number(value));
            number.len()
        } else if first.is_ascii_alphabetic() || first == '_' {
            let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
            let len = rest.find(word).unwrap_or(rest.len());
            out.push(Token::Word(rest[..len].to_owned()));
            len
        } else {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
            let symbol = symbol.ok_or_else(|| format!("{first:?} is not supported in {text}"))?;
            out.push(Token::Symbol(symbol));
            symbol.len()
        };
        rest = rest[taken..].trim_start();
    }
    Ok(out)
}

fn number_prefix(text: &str) -> &str {
    let mut last = ' ';
    let end = text.find(|c: char| {
        let exponent_sign = matches!(c, '+' | '-') && matches!(last, 'e' | 'E');
        last = c;
        !(c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E') || exponent_sign)
    });
    &text[..end.unwrap_or(text.len())]
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
}

/// The deepest nesting of an expression that is accepted.
const MAX_DEPTH: u32 = 100;

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(s)) if *s == symbol);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.eat(symbol) {
            return Ok(());
        }
        Err(format!("expected {symbol} before {:?}", self.peek()))
    }

    /// Returns the next operator and its precedence.
    fn operator(&self) -> Option<(Operator, u8)> {
        use Operator::*;
        Some(match self.peek()? {
            Token::Symbol("||") => (Or, 1),
            Token::Symbol("&&") => (And, 2),
            Token::Word(word) if word == "OR" => (Or, 1),
            Token::Word(word) if word == "AND" => (And, 2),
            Token::Symbol("<") => (Less, 3),
            Token::Symbol("<=") => (LessOrEqual, 3),
            Token::Symbol(">") => (Greater, 3),
            Token::Symbol(">=") => (GreaterOrEqual, 3),
            Token::Symbol("==") => (Equal, 3),
            Token::Symbol("!=") => (NotEqual, 3),
            Token::Symbol("+") => (Add, 4),
            Token::Symbol("-") => (Subtract, 4),
            Token::Symbol("*") => (Multiply, 5),
            Token::Symbol("/") => (Divide, 5),
            Token::Symbol("^") => (Power, 7),
            _ => return None,
        })
    }

    fn binary(&mut self, minimum: u8) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the expression is nested too deeply".into());
        }
        let mut left = self.unary()?;
        while let Some((operator, power)) = self.operator() {
            if power < minimum {
                break;
            }
            self.at += 1;
            let right = self.binary(power + 1)?;
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, String> {
        if self.eat("-") {
            return Ok(Expr::Negate(Box::new(self.binary(6)?)));
        }
        if self.eat("!") {
            return Ok(Expr::Not(Box::new(self.binary(6)?)));
        }
        match self.next() {
            Some(Token::Number(value)) => Ok(Expr::Number(value)),
            Some(Token::Symbol("(")) => {
                let inner = self.binary(0)?;
                self.expect(")")?;
                Ok(inner)
            }
            Some(Token::Symbol("[")) => Ok(Expr::Array(self.arguments("]")?)),
            Some(Token::Word(word)) if self.eat("(") => self.call(&word),
            Some(Token::Word(word)) => Ok(Expr::Id(word)),
            other => Err(format!("expected a value, found {other:?}")),
        }
    }

    fn arguments(&mut self, end: &str) -> Result<Vec<Expr>, String> {
        let mut items = vec![self.binary(0)?];
        while self.eat(",") {
            items.push(self.binary(0)?);
        }
        self.expect(end)?;
        Ok(items)
    }

    fn call(&mut self, name: &str) -> Result<Expr, String> {
        use Function::*;
        let args = self.arguments(")")?;
        let (function, counts) = match name.to_ascii_uppercase().as_str() {
            "MAX" => (Max, 1..=1),
            "MIN" => (Min, 1..=1),
            "SUM" => (Sum, 1..=1),
            "AVG" => (Avg, 1..=1),
            "IF" => (If, 2..=3),
            "ABS" => (Abs, 1..=1),
            "CEIL" => (Ceil, 1..=1),
            "FLOOR" => (Floor, 1..=1),
            "FILL" => return fill(args),
            _ => return Err(format!("the function {name} is not supported")),
        };
        if !counts.contains(&args.len()) {
            return Err(format!("{name} does not take {} arguments", args.len()));
        }
        Ok(Expr::Call(function, args))
    }
}

fn fill(args: Vec<Expr>) -> Result<Expr, String> {
    let Ok([series, filling]) = <[Expr; 2]>::try_from(args) else {
        return Err("FILL takes two arguments".into());
    };
    let filling = match &filling {
        Expr::Id(word) if word == "REPEAT" => Filling::Repeat,
        Expr::Id(word) if word == "LINEAR" => Filling::Linear,
        _ => Filling::With(Box::new(filling)),
    };
    Ok(Expr::Fill(Box::new(series), filling))
}

/// Points on a common time axis, oldest first.
pub type Series = Vec<Option<f64>>;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Scalar(f64),
    Series(Series),
    Array(Vec<Value>),
}

/// The values of the ids in an expression.
pub struct Scope<'a> {
    pub values: &'a BTreeMap<String, Value>,
    /// The number of points on the axis.
    pub len: usize,
    /// Whether FILL also fills a series without any point. Set it to evaluate a single period of a
    /// longer range.
    pub fill_empty: bool,
}

impl Scope<'_> {
    pub fn eval(&self, expr: &Expr) -> Result<Value, String> {
        Ok(match expr {
            Expr::Number(number) => Value::Scalar(*number),
            Expr::Id(id) => self
                .values
                .get(id)
                .cloned()
                .ok_or_else(|| format!("no metric or expression has the id {id}"))?,
            Expr::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.eval(item))
                    .collect::<Result<_, _>>()?,
            ),
            Expr::Negate(inner) => map(self.eval(inner)?, &|x| -x),
            Expr::Not(inner) => map(self.eval(inner)?, &|x| truth(x == 0.0)),
            Expr::Binary(operator, left, right) => {
                self.arithmetic(*operator, self.eval(left)?, self.eval(right)?)?
            }
            Expr::Fill(inner, filling) => self.fill(self.eval(inner)?, filling)?,
            Expr::Call(function, args) => self.call(*function, args)?,
        })
    }

    fn call(&self, function: Function, args: &[Expr]) -> Result<Value, String> {
        let first = self.eval(args.first().ok_or("a function without arguments")?)?;
        Ok(match function {
            Function::Abs => map(first, &f64::abs),
            Function::Ceil => map(first, &f64::ceil),
            Function::Floor => map(first, &f64::floor),
            Function::If => {
                let yes = self.eval(&args[1])?;
                let no = args.get(2).map(|no| self.eval(no)).transpose()?;
                self.choose(first, &yes, no.as_ref())?
            }
            Function::Max | Function::Min | Function::Sum | Function::Avg => {
                self.aggregate(function, first)?
            }
        })
    }

    fn arithmetic(&self, op: Operator, left: Value, right: Value) -> Result<Value, String> {
        use Value::{Array, Scalar, Series};
        Ok(match (left, right) {
            (Scalar(a), Scalar(b)) => match apply(op, a, b) {
                Some(result) => Scalar(result),
                None => Series(vec![None; self.len]),
            },
            (Series(a), Scalar(b)) => Series(each(a, |x| apply(op, x, b))),
            (Scalar(a), Series(b)) => Series(each(b, |x| apply(op, a, x))),
            (Series(a), Series(b)) => Series(
                a.into_iter()
                    .zip(b)
                    .map(|pair| match pair {
                        (None, None) => None,
                        (a, b) => apply(op, a.unwrap_or(0.0), b.unwrap_or(0.0)),
                    })
                    .collect(),
            ),
            (Array(items), other) if !matches!(other, Array(_)) => Array(
                items
                    .into_iter()
                    .map(|item| self.arithmetic(op, item, other.clone()))
                    .collect::<Result<_, _>>()?,
            ),
            (other, Array(items)) if !matches!(other, Array(_)) => Array(
                items
                    .into_iter()
                    .map(|item| self.arithmetic(op, other.clone(), item))
                    .collect::<Result<_, _>>()?,
            ),
            _ => return Err("arithmetic between two arrays is not supported".into()),
        })
    }

    fn fill(&self, value: Value, filling: &Filling) -> Result<Value, String> {
        let mut points = match value {
            Value::Series(points) => points,
            Value::Array(items) => {
                let filled = items.into_iter().map(|item| self.fill(item, filling));
                return Ok(Value::Array(filled.collect::<Result<_, _>>()?));
            }
            Value::Scalar(_) => return Err("FILL takes a series".into()),
        };
        if !self.fill_empty && points.iter().all(Option::is_none) {
            return Ok(Value::Series(points));
        }
        match filling {
            Filling::With(with) => {
                let with = self.eval(with)?;
                for (at, point) in points.iter_mut().enumerate() {
                    *point = point.or_else(|| at_slot(&with, at));
                }
            }
            Filling::Repeat => {
                let mut last = None;
                for point in &mut points {
                    *point = point.or(last);
                    last = *point;
                }
            }
            Filling::Linear => fill_linear(&mut points),
        }
        Ok(Value::Series(points))
    }

    fn choose(&self, condition: Value, yes: &Value, no: Option<&Value>) -> Result<Value, String> {
        let pick = |at: usize, condition: f64| {
            if condition != 0.0 {
                at_slot(yes, at)
            } else {
                no.and_then(|no| at_slot(no, at))
            }
        };
        match condition {
            Value::Scalar(condition) => Ok(if condition != 0.0 {
                yes.clone()
            } else {
                no.cloned()
                    .unwrap_or_else(|| Value::Series(vec![None; self.len]))
            }),
            Value::Series(points) => {
                let picked = points.iter().enumerate();
                let picked = picked.map(|(at, point)| point.and_then(|point| pick(at, point)));
                Ok(Value::Series(picked.collect()))
            }
            Value::Array(_) => Err("the condition of IF must not be an array".into()),
        }
    }

    fn aggregate(&self, function: Function, value: Value) -> Result<Value, String> {
        let items = match value {
            Value::Scalar(scalar) => return Ok(Value::Scalar(scalar)),
            Value::Series(points) => {
                let total = reduce(function, points.into_iter().flatten());
                return Ok(total.map_or_else(|| Value::Series(vec![None; self.len]), Value::Scalar));
            }
            Value::Array(items) => items,
        };
        if items.iter().any(|item| matches!(item, Value::Array(_))) {
            return Err("an array within an array is not supported".into());
        }
        let scalars = items.iter().filter_map(|item| match item {
            Value::Scalar(scalar) => Some(*scalar),
            _ => None,
        });
        let scalars: Vec<f64> = scalars.collect();
        let series: Vec<Series> = items
            .into_iter()
            .filter_map(|item| match item {
                Value::Series(points) => Some(points),
                _ => None,
            })
            .collect();
        if series.is_empty() {
            let total = reduce(function, scalars.into_iter());
            return total.map(Value::Scalar).ok_or("an empty array".into());
        }
        let points = (0..self.len).map(|at| {
            let here: Vec<f64> = series
                .iter()
                .filter_map(|s| s.get(at).copied().flatten())
                .collect();
            if here.is_empty() {
                return None;
            }
            reduce(function, here.into_iter().chain(scalars.iter().copied()))
        });
        Ok(Value::Series(points.collect()))
    }
}

fn reduce(function: Function, points: impl Iterator<Item = f64>) -> Option<f64> {
    let mut count = 0.0;
    let total = points
        .inspect(|_| count += 1.0)
        .reduce(|a, b| match function {
            Function::Max => a.max(b),
            Function::Min => a.min(b),
            _ => a + b,
        })?;
    Some(match function {
        Function::Avg => total / count,
        _ => total,
    })
}

fn at_slot(value: &Value, at: usize) -> Option<f64> {
    match value {
        Value::Scalar(scalar) => Some(*scalar),
        Value::Series(points) => points.get(at).copied().flatten(),
        Value::Array(_) => None,
    }
}

fn each(points: Series, f: impl Fn(f64) -> Option<f64>) -> Series {
    points.into_iter().map(|point| point.and_then(&f)).collect()
}

fn map(value: Value, f: &dyn Fn(f64) -> f64) -> Value {
    match value {
        Value::Scalar(scalar) => Value::Scalar(f(scalar)),
        Value::Series(points) => Value::Series(each(points, |x| Some(f(x)))),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| map(item, f)).collect()),
    }
}

fn truth(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

fn apply(op: Operator, a: f64, b: f64) -> Option<f64> {
    let result = match op {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Power => a.powf(b),
        Operator::Less => truth(a < b),
        Operator::LessOrEqual => truth(a <= b),
        Operator::Greater => truth(a > b),
        Operator::GreaterOrEqual => truth(a >= b),
        Operator::Equal => truth(a == b),
        Operator::NotEqual => truth(a != b),
        Operator::And => truth(a != 0.0 && b != 0.0),
        Operator::Or => truth(a != 0.0 || b != 0.0),
    };
    result.is_finite().then_some(result)
}

fn fill_linear(points: &mut [Option<f64>]) {
    let known: Vec<(usize, f64)> = points
        .iter()
        .enumerate()
        .filter_map(|(at, point)| point.map(|value| (at, value)))
        .collect();
    for pair in known.windows(2) {
        let [(from, a), (to, b)] = [pair[0], pair[1]];
        for (step, point) in points[from..to].iter_mut().enumerate() {
            *point = Some(a + (b - a) * step as f64 / (to - from) as f64);
        }
    }
}

#[cfg(test)]
mod tests;
