//! The rules of the protocol. Each can be switched off, and then something that must hold no longer does.

use crate::size::{Faults, Size};

/// A rule that the model can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Rule {
    /// An order is named by buyer and request id. Off: each attempt gets a name of its own.
    NamedByRequest,
    /// Reservations are kept. Off: one whose stock is back is deleted.
    KeptForever,
    /// Lines are compared with those on record. Off: the id alone tells.
    FingerprintsCompared,
    /// Refusals are recorded. Off: only what is held is.
    RefusalsRecorded,
    /// Known orders are looked up as a majority knows them. Off: as the primary does.
    MajorityKnown,
    /// The journal and the reservations of its entries are read as a majority knows them. Off: as the primary does.
    MajorityJournal,
    /// The follower looks which orders exist as a majority knows it. Off: as the primary does.
    MajorityThere,
    /// The orders in CANCELLING are read as a majority knows them. Off: as the primary does.
    MajorityCancelling,
    /// "Already released" is said after a commit. Off: a transaction that only reads is not committed.
    MajorityReleased,
    /// A duplicate key counts if a majority has acknowledged it. Off: it counts always.
    DuplicateAcknowledged,
    /// Only an outcome in a reply is an answer. Off: a failed call is one too, a definite one.
    OnlyOutcomesAnswer,
    /// Known orders are decided before products are looked at. Off: who cannot be served is refused, known or not.
    KnownFirst,
    /// RELEASED answers as HELD does. Off: it is a refusal.
    ReleasedAnswersAlike,
    /// A duplicate key whose order is not found says nothing. Off: it is NOT_FOUND.
    DuplicateIsNotAbsent,
    /// Outcomes are matched by index. Off: by id.
    ByIndex,
    /// An id twice in a batch of reservations is one. Off: it is two.
    OnceInReserve,
    /// A move is known by its own id. Off: by the status behind it.
    OpIdTells,
    /// A row of the ledger is named by the request. Off: by the attempt.
    AdjustmentsNamed,
    /// The ledger's row and the stock change in one transaction. Off: one after the other.
    AdjustmentsWhole,
    /// A change of the product does not write its stock. Off: it writes the product as it was read.
    StockApart,
    /// Release gives the stock of withdrawn products back too. Off: of offered ones only.
    WithdrawnToo,
    /// An id twice in a batch of releases is one. Off: it is two.
    OnceInRelease,
    /// Entries are settled when their orders are acknowledged by a majority. Off: when they are sent.
    SettledAfterwards,
    /// A move counts once a majority has it. Off: once the primary has.
    MajorityMoves,
    /// A commit of unknown outcome is made again, and the ids decide. Off: it counts as committed.
    UnknownCommit,
    /// Stock is taken by a guarded update, which another transaction's is a conflict to. Off: by what was read.
    GuardedStock,
    /// A journal entry is committed with the reservations. Off: there is none.
    Journaled,
    /// An order's document is made from its reservation. Off: with the product's price of the moment.
    MadeFromReservation,
    /// An order is claimed for cancelling before its stock is released. Off: afterwards.
    ClaimedFirst,
    /// No clock gives anything back. Off: one gives back what has stood in the journal for a while.
    NoTimers,
}

/// The rules that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules(u64);

impl Rules {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX);

    /// All of these but one.
    #[must_use]
    pub const fn without(self, rule: Rule) -> Self {
        Self(self.0 & !(1 << rule as u64))
    }

    /// Whether a rule is kept.
    pub fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u64) != 0
    }
}

use Rule::*;

impl Rule {
    /// The smallest runs in which it is missed.
    pub fn size(self) -> Size {
        let none = Faults::any(0);
        let one = Size::LEAST;
        let twice = Size { attempts: 2, ..one };
        let lost = Faults {
            unacknowledged: 1,
            altogether: 1,
            ..none
        };
        let lost_then_failover = Faults {
            unacknowledged: 1,
            failovers: 1,
            altogether: 2,
            ..none
        };
        let late = Faults {
            late: 2,
            altogether: 2,
            ..none
        };
        match self {
            NamedByRequest | ByIndex | OnceInReserve | FingerprintsCompared => Size {
                quantities: 2,
                stock: 2,
                ..twice
            },
            KeptForever | ReleasedAnswersAlike => Size {
                cancels: 1,
                ..twice
            },
            RefusalsRecorded => Size {
                stock: 0,
                restocks: 1,
                faults: Faults {
                    doubled: 1,
                    altogether: 1,
                    ..none
                },
                ..one
            },
            MajorityKnown => Size {
                faults: lost_then_failover,
                ..twice
            },
            MajorityJournal | MajorityThere | SettledAfterwards | UnknownCommit => Size {
                faults: lost_then_failover,
                ..twice
            },
            DuplicateAcknowledged => Size {
                faults: Faults {
                    unacknowledged: 2,
                    failovers: 1,
                    altogether: 3,
                    ..none
                },
                ..twice
            },
            MajorityCancelling | MajorityMoves => Size {
                cancels: 1,
                faults: lost_then_failover,
                ..one
            },
            MajorityReleased => Size {
                cancels: 2,
                faults: lost_then_failover,
                ..one
            },
            OnlyOutcomesAnswer => Size {
                faults: late,
                ..one
            },
            KnownFirst => twice,
            DuplicateIsNotAbsent => Size {
                faults: Faults {
                    stale: 1,
                    altogether: 1,
                    ..none
                },
                ..twice
            },
            OpIdTells => Size {
                moves: 2,
                faults: lost,
                ..one
            },
            AdjustmentsNamed => Size {
                keys: 0,
                attempts: 2,
                restocks: 1,
                faults: lost,
                ..one
            },
            AdjustmentsWhole => Size {
                keys: 0,
                restocks: 1,
                ..one
            },
            StockApart | MadeFromReservation => Size { prices: 1, ..one },
            WithdrawnToo => Size {
                cancels: 1,
                withdrawals: 1,
                ..one
            },
            OnceInRelease => Size { cancels: 2, ..one },
            GuardedStock => Size { keys: 2, ..one },
            Journaled | NoTimers => one,
            ClaimedFirst => Size {
                cancels: 1,
                moves: 1,
                ..one
            },
        }
    }
}
