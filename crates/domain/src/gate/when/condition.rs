//! One condition: read, bounded, and asked.
//!
//! The interpreter has no budget, so what an expression may cost is bounded before it is asked. Its text has at most 1024
//! bytes. Comprehensions (`all`, `exists`, `filter`, …) stand at most two deep in or behind one another, and there is no
//! other loop, no recursion and no regular expression. They go through at most 64 platforms, 128 labels, or a list that is
//! written into the expression: some 10⁵ steps at most, each of which handles no more than the variables, whose texts have 32
//! KiB (`variables.rs`). `map` is left out, for one behind the other makes much of little. Nesting costs stack: reading and
//! asking happen on a thread that has enough of it for every text within the bounds, and on which a defect of the interpreter
//! is an error and not the end of the program.

use std::{collections::BTreeSet, fmt};

use cel::{
    Context, IdedExpr, Program, Value,
    common::ast::{EntryExpr, Expr},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    super::words::shown,
    variables::{NAMES, Variables},
};

/// The longest text, in bytes.
const MAX_LENGTH: usize = 1024;
/// How many brackets may be opened. Nested, each takes some 170 kB of stack in a build without optimisation.
const MAX_BRACKETS: usize = 64;
/// How deep comprehensions may stand in or behind one another.
const MAX_COMPREHENSIONS: usize = 2;
/// The worst text within the bounds was measured to take between 16 and 24 MiB in a build without optimisation. Only what is
/// used of it is ever there.
const STACK: usize = 64 << 20;

/// Functions that may be called by name. Those of which the specification knows more need regular expressions or a clock.
const FUNCTIONS: &[&str] =
    &["size", "contains", "startsWith", "endsWith", "int", "uint", "double", "string", "bool", "bytes", "dyn", "type"];
/// Names of types, for `type(x) == int`.
const TYPES: &[&str] = &["int", "uint", "double", "string", "bool", "bytes", "list", "null_type", "type"];

/// A condition. Two are equal if they are written alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub(super) struct Condition {
    source: String,
    /// The variables that it names.
    names: BTreeSet<String>,
}

/// What a condition answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It could not be told, and why.
    Neither(String),
}

impl TryFrom<String> for Condition {
    type Error = String;

    fn try_from(source: String) -> Result<Self, Self::Error> {
        let names = read(&source).map_err(|why| format!("`{}` is no condition: {why}", shown(&source)))?;
        Ok(Self { source, names })
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> Self {
        condition.source
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.source))
    }
}

impl Condition {
    /// Whether it can only be asked when evidence was gathered.
    pub(super) fn asks_for_evidence(&self) -> bool {
        self.names.contains("evidence")
    }
}

/// The variables that a text names, if it is a condition within the bounds.
fn read(source: &str) -> Result<BTreeSet<String>, String> {
    if source.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    if source.len() > MAX_LENGTH {
        return Err(format!("it is longer than {MAX_LENGTH} bytes"));
    }
    if source.bytes().filter(|byte| b"([{".contains(byte)).count() > MAX_BRACKETS {
        return Err(format!("it has more than {MAX_BRACKETS} brackets"));
    }
    let mut words = source.split(|c: char| !c.is_alphanumeric() && c != '_');
    if words.any(|word| word == "map") {
        return Err("there is no `map`; use `all`, `exists`, `exists_one` or `filter`".to_owned());
    }
    on_large_stack(|| {
        let program = compiled(source)?;
        let mut walk = Walk::default();
        walk.expression(program.expression(), 0)?;
        Ok(walk.names)
    })?
}

fn compiled(source: &str) -> Result<Program, String> {
    Program::compile(source).map_err(|errors| match errors.errors.first() {
        Some(first) => format!("line {} column {}: {}", first.pos.0, first.pos.1, shown(&first.msg)),
        None => "it cannot be read".to_owned(),
    })
}

/// Asks every condition.
pub(super) fn evaluate(conditions: &[Condition], variables: &Variables) -> Vec<Answer> {
    let answers = on_large_stack(|| {
        let mut context = Context::default();
        variables.declare(&mut context)?;
        Ok(conditions.iter().map(|condition| answer(&condition.source, &context)).collect::<Vec<_>>())
    });
    match answers.and_then(|answers| answers) {
        Ok(answers) => answers,
        Err(why) => conditions.iter().map(|_| Answer::Neither(why.clone())).collect(),
    }
}

fn answer(source: &str, context: &Context<'_, '_>) -> Answer {
    let program = match compiled(source) {
        Ok(program) => program,
        Err(why) => return Answer::Neither(why),
    };
    match program.execute(context) {
        Ok(Value::Bool(true)) => Answer::True,
        Ok(Value::Bool(false)) => Answer::False,
        Ok(other) => Answer::Neither(format!("it is of type {}, neither true nor false", other.type_of())),
        Err(error) => Answer::Neither(shown(&error.to_string())),
    }
}

/// Runs `work` where there is stack enough for it.
fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("condition".to_owned()).stack_size(STACK).spawn_scoped(scope, work);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err("the interpreter broke off; please report this expression".to_owned()),
            Err(why) => Err(format!("no thread for it could be started: {why}")),
        }
    })
}

/// Looks through an expression for what may not be in it.
#[derive(Default)]
struct Walk {
    names: BTreeSet<String>,
    /// Variables of the comprehensions around.
    bound: Vec<String>,
}

impl Walk {
    fn expression(&mut self, expression: &IdedExpr, comprehensions: usize) -> Result<(), String> {
        let mut all =
            |expressions: &[&IdedExpr]| expressions.iter().try_for_each(|e| self.expression(e, comprehensions));
        match &expression.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => all(&[&select.operand]),
            Expr::List(list) => all(&list.elements.iter().collect::<Vec<_>>()),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => all(&[&entry.key, &entry.value]),
                EntryExpr::StructField(field) => all(&[&field.value]),
            }),
            Expr::Call(call) => {
                // Operators are calls too, of names that nobody can write: `_&&_`, `!_`, `@in`.
                let written = call.func_name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
                if written && !FUNCTIONS.contains(&call.func_name.as_str()) {
                    return Err(format!("there is no function `{}`", shown(&call.func_name)));
                }
                all(&call.target.iter().map(|target| &**target).chain(&call.args).collect::<Vec<_>>())
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, comprehensions + 1),
            Expr::Struct(_) => Err("messages cannot be made".to_owned()),
            Expr::Unspecified => Err("a part of it is missing".to_owned()),
        }
    }

    fn comprehension(&mut self, of: &cel::common::ast::ComprehensionExpr, depth: usize) -> Result<(), String> {
        if depth > MAX_COMPREHENSIONS {
            return Err(format!(
                "more than {MAX_COMPREHENSIONS} of `all`, `exists`, `filter` and such stand in or behind one another"
            ));
        }
        // What is gone through counts as inside: behind one another, each may make more of what the one before made.
        self.expression(&of.iter_range, depth)?;
        self.expression(&of.accu_init, depth)?;
        let before = self.bound.len();
        self.bound.extend([of.iter_var.clone(), of.accu_var.clone()].into_iter().chain(of.iter_var2.clone()));
        [&of.loop_cond, &of.loop_step, &of.result].into_iter().try_for_each(|part| self.expression(part, depth))?;
        self.bound.truncate(before);
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), String> {
        let plain = name.trim_start_matches('.');
        if self.bound.iter().any(|bound| bound == name) || TYPES.contains(&plain) {
            return Ok(());
        }
        if !NAMES.contains(&plain) {
            return Err(format!("there is no variable `{}`; there are {}", shown(name), NAMES.join(", ")));
        }
        self.names.insert(plain.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
