//! How much happens in a run.

/// What clients do at most, and what fails at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Different request ids.
    pub keys: u8,
    /// How often each is asked for; it may be so while an earlier attempt is on its way.
    pub attempts: u8,
    /// An attempt asks for one item, or for as many more as this says: with other lines, then.
    pub quantities: u8,
    /// The first stock.
    pub stock: i8,
    /// Cancellations.
    pub cancels: u8,
    /// Moves to SHIPPED and DELIVERED.
    pub moves: u8,
    /// Adjustments by one, each with a request id.
    pub restocks: u8,
    /// Withdrawals of the product.
    pub withdrawals: u8,
    /// Changes of its price.
    pub prices: u8,
    /// What fails.
    pub faults: Faults,
}

/// What fails at most, of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Replicas of order or catalog that die, at any step, and are started again.
    pub crashes: u8,
    /// Calls whose caller's patience ends. They may still arrive, at any time.
    pub late: u8,
    /// Calls that arrive once more.
    pub doubled: u8,
    /// Writes and commits that the primary has made, and whoever asked does not know it.
    pub unacknowledged: u8,
    /// Changes of the primary that take back what no majority has.
    pub failovers: u8,
    /// Reads from a primary that was deposed and does not know it yet.
    pub stale: u8,
    /// All of them together.
    pub altogether: u8,
}

impl Faults {
    /// As many of each kind, and altogether.
    pub const fn any(count: u8) -> Self {
        Self {
            crashes: count,
            late: count,
            doubled: count,
            unacknowledged: count,
            failovers: count,
            stale: count,
            altogether: count,
        }
    }

    /// One more fault of a kind, if there may be.
    pub(crate) fn spend(&mut self, kind: fn(&mut Self) -> &mut u8) -> Option<()> {
        let altogether = self.altogether.checked_sub(1)?;
        let left = kind(self).checked_sub(1)?;
        *kind(self) = left;
        self.altogether = altogether;
        Some(())
    }

    pub(crate) fn may(&self, kind: fn(&Self) -> u8) -> bool {
        self.altogether > 0 && kind(self) > 0
    }
}

impl Size {
    /// One buyer for one item, who asks once; nothing else happens.
    pub const LEAST: Self = Self {
        keys: 1,
        attempts: 1,
        quantities: 1,
        stock: 1,
        cancels: 0,
        moves: 0,
        restocks: 0,
        withdrawals: 0,
        prices: 0,
        faults: Faults::any(0),
    };

    /// What the tests explore to the end.
    pub const NAMED: &[(&str, Self)] = &[
        // Two buyers for one item.
        (
            "place",
            Self {
                keys: 2,
                faults: Faults::any(2),
                ..Self::LEAST
            },
        ),
        // One who asks again, perhaps for something else.
        (
            "repeat",
            Self {
                attempts: 2,
                quantities: 2,
                stock: 2,
                faults: Faults::any(2),
                ..Self::LEAST
            },
        ),
        // Three for two items, in batches of all kinds.
        (
            "merge",
            Self {
                keys: 3,
                stock: 2,
                ..Self::LEAST
            },
        ),
        // One order, and much that fails.
        (
            "recover",
            Self {
                faults: Faults::any(4),
                ..Self::LEAST
            },
        ),
        // One order, cancelled twice.
        (
            "cancel",
            Self {
                cancels: 2,
                faults: Faults::any(1),
                ..Self::LEAST
            },
        ),
        // One that is cancelled and shipped at once.
        (
            "ship",
            Self {
                cancels: 1,
                moves: 1,
                faults: Faults::any(1),
                ..Self::LEAST
            },
        ),
        // One that is shipped and delivered.
        (
            "deliver",
            Self {
                moves: 2,
                faults: Faults::any(1),
                ..Self::LEAST
            },
        ),
        // One that is refused, and asked for again when there is something.
        (
            "restock",
            Self {
                attempts: 2,
                stock: 0,
                restocks: 1,
                faults: Faults::any(2),
                ..Self::LEAST
            },
        ),
        // A product that changes meanwhile.
        (
            "change",
            Self {
                cancels: 1,
                withdrawals: 1,
                prices: 1,
                ..Self::LEAST
            },
        ),
    ];
}
