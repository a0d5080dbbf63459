//! Errors as clients meet them. Each carries an `ErrorInfo` with a reason in UPPER_SNAKE and the domain "orderflow".

use std::{collections::HashMap, error::Error, fmt::Write, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{Invalid, Violation, trace::TraceId};

pub use tonic_types::PreconditionViolation;

/// The domain of every `ErrorInfo`.
pub const DOMAIN: &str = "orderflow";

/// An error without further details.
pub fn error(code: Code, reason: &str, message: impl Into<String>) -> Status {
    with_details(code, reason, message, ErrorDetails::new())
}

/// An error with details; the `ErrorInfo` is added here.
pub fn with_details(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    mut details: ErrorDetails,
) -> Status {
    details.set_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

/// INVALID_ARGUMENT that names every wrong field.
impl From<Invalid> for Status {
    fn from(invalid: Invalid) -> Self {
        let violations = invalid.violations();
        let mut details = ErrorDetails::new();
        let size = |v: &Violation| v.field.len() + v.description.len();
        let fitting = fitting(violations.iter().map(size));
        for violation in &violations[..fitting] {
            details.add_bad_request_violation(&violation.field, &violation.description);
        }
        if fitting < violations.len() {
            let more = format!("and {} more", violations.len() - fitting);
            details.add_bad_request_violation("", more);
        }
        let first = violations.first().map_or("", |v| v.field.as_str());
        let message = match violations.len() {
            1 => format!("invalid {first}"),
            n => format!("invalid {first} and {} more", n - 1),
        };
        with_details(Code::InvalidArgument, "INVALID_REQUEST", message, details)
    }
}

/// FAILED_PRECONDITION with one violation for each thing that stands in the way: its type in UPPER_SNAKE, its subject, and
/// what is so now.
pub fn failed_precondition(
    reason: &str,
    message: impl Into<String>,
    violations: &[PreconditionViolation],
) -> Status {
    let mut details = ErrorDetails::new();
    let size = |v: &PreconditionViolation| v.r#type.len() + v.subject.len() + v.description.len();
    let fitting = fitting(violations.iter().map(size));
    details.set_precondition_failure(&violations[..fitting]);
    if fitting < violations.len() {
        let more = format!("and {} more", violations.len() - fitting);
        details.add_precondition_failure_violation("", "", more);
    }
    with_details(Code::FailedPrecondition, reason, message, details)
}

/// How many violations of these sizes go into one answer. Details travel as a header, and gRPC's C core, under most
/// languages, refuses headers of more than 8 KiB in all.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    const MAX_BYTES: usize = 5 * 1024;
    const FRAMING: usize = 8;
    let mut left = MAX_BYTES;
    sizes
        .take_while(|size| {
            let fits = size + FRAMING <= left;
            left = left.saturating_sub(size + FRAMING);
            fits
        })
        .count()
}

/// NOT_FOUND. Also for what exists but is not the caller's to see.
pub fn not_found(reason: &str, message: impl Into<String>) -> Status {
    error(Code::NotFound, reason, message)
}

/// UNAVAILABLE: it may work soon, and nothing is known to be wrong with the request.
pub fn unavailable(reason: &str, message: impl Into<String>) -> Status {
    retry_later(
        Code::Unavailable,
        reason,
        message,
        Duration::from_millis(200),
    )
}

/// An error after which the same request may be sent again, `delay` later.
pub fn retry_later(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    delay: Duration,
) -> Status {
    let details = ErrorDetails::with_retry_info(Some(delay));
    with_details(code, reason, message, details)
}

/// INTERNAL. The cause goes to the log, once, and never to the caller, who gets the trace id to ask about it.
pub fn internal(cause: &dyn Error) -> Status {
    let trace_id = TraceId::current().unwrap_or_else(TraceId::random);
    tracing::error!(%trace_id, cause = chain(cause), "internal error");
    let mut details = ErrorDetails::new();
    let metadata = HashMap::from([("trace_id".to_owned(), trace_id.to_string())]);
    details.set_error_info("INTERNAL", DOMAIN, metadata);
    Status::with_error_details(Code::Internal, "internal error", details)
}

/// Whether an error with this code says for certain that the attempt made nothing: by the contract, what a caller need not ask about
/// again.
pub fn is_definite(code: Code) -> bool {
    !matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
    )
}

/// An error and its sources on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_is_named() {
        let mut invalid = Invalid::new();
        invalid.add("name", "must not be empty");
        invalid.add("price.minor_units", "must not be negative");
        let status = Status::from(invalid);
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!(violations.len(), 2);
        assert_eq!(violations[1].field, "price.minor_units");
        assert_eq!(details.error_info().unwrap().domain, DOMAIN);
    }

    #[test]
    fn the_details_fit_into_a_header() {
        let mut invalid = Invalid::new();
        for line in 0..10_000 {
            invalid.add(format!("lines[{line}].product_id"), crate::MalformedId);
        }
        let status = Status::from(invalid);
        assert!(
            status.details().len() < 6 * 1024,
            "{}",
            status.details().len()
        );
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        assert!(violations.len() > 30);
        assert!(violations.last().unwrap().description.ends_with("more"));
    }

    #[test]
    fn internal_keeps_its_cause_to_itself() {
        let cause = std::io::Error::other("mongodb://root:hunter2@db");
        let status = internal(&cause);
        assert_eq!(status.message(), "internal error");
        assert!(!format!("{status:?}").contains("hunter2"));
        assert!(
            status
                .get_error_details()
                .error_info()
                .unwrap()
                .metadata
                .contains_key("trace_id")
        );
    }
}
