//! A rule's JSON to rule.

use super::{Operand, Operator, Rule};
use crate::expression::{Path, SyntaxError};
use serde_json::Value;

/// Rules may stand this deep inside each other.
const MAX_NESTING: usize = 50;

impl Rule {
    /// Compiles a rule; `Next`, `Comment`, `Assign` and `Output` beside it are not its business.
    ///
    /// # Errors
    /// [`SyntaxError`] where the rule has no operator or more than one, or an operand of the wrong type.
    pub fn compile(rule: &Value) -> Result<Self, SyntaxError> {
        compile(rule, 0)
    }
}

fn compile(rule: &Value, depth: usize) -> Result<Rule, SyntaxError> {
    if depth > MAX_NESTING {
        return Err(SyntaxError::new(format!("rules inside each other more than {MAX_NESTING} times")));
    }
    let Value::Object(members) = rule else {
        return Err(SyntaxError::new("a choice rule has to be an object"));
    };
    let mut compiled = None;
    for (name, operand) in members {
        let one = match name.as_str() {
            "Next" | "Comment" | "Assign" | "Output" | "Variable" => continue,
            "And" => Rule::And(several(operand, depth)?),
            "Or" => Rule::Or(several(operand, depth)?),
            "Not" => Rule::Not(Box::new(compile(operand, depth + 1)?)),
            name => comparison(name, operand, members.get("Variable"))?,
        };
        if compiled.replace(one).is_some() {
            return Err(SyntaxError::new("a choice rule has to have one operator"));
        }
    }
    compiled.ok_or_else(|| SyntaxError::new("a choice rule has to have an operator"))
}

fn several(rules: &Value, depth: usize) -> Result<Vec<Rule>, SyntaxError> {
    match rules {
        Value::Array(rules) if !rules.is_empty() => {
            rules.iter().map(|rule| compile(rule, depth + 1)).collect()
        }
        _ => Err(SyntaxError::new("And and Or need an array of rules that is not empty")),
    }
}

fn comparison(name: &str, operand: &Value, variable: Option<&Value>) -> Result<Rule, SyntaxError> {
    let Some((operator, is_path)) = Operator::find(name) else {
        return Err(SyntaxError::new(format!("{name:?} is not a comparison operator")));
    };
    let Some(Value::String(variable)) = variable else {
        return Err(SyntaxError::new(format!("{name} needs a Variable: the path to what is compared")));
    };
    let variable = Path::parse(variable)?;
    let operand = match operand {
        Value::String(path) if is_path => Operand::Path(Path::parse(path)?),
        _ if is_path => return Err(SyntaxError::new(format!("{name} needs a path"))),
        literal if operator.accepts(literal) => Operand::Literal(literal.clone()),
        literal => return Err(SyntaxError::new(format!("{name} does not take {literal}"))),
    };
    Ok(Rule::Compare { variable, operator, operand })
}
