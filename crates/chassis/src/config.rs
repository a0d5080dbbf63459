//! Settings: each described once, where it is read.

use std::{collections::HashMap, fmt, str::FromStr};

/// Reads a program's settings. A setting `NAME` of the program `order` is looked up as `ORDER_NAME`, then as `NAME`, so that
/// one `.env` can serve all programs.
pub struct Settings {
    program: String,
    values: HashMap<String, String>,
    described: Vec<Description>,
    wrong: Vec<String>,
}

struct Description {
    name: &'static str,
    default: Option<String>,
    meaning: &'static str,
}

/// Everything that is wrong with the settings, a line each. Never a value: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Wrong(pub Vec<String>);

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Settings {
    /// Settings from a map.
    pub fn new(program: &str, values: HashMap<String, String>) -> Self {
        Self {
            program: program.to_owned(),
            values,
            described: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// Settings from the environment and, behind it, from a `.env` in this directory or one above.
    pub fn from_env(program: &str) -> Self {
        let mut wrong = Vec::new();
        let values = environment_and(&mut wrong);
        Self {
            wrong,
            ..Self::new(program, values)
        }
    }

    /// A setting that must be there.
    pub fn required<T: FromStr<Err: fmt::Display>>(
        &mut self,
        name: &'static str,
        meaning: &'static str,
    ) -> Option<T> {
        self.describe(name, None, meaning);
        match self.lookup(name) {
            None => {
                self.wrong.push(format!("{name} is missing: {meaning}"));
                None
            }
            Some((found, text)) => self.parse(&found, &text),
        }
    }

    /// Where MongoDB is. `MONGODB_URL`, which many deployments have, stands in for `MONGO_URL`.
    pub fn mongo_url(&mut self) -> Option<Secret> {
        if self.lookup("MONGO_URL").is_none()
            && let Some((_, url)) = self.lookup("MONGODB_URL")
        {
            self.values.insert("MONGO_URL".to_owned(), url);
        }
        self.required(
            "MONGO_URL",
            "the MongoDB replica set, mongodb://… or mongodb+srv://…",
        )
    }

    /// A setting with a default.
    pub fn or<T: FromStr<Err: fmt::Display>>(
        &mut self,
        name: &'static str,
        default: &str,
        meaning: &'static str,
    ) -> Option<T> {
        self.describe(name, Some(default.to_owned()), meaning);
        let (found, text) = self
            .lookup(name)
            .unwrap_or_else(|| (name.to_owned(), default.to_owned()));
        self.parse(&found, &text)
    }

    /// What a value that was read is made into, where that can fail for reasons of its own.
    pub fn check<T, U, E: fmt::Display>(
        &mut self,
        name: &str,
        value: Option<T>,
        make: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        make(value?)
            .map_err(|error| self.wrong.push(format!("{name}: {error}")))
            .ok()
    }

    /// The configuration, if nothing was wrong. `config` gives `None` only where a part of it was.
    pub fn finish<C>(self, config: impl FnOnce() -> Option<C>) -> Result<C, Wrong> {
        match (self.wrong.is_empty(), config()) {
            (true, Some(config)) => Ok(config),
            (true, None) => unreachable!("a part is missing although nothing was noted"),
            (false, _) => Err(Wrong(self.wrong)),
        }
    }

    /// A line of help for each setting that was read.
    pub fn help(&self) -> String {
        let width = self
            .described
            .iter()
            .map(|d| d.name.len())
            .max()
            .unwrap_or(0);
        let line = |d: &Description| {
            let default = match &d.default {
                None => " [required]".to_owned(),
                Some(default) if default.is_empty() => String::new(),
                Some(default) => format!(" [default: {default}]"),
            };
            format!("  {:width$}  {}{default}", d.name, d.meaning)
        };
        let lines: Vec<_> = self.described.iter().map(line).collect();
        format!(
            "Settings, from the environment or a .env file (also with the prefix {}_, which wins):\n{}",
            self.prefix(),
            lines.join("\n")
        )
    }

    fn describe(&mut self, name: &'static str, default: Option<String>, meaning: &'static str) {
        self.described.push(Description {
            name,
            default,
            meaning,
        });
    }

    fn prefix(&self) -> String {
        self.program.to_ascii_uppercase()
    }

    /// The name under which the setting was found, and its value. An empty value is none: compose files set variables so.
    fn lookup(&self, name: &str) -> Option<(String, String)> {
        [format!("{}_{name}", self.prefix()), name.to_owned()]
            .into_iter()
            .find_map(|name| {
                let value = self.values.get(&name)?;
                (!value.is_empty()).then(|| (name, value.clone()))
            })
    }

    fn parse<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, text: &str) -> Option<T> {
        text.parse()
            .map_err(|error| self.wrong.push(format!("{name}: {error}")))
            .ok()
    }
}

/// The environment and, behind it, a `.env` in this directory or one above. What is empty is left out.
pub fn environment() -> Result<HashMap<String, String>, Wrong> {
    let mut wrong = Vec::new();
    let mut values = environment_and(&mut wrong);
    values.retain(|_, value| !value.is_empty());
    if wrong.is_empty() {
        Ok(values)
    } else {
        Err(Wrong(wrong))
    }
}

fn environment_and(wrong: &mut Vec<String>) -> HashMap<String, String> {
    let mut values = HashMap::new();
    match dotenvy::dotenv_iter() {
        Ok(lines) => {
            for line in lines {
                match line {
                    Ok((name, value)) => _ = values.insert(name, value),
                    Err(error) => wrong.push(bad_line(&error)),
                }
            }
        }
        Err(error) if error.not_found() => {}
        Err(error) => wrong.push(bad_line(&error)),
    }
    values.extend(
        std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }),
    );
    values
}

