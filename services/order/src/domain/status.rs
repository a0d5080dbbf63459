//! Which status follows which.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Status {
    Pending,
    Shipped,
    Delivered,
    Cancelling,
    Cancelled,
}

/// One step from a status to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: Status,
    pub(crate) to: Status,
}

/// There is no way from here to there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSuchMove {
    pub(crate) from: Status,
    pub(crate) to: Status,
}

impl Status {
    pub(crate) const ALL: [Self; 5] = [
        Self::Pending,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelling,
        Self::Cancelled,
    ];
    /// Those whose stock is taken: what counts as sold.
    pub(crate) const LIVE: [Self; 3] = [Self::Pending, Self::Shipped, Self::Delivered];

    /// How MongoDB and messages spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Shipped => "SHIPPED",
            Self::Delivered => "DELIVERED",
            Self::Cancelling => "CANCELLING",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The step to another status; `None` if that is where it stands already.
    pub(crate) fn to(self, to: Self) -> Result<Option<Move>, NoSuchMove> {
        use Status::{Cancelled, Cancelling, Delivered, Pending, Shipped};
        match (self, to) {
            (from, to) if from == to => Ok(None),
            (Pending, Shipped | Cancelling) | (Shipped, Delivered) | (Cancelling, Cancelled) => {
                Ok(Some(Move { from: self, to }))
            }
            (from, to) => Err(NoSuchMove { from, to }),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Status::*, *};

    #[test]
    fn only_these_moves_exist() {
        let moves = [
            (Pending, Shipped),
            (Shipped, Delivered),
            (Pending, Cancelling),
            (Cancelling, Cancelled),
        ];
        for from in Status::ALL {
            for to in Status::ALL {
                let expected = match (from == to, moves.contains(&(from, to))) {
                    (true, _) => Ok(None),
                    (_, true) => Ok(Some(Move { from, to })),
                    _ => Err(NoSuchMove { from, to }),
                };
                assert_eq!(from.to(to), expected, "{from} to {to}");
            }
        }
    }
}
