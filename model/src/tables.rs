//! The tables of docs/orders.md.

use std::fmt::Write;

use crate::{
    Model,
    explore::{Explored, explore},
    rules::{Rule, Rules},
    size::Size,
};

/// How the model stands to a rule.
#[derive(Debug, Clone, Copy)]
pub enum Stance {
    /// Without it something is violated.
    Shows(Rule),
    /// It cannot express it, for this reason.
    Cannot(&'static str),
}

use Rule::*;
use Stance::{Cannot, Shows};

/// The rules, in the order of their numbers, and how the model stands to each part of them.
pub const RULES: &[(u8, &str, Stance)] = &[
    (
        1,
        "An order is named by buyer and request id.",
        Shows(NamedByRequest),
    ),
    (
        1,
        "The name is a hash with lengths in it.",
        Cannot("names are abstract here; a test of `Placement` compares them"),
    ),
    (
        1,
        "Orders, reservations and products are never deleted.",
        Shows(KeptForever),
    ),
    (
        2,
        "A repeated request is compared with the lines on record.",
        Shows(FingerprintsCompared),
    ),
    (
        2,
        "By value, not by a hash of a representation.",
        Cannot("about versions of the program side by side; here lines have one representation"),
    ),
    (
        3,
        "Refusals are recorded and kept.",
        Shows(RefusalsRecorded),
    ),
    (
        3,
        "Limits make overflow impossible.",
        Cannot("numbers are tiny here"),
    ),
    (
        4,
        "Batches, replies and pages are cut by bytes.",
        Cannot("messages have no size here"),
    ),
    (
        5,
        "Known orders are looked up with read concern majority.",
        Shows(MajorityKnown),
    ),
    (
        5,
        "So are the journal and its reservations.",
        Shows(MajorityJournal),
    ),
    (
        5,
        "So is what the follower finds there already.",
        Shows(MajorityThere),
    ),
    (
        5,
        "So is what stands in CANCELLING.",
        Shows(MajorityCancelling),
    ),
    (
        5,
        "\"Already released\" is said after a commit, though nothing was written.",
        Shows(MajorityReleased),
    ),
    (
        5,
        "A duplicate key counts only without a write concern error.",
        Shows(DuplicateAcknowledged),
    ),
    (
        6,
        "Only an outcome in a decoded reply is an answer.",
        Shows(OnlyOutcomesAnswer),
    ),
    (
        6,
        "The gateway never repeats CreateOrder.",
        Cannot(
            "a call without a request id is a new order by definition; with one, attempts are repeated here",
        ),
    ),
    (
        7,
        "Known orders are decided before products are looked at.",
        Shows(KnownFirst),
    ),
    (
        7,
        "HELD and RELEASED answer alike.",
        Shows(ReleasedAnswersAlike),
    ),
    (
        7,
        "A duplicate key with no order found is never NOT_FOUND.",
        Shows(DuplicateIsNotAbsent),
    ),
    (8, "Outcomes are matched by index.", Shows(ByIndex)),
    (8, "An id twice in a batch is one.", Shows(OnceInReserve)),
    (
        8,
        "Coalesced reads are authorised for each caller, and joined only before they are sent.",
        Cannot("there are no users and no coalesced reads here"),
    ),
    (
        9,
        "A batch has a budget of its own, not a caller's deadline.",
        Cannot("there is no time here: any call may be late"),
    ),
    (
        10,
        "A move is known by its own id, not by the status.",
        Shows(OpIdTells),
    ),
    (
        11,
        "A row of the ledger is named by the request.",
        Shows(AdjustmentsNamed),
    ),
    (
        11,
        "It is inserted with the change, in one transaction.",
        Shows(AdjustmentsWhole),
    ),
    (
        11,
        "A change of a product never writes its stock.",
        Shows(StockApart),
    ),
    (
        11,
        "Release finds withdrawn products too.",
        Shows(WithdrawnToo),
    ),
    (
        11,
        "An id twice in a batch of releases is one.",
        Shows(OnceInRelease),
    ),
    (
        12,
        "\"Old\" is what this follower has seen for three seconds.",
        Cannot(
            "the follower acts at any time here, at once too: so no invariant rests on the three seconds",
        ),
    ),
    (
        13,
        "An entry is settled when all its orders are acknowledged by a majority.",
        Shows(SettledAfterwards),
    ),
    (
        13,
        "A bad entry is skipped.",
        Cannot("every document can be read here"),
    ),
    (
        14,
        "Outside of transactions a command gets write concern majority.",
        Shows(MajorityMoves),
    ),
    (
        14,
        "Inside of them every reply is looked at for errors.",
        Cannot(
            "about replays that never end; in MongoDB a transaction with a failed statement cannot be committed",
        ),
    ),
    (
        15,
        "After a duplicate key all ids are looked up at once.",
        Cannot("about cost; it is so here too"),
    ),
    (
        16,
        "A commit of unknown outcome is made again, and the ids decide.",
        Shows(UnknownCommit),
    ),
    (
        16,
        "A conflict is replayed at once.",
        Cannot("about fairness in time"),
    ),
    (
        17,
        "Transactions of the dead are ended.",
        Cannot("about how long products are blocked"),
    ),
    (
        18,
        "Stock is taken by guarded updates; to have read it protects nothing.",
        Shows(GuardedStock),
    ),
    (
        19,
        "Each batch of reservations has its journal entry, in the same transaction.",
        Shows(Journaled),
    ),
    (
        20,
        "An order is made from its reservation and from nothing else.",
        Shows(MadeFromReservation),
    ),
    (
        21,
        "An order is claimed for cancelling before its stock goes back.",
        Shows(ClaimedFirst),
    ),
    (22, "No timer gives anything back.", Shows(NoTimers)),
];

/// More than any size of these tables has.
const AT_MOST: usize = 5_000_000;

/// The rules as a table: what no longer holds without them, and how many steps it takes at least to get there.
pub fn rules() -> String {
    let mut table = "| | rule | switch | without it |\n|---|---|---|---|\n".to_owned();
    for (number, rule, stance) in RULES {
        let _ = match stance {
            Shows(switch) => {
                let off = without(*switch);
                let violation = off
                    .violation
                    .map(|(invariant, way)| format!("{invariant}, {} steps", way.len()));
                let violation = violation.unwrap_or_else(|| "nothing is missed".to_owned());
                writeln!(table, "| {number} | {rule} | `{switch:?}` | {violation} |")
            }
            Cannot(reason) => writeln!(table, "| {number} | {rule} | | {reason} |"),
        };
    }
    table
}

/// What is found without a rule, in the runs in which it is missed.
pub fn without(rule: Rule) -> Explored {
    let rules = Rules::ALL.without(rule);
    explore(
        &Model {
            rules,
            size: rule.size(),
        },
        AT_MOST,
        |_| {},
    )
}

/// The sizes as a table: how many states each has. All rules are kept, and nothing is violated.
pub fn sizes(mut of: impl FnMut(&str, Size) -> Explored) -> String {
    let mut table = "| runs | states | longest way |\n|---|---|---|\n".to_owned();
    for (name, size) in Size::NAMED {
        let Explored { states, depth, .. } = of(name, *size);
        let _ = writeln!(table, "| {name} | {states} | {depth} steps |");
    }
    table
}