/// A parse error of dotenvy quotes the line, which may hold a secret.
fn bad_line(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::Io(error) => format!(".env cannot be read: {error}"),
        _ => ".env has a line that is not NAME=value".to_owned(),
    }
}

/// The address of a service in a setting: `http://host:port`, or `https://`. [`http::Uri`] alone would take `127.0.0.1:7001` too, and fail at
/// the first call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl(pub http::Uri);

impl FromStr for ServiceUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "must be like http://host:port";
        let uri: http::Uri = text.parse().map_err(|_| WRONG)?;
        let is_bare = uri.path() == "/" && uri.query().is_none();
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        if is_http && is_bare {
            Ok(Self(uri))
        } else {
            Err(WRONG)
        }
    }
}

/// Where the replicas of a service are: one or more [`ServiceUrl`]s, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrls(pub Vec<http::Uri>);

impl FromStr for ServiceUrls {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let urls = text.split(',').map(|url| url.trim().parse::<ServiceUrl>());
        let urls: Result<_, _> = urls.map(|url| url.map(|url| url.0)).collect();
        urls.map(Self)
    }
}

/// A length of time in a setting: `500ms`, `30s`, `15m`, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duration(pub std::time::Duration);

impl FromStr for Duration {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "must be a time like 500ms, 30s, 15m or 2h";
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(WRONG)?;
        let (number, unit) = text.split_at(digits);
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(WRONG),
        };
        let number: u64 = number.parse().map_err(|_| WRONG)?;
        let ms = number.checked_mul(unit_ms).ok_or(WRONG)?;
        Ok(Self(std::time::Duration::from_millis(ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::new("order", pairs.collect())
    }

    fn read(mut s: Settings) -> Result<(u16, u16, Secret), Wrong> {
        let port = s.or("PORT", "80", "where to listen");
        let size = s.required("SIZE", "how many");
        let key = s.required("KEY", "the secret");
        s.finish(|| Some((port?, size?, key?)))
    }

    #[test]
    fn defaults_prefixes_and_empty_values() {
        let pairs = [
            ("SIZE", "7"),
            ("ORDER_SIZE", "9"),
            ("KEY", "k"),
            ("PORT", ""),
        ];
        let (port, size, _) = read(settings(&pairs)).unwrap();
        assert_eq!((port, size), (80, 9));
    }

    #[test]
    fn either_name_of_the_url_will_do_and_the_documented_one_wins() {
        let url = |pairs: &[(&str, &str)]| settings(pairs).mongo_url().unwrap().0;
        assert_eq!(url(&[("MONGODB_URL", "b")]), "b");
        assert_eq!(url(&[("ORDER_MONGODB_URL", "b")]), "b");
        assert_eq!(url(&[("MONGO_URL", "a"), ("MONGODB_URL", "b")]), "a");
    }

    #[test]
    fn all_that_is_wrong_is_reported_at_once_and_no_value_with_it() {
        let Wrong(wrong) = read(settings(&[("PORT", "eighty"), ("SIZE", "-1")])).unwrap_err();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(
            wrong.iter().all(|line| !line.contains("eighty")),
            "{wrong:?}"
        );
    }

    #[test]
    fn help_describes_every_setting() {
        let mut s = settings(&[]);
        let _: Option<u16> = s.or("PORT", "80", "where to listen");
        let _: Option<Secret> = s.required("KEY", "the secret");
        let help = s.help();
        assert!(
            help.contains("PORT  where to listen [default: 80]"),
            "{help}"
        );
        assert!(help.contains("KEY   the secret [required]"), "{help}");
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", Secret::from("hunter2".to_owned())), "***");
    }

    #[test]
    fn service_urls_have_a_scheme_and_no_path() {
        assert!("http://catalog:7002".parse::<ServiceUrl>().is_ok());
        assert!("https://catalog".parse::<ServiceUrl>().is_ok());
        for wrong in [
            "",
            "localhost:7001",
            "ftp://x",
            "http://x/api",
            "http://x?y",
        ] {
            assert!(wrong.parse::<ServiceUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_service_may_have_several_urls() {
        let urls = |text: &str| text.parse::<ServiceUrls>().map(|urls| urls.0.len());
        assert_eq!(urls("http://catalog:7002"), Ok(1));
        assert_eq!(urls("http://a:7002, http://b:7002"), Ok(2));
        for wrong in ["", ",", "http://a:7002,", "http://a:7002;http://b:7002"] {
            assert!(urls(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        let seconds = |text: &str| text.parse::<Duration>().map(|d| d.0.as_secs_f64());
        assert_eq!(seconds("60m"), Ok(3600.0));
        assert_eq!(seconds("500ms"), Ok(0.5));
        for wrong in ["", "5", "s", "-1s", "5 s", "99999999999999999999h"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
