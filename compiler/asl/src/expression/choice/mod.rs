//! The rules of a Choice state in JSONPath. [`OPERATORS`] is the whole list of operators.

mod operator;
mod parse;

pub use operator::{OPERATORS, Operator};

use super::{EvaluationError, Path, Scope};
use operator::Test;
use serde_json::Value;

/// A compiled rule.
#[derive(Debug, Clone)]
pub enum Rule {
    /// All of them.
    And(Vec<Rule>),
    /// At least one of them.
    Or(Vec<Rule>),
    /// Not this one.
    Not(Box<Rule>),
    /// A comparison.
    Compare {
        /// What is compared.
        variable: Path,
        /// How.
        operator: &'static Operator,
        /// With what.
        operand: Operand,
    },
}

/// What a variable is compared with.
#[derive(Debug, Clone)]
pub enum Operand {
    /// A value of the definition.
    Literal(Value),
    /// A value that a path leads to.
    Path(Path),
}

impl Rule {
    /// Whether the rule holds.
    ///
    /// # Errors
    /// [`EvaluationError`] where a path leads nowhere (but for IsPresent), or an operand has the wrong type.
    pub fn holds(&self, input: &Value, scope: &dyn Scope) -> Result<bool, EvaluationError> {
        match self {
            Self::And(rules) => {
                for rule in rules {
                    if !rule.holds(input, scope)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(rules) => {
                for rule in rules {
                    if rule.holds(input, scope)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(rule) => rule.holds(input, scope).map(|holds| !holds),
            Self::Compare { variable, operator, operand } => {
                compare(variable, operator, operand, input, scope)
            }
        }
    }
}

fn compare(
    variable: &Path,
    operator: &Operator,
    operand: &Operand,
    input: &Value,
    scope: &dyn Scope,
) -> Result<bool, EvaluationError> {
    let value = match variable.find(input, scope) {
        Err(EvaluationError::VariableNotFound(_)) if operator.test == Test::IsPresent => None,
        found => found?,
    };
    let path;
    let operand = match operand {
        Operand::Literal(literal) => literal,
        Operand::Path(operand) => {
            path = operand.find(input, scope)?.ok_or_else(|| invalid(operand))?;
            if !operator.test.accepts(&path) {
                return Err(EvaluationError::Unfit(format!(
                    "The choice state's {} path '{}' references a value of the wrong type: {path}",
                    operator.name,
                    operand.text(),
                )));
            }
            path.as_ref()
        }
    };
    if operator.test == Test::IsPresent {
        return Ok(operand.as_bool() == Some(value.is_some()));
    }
    let value = value.ok_or_else(|| invalid(variable))?;
    if operator.test == Test::Matches && !value.is_string() {
        return Err(EvaluationError::Unfit(format!(
            "The choice state's {} variable '{}' references a value of the wrong type: {value}",
            operator.name,
            variable.text(),
        )));
    }
    Ok(operator.test.holds(&value, operand))
}

fn invalid(path: &Path) -> EvaluationError {
    EvaluationError::Unfit(format!(
        "Invalid path '{}': The choice state's condition path references an invalid value.",
        path.text()
    ))
}
