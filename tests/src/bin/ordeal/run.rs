//! From the start of a system to the verdict.

use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::{join_all, try_join_all};
use orderflow_chassis::Shutdown;
use orderflow_cli::audit;
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    Args, Problem,
    client::Client,
    history::History,
    judge::{Violation, by_subject, judge},
    progress::Progress,
    report::{Happened, Verdict},
    scenario::Scenario,
    schedule::Fault,
    shop::{SCARCE, Shop},
    system::System,
};

/// How long clients ask for what they do not know, once nothing fails any more: I5 allows so much.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// One run.
pub(crate) struct Ordeal<'a> {
    pub(crate) args: &'a Args,
    /// Cancelled when the time is over.
    pub(crate) over: Shutdown,
    /// Of the clients' choices.
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    pub(crate) scenario: Option<Scenario>,
}

impl Ordeal<'_> {
    /// True if nothing is wrong.
    pub(crate) async fn run(self, faults: Vec<Fault>) -> Result<bool, Problem> {
        let directory = &self.args.directory;
        fs::create_dir_all(directory)?;
        println!("logs and history: {}", directory.display());
        let system = System::start(directory).await?;
        let shop = Arc::new(Shop::open(&system.gateways()).await?);
        let history = Arc::new(History::in_file(&directory.join("history.ndjson"))?);
        let (happened, clients) = self.go_on(faults, &system, &shop, &history).await?;

        println!(
            "everything is made whole; {} outcomes are to be found out",
            clients.iter().map(Client::open).sum::<usize>()
        );
        system.ready().await?;
        let whole_from = history.now();
        join_all(
            clients
                .into_iter()
                .map(|client| client.settle(SETTLES_WITHIN)),
        )
        .await;
        system.note_the_dead().await;
        let clean = self
            .verdict(&system, &shop, &history, whole_from, happened)
            .await?;
        system.stop().await;
        Ok(clean)
    }

    /// Clients call and faults happen, until the time is over and everything is made whole.
    async fn go_on(
        &self,
        faults: Vec<Fault>,
        system: &System,
        shop: &Arc<Shop>,
        history: &Arc<History>,
    ) -> Result<(Vec<Happened>, Vec<Client>), Problem> {
        let calling = (0..self.args.clients).map(|number| {
            let (shop, history) = (shop.clone(), history.clone());
            let client = Client::new(number, &system.gateways(), shop, history, self.seed);
            tokio::spawn(client.run(self.over.clone()))
        });
        let calling: Vec<_> = calling.collect();
        let stage = Stage {
            begin: Instant::now(),
            system,
            history,
            over: &self.over,
            progress: Progress::begin(history.clone(), self.time),
            happened: Mutex::default(),
        };
        let end = async {
            let _ = timeout(self.time, self.over.cancelled()).await;
            self.over.cancel();
        };
        let failing = try_join_all(faults.into_iter().map(|fault| stage.happens(fault)));
        let (_, failed) = tokio::join!(end, failing);
        failed?;
        let clients = join_all(calling).await.into_iter();
        let clients = clients.map(|client| client.expect("no client panics"));
        stage.progress.end();
        let happened = stage.happened.into_inner();
        Ok((
            happened.unwrap_or_else(PoisonError::into_inner),
            clients.collect(),
        ))
    }

    async fn verdict(
        &self,
        system: &System,
        shop: &Shop,
        history: &History,
        whole_from: Duration,
        faults: Vec<Happened>,
    ) -> Result<bool, Problem> {
        // It waits until what those have left behind who went away is finished: else lists and stocks would show it half-way.
        system.audit(audit::History::default()).await?;
        shop.list_all(history).await?;
        let stocks = shop.stocks().await?;
        let attempts = history.take();
        let subjects = by_subject(&attempts);
        let (told, mut violations) = judge(&subjects, &shop.products, &stocks, whole_from);
        let (made, refused) = (told.acknowledged.len(), told.refused.len());
        let report = system.audit(told).await?;
        println!("\n{report}");
        violations.extend(report.violations.iter().map(|violation| Violation {
            subject: violation.subject(),
            what: violation.to_string(),
        }));
        if let Some(scenario) = self.scenario {
            violations.extend(scenario.judge(&attempts, self.time));
        }
        println!(
            "{} calls about {made} orders that were made and {refused} that were refused; {} scarce things are left",
            attempts.len(),
            stocks[SCARCE].iter().sum::<i64>()
        );
        let verdict = Verdict {
            subjects,
            faults,
            violations,
            mishaps: system.mishaps(),
        };
        println!("{verdict}");
        Ok(verdict.is_clean() && report.is_clean())
    }
}

/// Where faults happen.
struct Stage<'a> {
    begin: Instant,
    system: &'a System,
    history: &'a History,
    over: &'a Shutdown,
    progress: Progress,
    happened: Mutex<Vec<Happened>>,
}

impl Stage<'_> {
    /// One fault, from its beginning to its end, or to the end of all.
    async fn happens(&self, fault: Fault) -> Result<(), Problem> {
        tokio::select! {
            () = sleep_until(self.begin + fault.at) => {}
            () = self.over.cancelled() => return Ok(()),
        }
        self.progress.say(&fault.to_string());
        let began = self.history.now();
        let undo = self.system.inflict(fault.what).await?;
        // When all is over, everything is made whole.
        let _ = timeout(fault.lasts, self.over.cancelled()).await;
        undo.undo().await?;
        let fault = Happened {
            began,
            ended: self.history.now(),
            what: fault.what.to_string(),
        };
        let mut happened = self.happened.lock().unwrap_or_else(PoisonError::into_inner);
        happened.push(fault);
        Ok(())
    }
}
