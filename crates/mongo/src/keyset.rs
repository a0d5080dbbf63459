//! Keyset paging: a page begins behind the last item of the page before, found by index ranges.

use mongodb::bson::{Bson, Document, doc};

/// Which way a list is sorted: all of its keys alike, so that one index serves both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

impl Direction {
    /// A sort by these keys.
    pub fn sort(self, keys: &[&str]) -> Document {
        let sign = match self {
            Self::Ascending => 1,
            Self::Descending => -1,
        };
        keys.iter()
            .map(|key| ((*key).to_owned(), Bson::Int32(sign)))
            .collect()
    }

    fn beyond(self) -> &'static str {
        match self {
            Self::Ascending => "$gt",
            Self::Descending => "$lt",
        }
    }
}

/// What matches `filter` and comes behind `position` in a list sorted by `keys`, as alternatives (for `$or`) of which each is
/// one range of an index on the filter's equalities and the keys, so that MongoDB merges index scans and sorts nothing.
///
/// In `filter` a key may be fixed, or bounded by a document of operators.
pub fn behind(
    filter: &Document,
    keys: &[&str],
    direction: Direction,
    position: Option<&[Bson]>,
) -> Vec<Document> {
    let Some(position) = position else {
        return vec![filter.clone()];
    };
    let mut alternatives = Vec::new();
    let mut tied = filter.clone();
    for (key, value) in keys.iter().zip(position) {
        let bounds = match filter.get(key) {
            None => Some(Document::new()),
            Some(Bson::Document(bounds)) => Some(bounds.clone()),
            // Fixed: nothing can be beyond it.
            Some(_) => None,
        };
        if let Some(mut bounds) = bounds {
            bounds.insert(direction.beyond(), value.clone());
            let mut alternative = tied.clone();
            alternative.insert(*key, bounds);
            alternatives.push(alternative);
        }
        tied.insert(*key, value.clone());
    }
    alternatives
}

/// One filter out of alternatives.
pub fn any(mut alternatives: Vec<Document>) -> Document {
    match alternatives.len() {
        1 => alternatives.remove(0),
        _ => doc! { "$or": alternatives },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_page_is_the_filter_itself() {
        let filter = doc! { "owner": "ada" };
        let first = behind(&filter, &["time", "_id"], Direction::Descending, None);
        assert_eq!(any(first), filter);
    }

    #[test]
    fn behind_a_position_each_alternative_is_one_range() {
        let position = [Bson::Int64(7), Bson::String("x".to_owned())];
        let filter = doc! { "owner": "ada", "time": { "$gte": 3_i64 } };
        assert_eq!(
            behind(
                &filter,
                &["time", "_id"],
                Direction::Descending,
                Some(&position)
            ),
            [
                doc! { "owner": "ada", "time": { "$gte": 3_i64, "$lt": 7_i64 } },
                doc! { "owner": "ada", "time": 7_i64, "_id": { "$lt": "x" } },
            ]
        );
    }

    #[test]
    fn nothing_is_beyond_a_fixed_key() {
        let position = [Bson::String("TRY".to_owned()), Bson::Int64(7)];
        let filter = doc! { "currency": "TRY" };
        assert_eq!(
            behind(
                &filter,
                &["currency", "price"],
                Direction::Ascending,
                Some(&position)
            ),
            [doc! { "currency": "TRY", "price": { "$gt": 7_i64 } }]
        );
    }
}
