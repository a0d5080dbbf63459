//! Paths with fields in them: `/v1/products/{product_id}:adjustStock`.

use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode_str;
use prost_reflect::MessageDescriptor;

use super::field::FieldPath;

/// The path of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    segments: Vec<Segment>,
    verb: Option<String>,
}

/// What stands between two slashes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Segment {
    /// This and nothing else.
    Literal(String),
    /// The value of a field: anything but nothing.
    Variable(FieldPath),
}

/// The path of a request in its parts, percent-decoded.
pub(crate) struct Path<'a> {
    segments: Vec<Cow<'a, [u8]>>,
    verb: Option<Cow<'a, [u8]>>,
}

impl<'a> Path<'a> {
    /// A bare colon in the last segment begins the verb; one that belongs to a value is percent-encoded.
    pub(crate) fn parse(path: &'a str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (path, verb) = split_verb(path);
        let decoded = |text| percent_decode_str(text).into();
        Self {
            segments: path.split('/').map(decoded).collect(),
            verb: verb.map(decoded),
        }
    }
}

impl Template {
    /// Of what `google.api.http` knows this takes literals, `{field}`, `{field=*}` and a verb. The error says what it met
    /// instead.
    pub(crate) fn parse(text: &str, request: &MessageDescriptor) -> Result<Self, String> {
        let path = text.strip_prefix('/').ok_or("a path begins with /")?;
        let (path, verb) = split_verb(path);
        if verb.is_some_and(|verb| !is_literal(verb)) {
            return Err(format!("the verb of {text} is not a literal"));
        }
        let segment = |segment: &str| match variable(segment) {
            Some(names) => word(names, request).map(Segment::Variable),
            None if is_literal(segment) => Ok(Segment::Literal(segment.to_owned())),
            None => Err(format!(
                "{segment:?} is neither a literal nor {{field}} nor {{field=*}}"
            )),
        };
        let template = Self {
            segments: path.split('/').map(segment).collect::<Result<_, _>>()?,
            verb: verb.map(str::to_owned),
        };
        let variables: Vec<_> = template.variables().collect();
        match (1..variables.len()).find(|&n| variables[..n].contains(&variables[n])) {
            Some(n) => Err(format!("{} is in the path twice", variables[n])),
            None => Ok(template),
        }
    }

    /// From left to right.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What comes after the colon.
    pub(crate) fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }

    /// The fields in the path, from left to right.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &FieldPath> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Variable(field) => Some(field),
            Segment::Literal(_) => None,
        })
    }

    /// What the fields have as their values in this path, if it is one of these.
    pub(crate) fn captures<'t, 'p>(
        &'t self,
        path: &'p Path<'_>,
    ) -> Option<Vec<(&'t FieldPath, &'p [u8])>> {
        let verb = self.verb.as_deref().map(str::as_bytes);
        if verb != path.verb.as_deref() || self.segments.len() != path.segments.len() {
            return None;
        }
        let mut captures = Vec::new();
        for (segment, value) in self.segments.iter().zip(&path.segments) {
            match segment {
                Segment::Literal(literal) if literal.as_bytes() == &**value => {}
                Segment::Variable(field) if !value.is_empty() => captures.push((field, &**value)),
                _ => return None,
            }
        }
        Some(captures)
    }

    /// Of two templates that a path may match, the one that sorts first says more about it: literals come before variables.
    pub(crate) fn precedence(&self) -> Vec<bool> {
        let is_variable = |segment: &Segment| matches!(segment, Segment::Variable(_));
        self.segments().iter().map(is_variable).collect()
    }

    /// The same for two templates that match the same paths.
    pub(crate) fn shape(&self) -> String {
        let anonymous = |segment: &Segment| match segment {
            Segment::Literal(literal) => format!("/{literal}"),
            Segment::Variable(_) => "/{}".to_owned(),
        };
        let path: String = self.segments.iter().map(anonymous).collect();
        format!("{path}:{}", self.verb.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(f, "/{literal}")?,
                Segment::Variable(field) => write!(f, "/{{{field}}}")?,
            }
        }
        match self.verb() {
            Some(verb) => write!(f, ":{verb}"),
            None => Ok(()),
        }
    }
}

/// The verb is what follows the last colon of the last segment.
fn split_verb(path: &str) -> (&str, Option<&str>) {
    match path.rsplit_once(':') {
        Some((path, verb)) if !verb.contains('/') => (path, Some(verb)),
        _ => (path, None),
    }
}

fn is_literal(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    !text.is_empty() && text.bytes().all(plain)
}

