//! The system that all this happens to: two of each program, a replica set of three, and the ways between them.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mongodb::{Client, bson::doc};
use orderflow_chassis::health;
use orderflow_cli::{
    audit::{Audit, Databases, History, Report, progress_bar},
    secrets,
};
use orderflow_mongod::{Node, Options, ReplicaSet};
use orderflow_testkit::{Condition, Link};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint};

use crate::{
    Problem,
    program::Program,
    schedule::{Way, What, Who, called_by, programs, ways},
};

/// How long it may take to become ready.
const READY: Duration = Duration::from_secs(60);
/// How often clients ask whether their connection is there, and how long they wait for the answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How often a node of MongoDB is started again before it is given up.
const RESTARTS: usize = 3;

pub(crate) struct System {
    links: HashMap<Way, Arc<Link>>,
    // Programs end before the MongoDB that they use.
    programs: HashMap<Who, Program>,
    mongodb: ReplicaSet,
    client: Client,
    /// What went wrong that was not planned.
    mishaps: Mutex<Vec<String>>,
}

/// What has to be undone when a fault is over.
pub(crate) enum Undo<'a> {
    Start(&'a Program),
    Resume(&'a Program),
    Mend(&'a Link, Condition),
    RestartNode(&'a Node),
    ResumeNodes(Vec<&'a Node>),
    Nothing,
}

impl System {
    /// Starts it and waits until it is ready. What programs say goes into files in this directory.
    pub(crate) async fn start(directory: &Path) -> Result<Self, Problem> {
        let mongodb = ReplicaSet::start(Options::ephemeral().three_nodes()).await?;
        let client = Client::with_uri_str(mongodb.url()).await?;
        let links = links().await;
        let settings = settings(&mongodb);
        let mut system = Self {
            programs: HashMap::new(),
            links,
            mongodb,
            client,
            mishaps: Mutex::default(),
        };
        for who in programs() {
            let program = system.program_of(who, settings.clone(), directory)?;
            program.start().await?;
            system.programs.insert(who, program);
        }
        system.ready().await?;
        Ok(system)
    }

    fn program_of(
        &self,
        who: Who,
        mut settings: HashMap<String, String>,
        directory: &Path,
    ) -> io::Result<Program> {
        for called in called_by(who.program) {
            let urls = programs().filter(|to| to.program == *called).map(|to| {
                let way = Way {
                    from: Some(who),
                    to,
                };
                format!("http://{}", self.links[&way].address())
            });
            let name = format!("{}_URL", called.to_uppercase());
            settings.insert(name, urls.collect::<Vec<_>>().join(","));
        }
        let to_it = self.links.iter().filter(|(way, _)| way.to == who);
        let to_it = to_it.map(|(_, link)| link.clone()).collect();
        let log = directory.join(format!("{who}.log"));
        // It is appended to; that of another run would be taken for this one's.
        File::create(&log)?;
        Ok(Program::new(who, settings, to_it, log))
    }

    /// Waits until all of it is ready.
    pub(crate) async fn ready(&self) -> Result<(), Problem> {
        let until = Instant::now() + READY;
        for (way, link) in &self.links {
            while let Err(problem) = health::ask(link.address()).await {
                if Instant::now() > until {
                    return Err(Problem::NotReady(format!("{way}: {problem}")));
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// A connection for a client, to each gateway.
    pub(crate) fn gateways(&self) -> Vec<Channel> {
        let gateways = programs().filter(|who| who.program == "gateway");
        let connect = |to| {
            let address = self.links[&Way { from: None, to }].address();
            Endpoint::from_shared(format!("http://{address}"))
                .expect("an address is a URI")
                .connect_timeout(Duration::from_secs(2))
                .tcp_nodelay(true)
                // As a client should: else one that fell silent is waited for until the kernel gives up.
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(KEEP_ALIVE)
                .keep_alive_while_idle(true)
                .connect_lazy()
        };
        gateways.map(connect).collect()
    }

    /// Does it, and says how it is undone.
    pub(crate) async fn inflict(&self, what: What) -> Result<Undo<'_>, Problem> {
        Ok(match what {
            What::Killed(who) => {
                let program = &self.programs[&who];
                program.kill().await?;
                Undo::Start(program)
            }
            What::Terminated(who) => {
                let program = &self.programs[&who];
                if let Err(mishap) = program.terminate().await {
                    self.note(mishap);
                }
                Undo::Start(program)
            }
            What::Stopped(who) => {
                let program = &self.programs[&who];
                program.stop().await;
                Undo::Resume(program)
            }
            What::Way(way, condition) => {
                let link = &*self.links[&way];
                link.becomes(condition);
                Undo::Mend(link, condition)
            }
            What::PrimaryKilled => {
                let node = self.mongodb.primary().await?;
                node.kill();
                Undo::RestartNode(node)
            }
            What::PrimaryStopped => {
                let node = self.mongodb.primary().await?;
                node.pause();
                Undo::ResumeNodes(vec![node])
            }
            What::PrimarySteppedDown => {
                let down = doc! { "replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 2 };
                let admin = self.client.database("admin");
                // When it is too busy to do so, nothing has happened.
                let _ = timeout(Duration::from_secs(5), admin.run_command(down)).await;
                Undo::Nothing
            }
            What::SecondaryKilled => {
                let node = self.secondaries().await?.remove(0);
                node.kill();
                Undo::RestartNode(node)
            }
            What::SecondariesStopped => {
                let nodes = self.secondaries().await?;
                nodes.iter().for_each(|node| node.pause());
                Undo::ResumeNodes(nodes)
            }
        })
    }

    async fn secondaries(&self) -> Result<Vec<&Node>, Problem> {
        let primary = self.mongodb.primary().await?.port();
        let nodes = self.mongodb.nodes().iter();
        Ok(nodes.filter(|node| node.port() != primary).collect())
    }

    /// Looks whether a program has ended that nobody has killed. To be asked only while nothing is the matter.
    pub(crate) async fn note_the_dead(&self) {
        for program in self.programs.values() {
            if let Some(status) = program.ended().await {
                self.note(format!("{} ended by itself: {status}", program.who));
            }
            program.panics().into_iter().for_each(|p| self.note(p));
        }
    }

    fn note(&self, mishap: String) {
        let mut mishaps = self.mishaps.lock().unwrap_or_else(PoisonError::into_inner);
        mishaps.push(mishap);
    }

    pub(crate) fn mishaps(&self) -> Vec<String> {
        let mishaps = self.mishaps.lock();
        mishaps.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether all records fit together, and with what clients were told.
    pub(crate) async fn audit(&self, history: History) -> Result<Report, Problem> {
        let databases = Databases {
            catalog: "orderflow_catalog".to_owned(),
            order: "orderflow_order".to_owned(),
        };
        let audit = Audit::new(&self.client, &databases)
            .expecting(history)
            .showing(progress_bar());
        Ok(audit.run().await?)
    }

    /// Ends everything.
    pub(crate) async fn stop(self) {
        drop(self.programs);
        self.mongodb.stop().await;
    }
}

impl Undo<'_> {
    pub(crate) async fn undo(self) -> Result<(), Problem> {
        match self {
            Self::Start(program) => program.start().await?,
            Self::Resume(program) => program.resume().await,
            Self::Mend(link, condition) => {
                if condition == Condition::Mute {
                    // Answers are lost, not late.
                    link.becomes(Condition::Cut);
                    sleep(Duration::from_millis(100)).await;
                }
                link.becomes(Condition::Whole);
            }
            Self::RestartNode(node) => {
                let mut attempts = 1;
                while let Err(error) = node.restart().await {
                    if attempts == RESTARTS {
                        return Err(error.into());
                    }
                    attempts += 1;
                }
            }
            Self::ResumeNodes(nodes) => nodes.iter().for_each(|node| node.resume()),
            Self::Nothing => {}
        }
        Ok(())
    }
}

/// Of the two ways to replicas of a kind the one to the first has the smaller port: callers prefer the same one, as in a
/// deployment.
async fn links() -> HashMap<Way, Arc<Link>> {
    let mut links = HashMap::new();
    let callers = programs().map(Some).chain([None]);
    for from in callers {
        for kind in ["user", "catalog", "order", "gateway"] {
            let ways = ways();
            let ways = ways
                .into_iter()
                .filter(|way| way.from == from && way.to.program == kind);
            let ways: Vec<_> = ways.collect();
            let mut made = Vec::new();
            for _ in &ways {
                // It leads nowhere until the program is started.
                made.push(Link::to(([127, 0, 0, 1], 1).into()).await);
            }
            made.sort_by_key(Link::address);
            links.extend(ways.into_iter().zip(made.into_iter().map(Arc::new)));
        }
    }
    links
}

fn settings(mongodb: &ReplicaSet) -> HashMap<String, String> {
    let fixed = [
        // Nobody signs in anew; a login is no subject here.
        ("ACCESS_TOKEN_TTL", "24h"),
        ("BCRYPT_COST", "10"),
        // All clients are at one address, and few users.
        ("RATE_PER_USER", "off"),
        ("RATE_OF_SIGN_INS", "off"),
        // They share the cores with one another, with MongoDB and with the load.
        ("TOKIO_WORKER_THREADS", "2"),
    ];
    let fixed = fixed.map(|(name, value)| (name, value.to_owned()));
    let mut settings: HashMap<_, _> = secrets::generate()
        .into_iter()
        .chain(fixed)
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    settings.insert("MONGO_URL".to_owned(), mongodb.url());
    settings
}
