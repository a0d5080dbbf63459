//! Nodes that are one replica set.

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use mongodb::error::{Error as DriverError, ErrorKind};

use crate::deadline::Deadline;
use crate::directory::{Directory, ports_in};
use crate::error::Error;
use crate::locate::Surroundings;
use crate::node::{Node, is_primary};
use crate::options::Options;

/// As in `?replicaSet=`.
pub(crate) const NAME: &str = "orderflow";

/// How long nodes whose data is to stay may take to end in good order. They take 1 s, whatever they had to do.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// A replica set that runs until this is stopped or dropped, or until this process ends, however it ends.
///
/// It belongs to no async runtime: start it in one, use it in others, keep it in a `static`.
#[derive(Debug)]
pub struct ReplicaSet {
    time_limit: Duration,
    // Fields are dropped in this order: nodes end before the directory that they write to is removed.
    nodes: Nodes,
    directory: Directory,
}

impl ReplicaSet {
    /// Starts one and waits until it has a primary and every node is ready. Fetches mongod first where there is none.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let program = Surroundings::from_env().locate().await?;
        let directory = match &options.directory {
            Some(path) => Directory::persistent(path).await?,
            None => Directory::ephemeral()?,
        };
        let mut attempts = 1;
        let nodes = loop {
            match Nodes::start(&program, &directory, &options).await {
                // Someone took a port between our look and mongod's: choose again.
                Err(Error::PortTaken { .. }) if attempts < 3 => attempts += 1,
                nodes => break nodes?,
            }
        };
        let set = Self {
            time_limit: options.time_limit,
            nodes,
            directory,
        };
        let port = set.primary().await?.port();
        tracing::debug!(port, program = %program.display(), directory = %set.directory.path().display(), "mongod runs");
        Ok(set)
    }

    /// What to connect to: `mongodb://127.0.0.1:20000,…/?replicaSet=orderflow`.
    pub fn url(&self) -> String {
        url(&self.nodes.addresses())
    }

    /// What to connect to for the set that keeps its data in `directory`, which may run in another process, or not at all.
    /// `None` if none ever did.
    pub fn url_in(directory: &Path) -> Option<String> {
        let ports = ports_in(directory);
        let addresses: Vec<_> = ports
            .iter()
            .map(|port| format!("{}:{port}", Ipv4Addr::LOCALHOST))
            .collect();
        (!ports.is_empty()).then(|| url(&addresses))
    }

    /// One node or three.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node that takes writes, as soon as there is one.
    pub async fn primary(&self) -> Result<&Node, Error> {
        let deadline = Deadline::after(self.time_limit);
        let admins = self
            .nodes()
            .iter()
            .map(Node::admin)
            .collect::<Result<Vec<_>, _>>()?;
        loop {
            for (node, admin) in self.nodes().iter().zip(&admins) {
                if node.pid().is_some() && is_primary(admin).await {
                    return Ok(node);
                }
            }
            if let Err(late) = deadline.pause("to elect a primary", &self.nodes[0]).await {
                // Rather the reason, if it is that one has ended.
                self.nodes().iter().try_for_each(Node::check)?;
                return Err(late);
            }
        }
    }

    /// Ends it: in good order where data is to stay, which takes 1 s, or at most 3 s; at once where it is not, and its
    /// directory is removed.
    ///
    /// Dropping it does the same and blocks the thread for as long.
    pub async fn stop(self) {
        // It fails only if dropping panics.
        let _ = tokio::task::spawn_blocking(move || drop(self)).await;
    }
}

fn url(addresses: &[String]) -> String {
    format!("mongodb://{}/?replicaSet={NAME}", addresses.join(","))
}

/// Nodes that end together, when dropped.
#[derive(Debug)]
struct Nodes {
    list: Vec<Node>,
    /// How long they may take to end in good order.
    stop_limit: Duration,
}

impl Deref for Nodes {
    type Target = [Node];

    fn deref(&self) -> &[Node] {
        &self.list
    }
}

