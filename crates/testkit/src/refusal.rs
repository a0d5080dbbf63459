use tonic::{Code, Status};
use tonic_types::StatusExt;

/// An error as a test looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// `ErrorInfo.reason`
    pub reason: String,
    /// The fields that `BadRequest` names, sorted.
    pub fields: Vec<String>,
    /// The violations of `PreconditionFailure`: type, subject, description.
    pub violations: Vec<(String, String, String)>,
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let fields = details.bad_request().map(|bad| &bad.field_violations);
        let mut fields: Vec<_> = fields
            .into_iter()
            .flatten()
            .map(|v| v.field.clone())
            .collect();
        fields.sort();
        let violations = details
            .precondition_failure()
            .map(|failure| &failure.violations);
        let violations = violations.into_iter().flatten();
        Self {
            code: status.code(),
            reason: details
                .error_info()
                .map(|info| info.reason.clone())
                .unwrap_or_default(),
            fields,
            violations: violations
                .map(|v| (v.r#type.clone(), v.subject.clone(), v.description.clone()))
                .collect(),
        }
    }
}

impl Refusal {
    /// The error of a call that must fail.
    #[track_caller]
    pub fn of<T: std::fmt::Debug>(result: Result<T, Status>) -> Self {
        Self::from(&result.expect_err("it must be refused"))
    }
}
