//! What an expression refers to: Step Functions refuses definitions whose
//! expressions read a document that is not there.
//!
//! An expression is evaluated without a context item, so `name`, `$` and `$$`
//! have no meaning outside a path, a filter or another place that gives them
//! one; and `$states` has few fields, which depend on where the expression stands.

use jsonata_core::ast::{AstNode, PathStep, Stage};

use super::Available;

/// The texts of everything that the expression must not refer to, each once.
pub(super) fn references(ast: &AstNode, available: Available) -> Vec<String> {
    let mut walk = Walk {
        available,
        refused: Vec::new(),
    };
    walk.visit(ast, true);
    walk.refused
}

struct Walk {
    available: Available,
    refused: Vec<String>,
}

impl Walk {
    fn refuse(&mut self, message: String) {
        if !self.refused.contains(&message) {
            self.refused.push(message);
        }
    }

    /// `top`: nothing around the node gives it a context item.
    fn visit(&mut self, node: &AstNode, top: bool) {
        match node {
            AstNode::Name(name) if top => self.top_level(name),
            AstNode::Variable(name) if name.is_empty() && top => self.top_level("$"),
            AstNode::ParentVariable(_) => self.refuse("Reference to '$$' is not supported.".to_owned()),
            AstNode::Path { steps } => self.path(steps, top),
            AstNode::Binary { lhs, rhs, .. } => {
                self.visit(lhs, top);
                self.visit(rhs, top);
            }
            AstNode::Unary { operand, .. } => self.visit(operand, top),
            AstNode::Function { args, .. } => self.all(args, top),
            AstNode::Call { procedure, args } => {
                self.visit(procedure, top);
                self.all(args, top);
            }
            AstNode::Lambda { body, .. } => self.visit(body, top),
            AstNode::Array(nodes) | AstNode::Block(nodes) | AstNode::ArrayGroup(nodes) => self.all(nodes, top),
            AstNode::Object(pairs) => self.pairs(pairs, top),
            AstNode::ObjectTransform { input, pattern } => {
                self.visit(input, top);
                self.pairs(pattern, false);
            }
            AstNode::Conditional {
                condition,
                then_branch,
                else_branch,
            } => {
                self.visit(condition, top);
                self.visit(then_branch, top);
                if let Some(branch) = else_branch {
                    self.visit(branch, top);
                }
            }
            AstNode::FunctionApplication(node) => self.visit(node, false),
            AstNode::Sort { input, terms } => {
                self.visit(input, top);
                for (term, _) in terms {
                    self.visit(term, false);
                }
            }
            AstNode::Transform {
                location,
                update,
                delete,
            } => {
                self.visit(location, false);
                self.visit(update, false);
                if let Some(delete) = delete {
                    self.visit(delete, false);
                }
            }
            _ => {}
        }
    }

    fn all(&mut self, nodes: &[AstNode], top: bool) {
        for node in nodes {
            self.visit(node, top);
        }
    }

    fn pairs(&mut self, pairs: &[(AstNode, AstNode)], top: bool) {
        for (key, value) in pairs {
            self.visit(key, top);
            self.visit(value, top);
        }
    }

    fn path(&mut self, steps: &[PathStep], top: bool) {
        if let [first, second, ..] = steps
            && let (AstNode::Variable(variable), AstNode::Name(field)) = (&first.node, &second.node)
            && variable == "states"
        {
            self.states_field(field);
        }
        for (index, step) in steps.iter().enumerate() {
            self.visit(&step.node, top && index == 0);
            for stage in &step.stages {
                if let Stage::Filter(filter) = stage {
                    self.visit(filter, false);
                }
            }
        }
    }

    fn top_level(&mut self, name: &str) {
        self.refuse(format!("Reference to '{name}' at the top level is not supported."));
    }

    fn states_field(&mut self, field: &str) {
        let exists = match field {
            "input" | "context" | "result" => true,
            "errorOutput" => self.available == Available::ErrorOutput,
            _ => false,
        };
        if !exists {
            self.refuse(format!("Field '$states.{field}' does not exist."));
        }
    }
}
