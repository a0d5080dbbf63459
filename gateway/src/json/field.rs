//! Fields of messages, by the names that a contract, a path or a query calls them.

use std::fmt;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// A field of a request, or of a message within it: `price_range.currency_code`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldPath(Vec<FieldDescriptor>);

impl FieldPath {
    /// By its names with dots between them, each as in the proto or as in JSON.
    pub(crate) fn resolve(request: &MessageDescriptor, names: &str) -> Option<Self> {
        let mut fields = Vec::new();
        let mut message = Some(request.clone());
        for name in names.split('.') {
            let field = named(&message?, name)?;
            message = message_in(&field);
            fields.push(field);
        }
        Some(Self(fields))
    }

    /// From the outermost inwards; never empty.
    pub(crate) fn fields(&self) -> &[FieldDescriptor] {
        &self.0
    }

    /// The field itself.
    pub(crate) fn field(&self) -> &FieldDescriptor {
        self.0.last().expect("a path has at least one field")
    }

    /// True for one whose value is a word, not a list, a map or fields of its own.
    pub(crate) fn is_word(&self) -> bool {
        let field = self.field();
        !field.is_list() && !field.is_map() && message_in(field).is_none()
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, field) in self.0.iter().enumerate() {
            write!(f, "{}{}", if depth > 0 { "." } else { "" }, field.name())?;
        }
        Ok(())
    }
}

/// A field by its name in the proto or in JSON.
pub(crate) fn named(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message
        .get_field_by_json_name(name)
        .or_else(|| message.get_field_by_name(name))
}

/// The message that a field holds one of, unless JSON has another form for it: a time is a word there.
pub(crate) fn message_in(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if !field.is_list() && !field.is_map() => {
            (!is_well_known(&message)).then_some(message)
        }
        _ => None,
    }
}

/// True for the messages that JSON has forms of their own for.
pub(crate) fn is_well_known(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_kinds() {
        let request = orderflow_proto::descriptors()
            .get_message_by_name("orderflow.catalog.v1.ListProductsRequest")
            .unwrap();
        let resolve = |names| FieldPath::resolve(&request, names).map(|path| path.to_string());
        let found = Some("price_range.min_minor_units".to_owned());
        assert_eq!(resolve("price_range.min_minor_units"), found);
        assert_eq!(resolve("priceRange.minMinorUnits"), found);
        assert_eq!(resolve("query"), Some("query".to_owned()));
        for unknown in [
            "",
            ".",
            "query.",
            ".query",
            "query.length",
            "priceRange.priceRange",
        ] {
            assert_eq!(resolve(unknown), None, "{unknown}");
        }
    }
}
