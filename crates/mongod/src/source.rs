//! Which MongoDB to use.

/// Which MongoDB to use: one that runs already, or one of our own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// Connect to this URL and start nothing.
    Existing(String),
    /// Start a [`ReplicaSet`](crate::ReplicaSet).
    Own,
}

impl Source {
    /// What the environment variable `MONGO_URL` says.
    pub fn from_env() -> Self {
        Self::from_mongo_url(std::env::var("MONGO_URL").ok())
    }

    /// What a value of `MONGO_URL` says; empty counts as absent, as in a `.env` with nothing filled in.
    pub fn from_mongo_url(value: Option<String>) -> Self {
        match value {
            Some(url) if !url.trim().is_empty() => Self::Existing(url.trim().to_owned()),
            _ => Self::Own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn only_a_url_keeps_us_from_starting_one() {
        let source = |value: &str| Source::from_mongo_url(Some(value.to_owned()));
        assert_eq!(
            source(" mongodb://db:27017 "),
            Source::Existing("mongodb://db:27017".to_owned())
        );
        assert_eq!(source(" "), Source::Own);
        assert_eq!(Source::from_mongo_url(None), Source::Own);
    }
}
