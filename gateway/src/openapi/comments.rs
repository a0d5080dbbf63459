//! What the contract's comments say, for readers of JSON.

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{
    EnumDescriptor, EnumValueDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor,
    MethodDescriptor, ServiceDescriptor,
};

macro_rules! comments {
    ($($name:ident($descriptor:ty);)*) => {
        $(pub(super) fn $name(of: &$descriptor) -> String {
            comment(&of.parent_file(), of.path())
        })*
    };
}

comments! {
    of_service(ServiceDescriptor);
    of_method(MethodDescriptor);
    of_message(MessageDescriptor);
    of_field(FieldDescriptor);
    of_enum(EnumDescriptor);
    of_value(EnumValueDescriptor);
}

/// The first sentence.
pub(super) fn summary(comment: &str) -> &str {
    let line = comment.find("\n\n").unwrap_or(comment.len());
    let sentence = comment.find(". ").map_or(line, |end| end + 1);
    &comment[..sentence.min(line)]
}

fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let locations = file.file_descriptor_proto().source_code_info.iter();
    let mut locations = locations.flat_map(|info| &info.location);
    let location = locations.find(|location| location.path == path);
    let text = location.map_or("", |location| location.leading_comments());
    let lines = text.lines().map(str::trim);
    camel_case(lines.collect::<Vec<_>>().join("\n").trim()).replace('\n', " ")
}

/// Names of fields as they are in JSON; what stands in quotes is to be sent as it stands there.
fn camel_case(text: &str) -> String {
    let part = |(i, part): (usize, &str)| match i % 2 {
        0 => unquoted_camel_case(part),
        _ => format!("\"{part}\""),
    };
    text.split('"').enumerate().map(part).collect()
}

fn unquoted_camel_case(text: &str) -> String {
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut words = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_in_name) {
        let (before, word) = rest.split_at(start);
        let end = word.find(|c| !is_in_name(c)).unwrap_or(word.len());
        let name = &word[..end];
        words.push_str(before);
        words.push_str(JSON_NAMES.get(name).map_or(name, String::as_str));
        rest = &word[end..];
    }
    words + rest
}

/// Of those fields whose name in JSON is another one.
static JSON_NAMES: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let messages = orderflow_proto::descriptors().all_messages();
    let fields = messages.flat_map(|message| message.fields().collect::<Vec<_>>());
    fields
        .filter(|field| field.name() != field.json_name())
        .map(|field| (field.name().to_owned(), field.json_name().to_owned()))
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fields_and_nothing_else() {
        assert_eq!(
            camel_case("50 when page_size is 0; snake_case, request_id."),
            "50 when pageSize is 0; snake_case, requestId."
        );
        let quoted = r#""create_time", or nothing"#;
        assert_eq!(camel_case(quoted), quoted);
    }

    #[test]
    fn a_summary_is_a_sentence() {
        assert_eq!(summary("One. Two."), "One.");
        assert_eq!(summary("Up to 0.5 of it"), "Up to 0.5 of it");
        assert_eq!(summary(""), "");
    }
}
