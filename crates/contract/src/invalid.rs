use std::fmt::Display;

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field as in the proto: `lines[2].quantity`.
    pub field: String,
    /// What it must be.
    pub description: String,
}

/// All that is wrong with a request. Parsing goes on after the first mistake, so that a caller sees every one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invalid(Vec<Violation>);

impl Invalid {
    /// Nothing wrong so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request with one mistake.
    pub fn field(field: impl Into<String>, description: impl Display) -> Self {
        let mut invalid = Self::new();
        invalid.add(field, description);
        invalid
    }

    /// Notes a mistake.
    pub fn add(&mut self, field: impl Into<String>, description: impl Display) {
        self.0.push(Violation {
            field: field.into(),
            description: description.to_string(),
        });
    }

    /// The parsed value, or a note of what is wrong with the field.
    pub fn take<T, E: Display>(
        &mut self,
        field: impl Into<String>,
        parsed: Result<T, E>,
    ) -> Option<T> {
        parsed.map_err(|error| self.add(field, error)).ok()
    }

    /// The parsed request, if nothing was wrong. `value` is `None` only where a part of it was noted as wrong.
    pub fn finish<T>(self, value: impl FnOnce() -> Option<T>) -> Result<T, Self> {
        match (self.0.is_empty(), value()) {
            (true, Some(value)) => Ok(value),
            (true, None) => unreachable!("a part is missing although nothing was noted"),
            (false, _) => Err(self),
        }
    }

    /// The mistakes, in the order in which they were found.
    pub fn violations(&self) -> &[Violation] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_kept() {
        let mut invalid = Invalid::new();
        let a: Option<i32> = invalid.take("a", "x".parse::<i32>());
        let b: Option<i32> = invalid.take("b", "2".parse::<i32>());
        let c: Option<i32> = invalid.take("c", "".parse::<i32>());
        let wrong = invalid.finish(|| Some((a?, b?, c?))).unwrap_err();
        let fields: Vec<_> = wrong
            .violations()
            .iter()
            .map(|v| v.field.as_str())
            .collect();
        assert_eq!(fields, ["a", "c"]);
    }
}