/// `{field}` and `{field=*}` mean the same.
fn variable(segment: &str) -> Option<&str> {
    let inside = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(inside.strip_suffix("=*").unwrap_or(inside))
}

fn word(names: &str, request: &MessageDescriptor) -> Result<FieldPath, String> {
    let field = FieldPath::resolve(request, names)
        .ok_or_else(|| format!("{} has no field {names}", request.full_name()))?;
    match field.is_word() {
        true => Ok(field),
        false => Err(format!("{names} cannot be written as one word in a path")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str) -> MessageDescriptor {
        orderflow_proto::descriptors()
            .get_message_by_name(&format!("orderflow.catalog.v1.{name}"))
            .unwrap()
    }

    fn template(text: &str) -> Template {
        Template::parse(text, &request("UpdateProductRequest")).unwrap()
    }

    /// The values, as text.
    fn captures(template: &Template, path: &str) -> Option<Vec<String>> {
        let path = Path::parse(path);
        let captures = template.captures(&path)?;
        let text = |(_, value): (_, &[u8])| String::from_utf8_lossy(value).into_owned();
        Some(captures.into_iter().map(text).collect())
    }

    #[test]
    fn it_reads_as_it_is_written() {
        for text in [
            "/v1/products",
            "/v1/products/{product.id}",
            "/v1/products/{product.id}/status",
            "/v1/products/{product.id}:adjustStock",
            "/v1/products:batchGet",
        ] {
            assert_eq!(template(text).to_string(), text);
        }
        assert_eq!(template("/a/{product.id=*}").to_string(), "/a/{product.id}");
    }

    #[test]
    fn what_is_not_supported_is_an_error() {
        for text in [
            "",
            "v1",
            "/",
            "/v1/",
            "/v1//a",
            "/v1/*",
            "/v1/**",
            "/v1/{product.id=**}",
            "/v1/{product.id=products/*}",
            "/v1/a{product.id}",
            "/v1/{product.id",
            "/v1/{}",
            "/v1/{nothing}",
            "/v1/{product}",
            "/v1/{product.price}",
            "/v1/{product.id}/{product.id}",
            "/v1/a:",
            "/v1/a:{product.id}",
            "/v1/ç",
        ] {
            let parsed = Template::parse(text, &request("UpdateProductRequest"));
            assert!(parsed.is_err(), "{text}: {parsed:?}");
        }
        let list = Template::parse("/v1/{ids}", &request("BatchGetProductsRequest"));
        assert!(list.is_err(), "a list is not a word");
    }

    #[test]
    fn variables_take_one_segment_each() {
        let one = template("/v1/products/{product.id}");
        let value = |path| captures(&one, path);
        assert_eq!(value("/v1/products/p-1"), Some(vec!["p-1".to_owned()]));
        assert_eq!(
            value("/v1/products/a%2Fb%3Ac%20%C3%A7"),
            Some(vec!["a/b:c ç".to_owned()])
        );
        for other in [
            "/v1/products",
            "/v1/products/",
            "/v1/products//",
            "/v1/products/p/",
            "/v1/products/p/q",
            "/v1/Products/p",
            "//v1/products/p",
            "/v1//p",
        ] {
            assert_eq!(value(other), None, "{other}");
        }
    }

    #[test]
    fn a_bare_colon_begins_a_verb() {
        let (plain, verb) = (
            template("/v1/{product.id}"),
            template("/v1/{product.id}:cancel"),
        );
        assert_eq!(captures(&plain, "/v1/p:cancel"), None);
        assert_eq!(captures(&verb, "/v1/p:cancel"), Some(vec!["p".to_owned()]));
        assert_eq!(
            captures(&plain, "/v1/p%3Acancel"),
            Some(vec!["p:cancel".to_owned()])
        );
        assert_eq!(
            captures(&verb, "/v1/a:b:cancel"),
            Some(vec!["a:b".to_owned()])
        );
        for other in [
            "/v1/p",
            "/v1/p:",
            "/v1/:cancel",
            "/v1/p:cance",
            "/v1/p:cancel/",
        ] {
            assert_eq!(captures(&verb, other), None, "{other}");
        }
    }

    #[test]
    fn literals_come_first() {
        let order = |one, other| template(one).precedence() < template(other).precedence();
        assert!(order("/v1/a", "/v1/{product.id}"));
        assert!(order("/v1/a/{product.id}", "/v1/{product.id}/a"));
        assert_eq!(
            template("/v1/{product.id}").shape(),
            template("/v1/{product.name}").shape()
        );
        assert_ne!(
            template("/v1/{product.id}").shape(),
            template("/v1/{product.id}:a").shape()
        );
    }
}