impl Nodes {
    /// Starts them, tells them that they are one set, and waits until each is a primary or a secondary of it.
    async fn start(
        program: &Path,
        directory: &Directory,
        options: &Options,
    ) -> Result<Self, Error> {
        let ports = directory.ports(options.nodes)?;
        let list = (0..)
            .zip(ports)
            .map(|(number, port)| Node::new(program, directory, number, port, options))
            .collect::<Result<_, _>>()?;
        let stop_limit = if directory.is_ephemeral() {
            Duration::ZERO
        } else {
            STOP_LIMIT
        };
        let nodes = Self { list, stop_limit };
        for node in nodes.iter() {
            node.start()?;
        }
        let deadline = Deadline::after(options.time_limit);
        for node in nodes.iter() {
            node.accepts_connections(&deadline).await?;
        }
        nodes.configure(&deadline).await?;
        for node in nodes.iter() {
            node.joins(&deadline).await?;
        }
        Ok(nodes)
    }

    fn addresses(&self) -> Vec<String> {
        self.iter().map(Node::address).collect()
    }

    /// Makes them a set, or moves the set that their data holds to their ports.
    async fn configure(&self, deadline: &Deadline) -> Result<(), Error> {
        let first = &self[0];
        let admin = first.admin()?;
        loop {
            let (command, reply) = match admin.run_command(doc! { "replSetGetConfig": 1 }).await {
                Ok(reply) => match self.moved(reply) {
                    None => return Ok(()),
                    // By force, since the majority that has to agree is not where the configuration says.
                    Some(config) => {
                        let command = doc! { "replSetReconfig": config, "force": true };
                        ("replSetReconfig", admin.run_command(command).await)
                    }
                },
                Err(error) if is(&error, NOT_YET_INITIALIZED) => (
                    "replSetInitiate",
                    admin
                        .run_command(doc! { "replSetInitiate": self.config() })
                        .await,
                ),
                Err(error) => ("replSetGetConfig", Err(error)),
            };
            match reply {
                // A node says that it has no configuration until it has read the one in its data.
                Err(error) if !is(&error, ALREADY_INITIALIZED) && is_answer(&error) => {
                    return Err(first.refused(command, error));
                }
                _ => {
                    first.check()?;
                    deadline.pause("to become a replica set", first).await?;
                }
            }
        }
    }

    fn config(&self) -> Document {
        let members: Vec<Document> = (0..)
            .zip(self.addresses())
            .map(|(id, host): (i32, _)| doc! { "_id": id, "host": host })
            .collect();
        doc! {
            "_id": NAME,
            "members": members,
            // Tests wait for elections: the default of 10 s is long, and less than this is the noise of a busy machine.
            "settings": { "electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500 },
        }
    }

    /// The configuration in `reply` with our addresses, unless it has them.
    fn moved(&self, reply: Document) -> Option<Document> {
        let mut config = reply.get_document("config").ok()?.clone();
        let members = config.get_array_mut("members").ok()?;
        let mut changed = false;
        for (member, address) in members
            .iter_mut()
            .filter_map(|member| member.as_document_mut())
            .zip(self.addresses())
        {
            if member.get_str("host").is_ok_and(|host| host != address) {
                member.insert("host", address);
                changed = true;
            }
        }
        changed.then_some(config)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in self.iter() {
            node.terminate();
        }
        let patience = Instant::now() + self.stop_limit;
        while Instant::now() < patience && self.iter().any(|node| node.pid().is_some()) {
            thread::sleep(Duration::from_millis(10));
        }
        // Whoever still runs is killed as the nodes are dropped.
    }
}

const ALREADY_INITIALIZED: i32 = 23;
const NOT_YET_INITIALIZED: i32 = 94;

fn is(error: &DriverError, code: i32) -> bool {
    matches!(&*error.kind, ErrorKind::Command(answer) if answer.code == code)
}

/// Whether mongod answered; else it is worth asking again.
fn is_answer(error: &DriverError) -> bool {
    matches!(&*error.kind, ErrorKind::Command(_))
}
