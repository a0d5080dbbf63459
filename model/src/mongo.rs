//! A database on a replica set: what a majority has, and what a failover may still take back.

/// One database. A version is a whole copy of it: the model's are small.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Database<T> {
    /// What a majority has. No failover takes it back.
    pub committed: T,
    /// The versions that the primary has written since, oldest first.
    pub tail: Vec<T>,
    /// What a majority had before: a primary that was deposed and does not know it yet still answers from it.
    pub before: Option<T>,
}

/// What came back of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// A majority has it.
    Majority,
    /// The primary has made it, and whoever asked does not know: the answer got lost, or is a write concern error.
    Lost,
}

/// How current a read is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// What a majority has now.
    Current,
    /// What a majority had before its last write.
    Stale,
}

impl<T: Clone + PartialEq> Database<T> {
    /// One whose first version a majority has.
    pub fn new(committed: T) -> Self {
        Self {
            committed,
            tail: Vec::new(),
            before: None,
        }
    }

    /// What the primary has. Guards, unique keys and transactions look at this, and so does a read with the concern "local".
    pub fn newest(&self) -> &T {
        self.tail.last().unwrap_or(&self.committed)
    }

    /// All that somebody may read.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &T> {
        self.tail
            .iter()
            .chain([&self.committed])
            .chain(&self.before)
    }

    /// What a read with the concern "majority" finds.
    pub fn majority(&self, read: Read) -> Option<&T> {
        match read {
            Read::Current => Some(&self.committed),
            Read::Stale => self.before.as_ref(),
        }
    }

    /// Writes. Unless it was lost, the answer says that a majority has this version, and so all before it.
    pub fn write(&mut self, version: T, ack: Ack) {
        if version != *self.newest() {
            self.tail.push(version);
        }
        if ack == Ack::Majority {
            self.replicate();
        }
    }

    /// A majority gets what the primary has.
    pub fn replicate(&mut self) {
        if let Some(version) = self.tail.pop() {
            self.tail.clear();
            self.before = Some(std::mem::replace(&mut self.committed, version));
        }
    }

    /// Another primary, which has got only some of what no majority has.
    pub fn fail_over(&mut self, kept: usize) -> Option<()> {
        (kept < self.tail.len()).then(|| self.tail.truncate(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failover_takes_back_what_no_majority_has_and_nothing_else() {
        let mut database = Database::new(0);
        database.write(1, Ack::Majority);
        database.write(2, Ack::Lost);
        assert_eq!((database.committed, *database.newest()), (1, 2));
        database.fail_over(0).unwrap();
        assert_eq!(*database.newest(), 1);
        assert_eq!(database.majority(Read::Stale), Some(&0));
    }

    #[test]
    fn an_acknowledged_write_stands_for_all_before_it() {
        let mut database = Database::new(0);
        database.write(1, Ack::Lost);
        // One that changes nothing too: it waits for what it has met.
        database.write(1, Ack::Majority);
        assert_eq!(database.committed, 1);
        assert_eq!(database.fail_over(0), None);
    }
}
