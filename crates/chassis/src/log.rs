//! The log: a line for each event, which names the call that it is about.

use std::{fmt, io::IsTerminal};

use orderflow_contract::trace::Call;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
    registry::LookupSpan,
};

/// Writes the log to standard error: `LOG` chooses what (as in `RUST_LOG`; `info` by default), `LOG_FORMAT=json` how.
pub fn to_stderr() {
    to(std::io::stderr, std::io::stderr().is_terminal());
}

/// As [`to_stderr`], to another place; with colours where that is a terminal.
pub fn to(place: impl for<'a> MakeWriter<'a> + Send + Sync + 'static, is_terminal: bool) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter())
        .with_writer(place);
    if std::env::var("LOG_FORMAT").is_ok_and(|format| format == "json") {
        log.json().map_event_format(Json).init();
    } else {
        log.with_ansi(is_terminal)
            .map_event_format(|text| Text(text.with_ansi(is_terminal)))
            .init();
    }
}

/// What `LOG` chooses; an empty one chooses nothing else.
fn filter() -> EnvFilter {
    let chosen = std::env::var("LOG")
        .ok()
        .filter(|chosen| !chosen.is_empty());
    chosen
        .and_then(|chosen| chosen.parse().ok())
        .unwrap_or_else(|| EnvFilter::new("info"))
}

/// Text, behind which stands what was called. The few lines that are written look it up: a span for each call, which has
/// it ready, costs a twelfth of what a small call takes in all.
struct Text<F>(F);

/// JSON, in which it is an object `call`.
struct Json<F>(F);

impl<F, S, N> FormatEvent<S, N> for Text<F>
where
    F: FormatEvent<S, N>,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(call) = Call::current() else {
            return self.0.format_event(ctx, writer, event);
        };
        let line = line(&self.0, ctx, event)?;
        let (server, path, trace_id) = (call.server, call.path.path(), call.trace_id);
        writeln!(
            writer,
            "{line} server={server} path={path:?} trace_id={trace_id}"
        )
    }
}

impl<F, S, N> FormatEvent<S, N> for Json<F>
where
    F: FormatEvent<S, N>,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(call) = Call::current() else {
            return self.0.format_event(ctx, writer, event);
        };
        let line = line(&self.0, ctx, event)?;
        let object = line.strip_suffix('}').ok_or(fmt::Error)?;
        let call = serde_json::json!({
            "server": call.server,
            "path": call.path.path(),
            "trace_id": call.trace_id.to_string(),
        });
        writeln!(writer, r#"{object},"call":{call}}}"#)
    }
}

/// What a format makes of an event, without the end of the line.
fn line<F, S, N>(
    format: &F,
    ctx: &FmtContext<'_, S, N>,
    event: &Event<'_>,
) -> Result<String, fmt::Error>
where
    F: FormatEvent<S, N>,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let mut line = String::new();
    format.format_event(ctx, Writer::new(&mut line), event)?;
    line.truncate(line.trim_end().len());
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use http::uri::PathAndQuery;
    use orderflow_contract::trace::TraceId;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What is logged within a call, and outside.
    async fn logged(subscriber: impl Subscriber + Send + Sync, lines: Lines) -> [String; 2] {
        let header = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
        let call = Call {
            trace_id: TraceId::from_traceparent(header).unwrap(),
            server: "gateway",
            path: PathAndQuery::from_static("/v1/products/\"\\?query=secret"),
        };
        let _guard = tracing::subscriber::set_default(subscriber);
        call.scope(async { tracing::info!(items = 3, "within") })
            .await;
        tracing::info!("outside");
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.try_into().unwrap()
    }

    #[tokio::test]
    async fn a_line_says_what_it_is_about() {
        let lines = Lines::default();
        let text = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .with_ansi(false)
            .map_event_format(Text);
        let [within, outside] = logged(text.finish(), lines).await;
        let about = r#"within items=3 server=gateway path="/v1/products/\"\\" trace_id=0af7651916cd43dd8448eb211c80319c"#;
        assert!(within.ends_with(about), "{within}");
        assert!(outside.ends_with("outside"), "{outside}");
    }

    #[tokio::test]
    async fn so_does_an_object() {
        let lines = Lines::default();
        let json = tracing_subscriber::fmt()
            .with_writer(lines.clone())
            .json()
            .map_event_format(Json);
        let [within, outside] = logged(json.finish(), lines).await;
        let within: serde_json::Value = serde_json::from_str(&within).unwrap();
        assert_eq!(within["fields"]["items"], 3);
        assert_eq!(within["call"]["path"], "/v1/products/\"\\");
        assert_eq!(within["call"]["server"], "gateway");
        assert_eq!(
            within["call"]["trace_id"],
            "0af7651916cd43dd8448eb211c80319c"
        );
        let outside: serde_json::Value = serde_json::from_str(&outside).unwrap();
        assert!(outside.get("call").is_none());
    }
}
