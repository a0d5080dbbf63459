//! Goes through every state that can be reached, the nearest first.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    mem::{Discriminant, discriminant},
};

use crate::{
    Action, Model, State,
    invariants::{Invariant, SIGHTS},
};

/// What was found.
#[derive(Debug, Default)]
pub struct Explored {
    /// How many different states there are.
    pub states: usize,
    /// How many steps the farthest of them is away.
    pub depth: usize,
    /// What was seen on the way; see [`SIGHTS`].
    pub seen: BTreeSet<&'static str>,
    /// The kinds of steps that were made.
    pub made: HashSet<Discriminant<Action>>,
    /// What does not hold, with a shortest way there. Nothing behind it was explored.
    pub violation: Option<(Invariant, Vec<Action>)>,
    /// The bound was reached before the end.
    pub is_cut: bool,
}

/// How a state was reached first: from which one, by which of its actions.
struct Step {
    from: u32,
    action: u16,
}

/// Explores to the end, or to a violation, or until so many states are known; `progress` is told now and then.
///
/// A state is known by 64 bits of its hash: among ten million the chance that two share them is one in 400,000.
pub fn explore(model: &Model, at_most: usize, mut progress: impl FnMut(&Explored)) -> Explored {
    let mut explored = Explored::default();
    let mut known = HashSet::new();
    // What both databases hold for good: whether a state recovers rests on nothing else.
    let mut durables = HashSet::new();
    let mut steps = Vec::new();
    let mut frontier = VecDeque::new();

    let initial = model.initial().normal();
    known.insert(fingerprint(&initial));
    steps.push(Step { from: 0, action: 0 });
    frontier.push_back((initial, 0_u32, 0_usize));

    while let Some((state, number, depth)) = frontier.pop_front() {
        explored.states = known.len();
        explored.depth = depth;
        for (sight, is_seen) in SIGHTS {
            if !explored.seen.contains(sight) && is_seen(&state) {
                explored.seen.insert(sight);
            }
        }
        let durable = fingerprint(&(&state.stock.committed, &state.orders.committed));
        let mut recovers = || !durables.insert(durable) || model.recovers(&state);
        let violated = model
            .violated(&state)
            .or_else(|| (!recovers()).then_some(Invariant::I5));
        if let Some(invariant) = violated {
            explored.violation = Some((invariant, way(model, &steps, number)));
            return explored;
        }
        if known.len() > at_most {
            explored.is_cut = true;
            return explored;
        }
        if number.is_multiple_of(1 << 17) && number > 0 {
            progress(&explored);
        }
        for (number_of_action, action) in (0..).zip(model.actions(&state)) {
            let Some(next) = model.next(&state, action).map(State::normal) else {
                continue;
            };
            explored.made.insert(discriminant(&action));
            if known.insert(fingerprint(&next)) {
                let number_of_next = u32::try_from(steps.len()).expect("memory ends before");
                steps.push(Step {
                    from: number,
                    action: number_of_action,
                });
                frontier.push_back((next, number_of_next, depth + 1));
            }
        }
    }
    explored.states = known.len();
    explored
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// The actions that have led to a state, with each replica under one number all the way.
fn way(model: &Model, steps: &[Step], mut number: u32) -> Vec<Action> {
    let mut choices = Vec::new();
    while number > 0 {
        let step = &steps[number as usize];
        choices.push(step.action);
        number = step.from;
    }
    let mut normal = model.initial().normal();
    let mut state = model.initial();
    let mut way = Vec::new();
    for choice in choices.into_iter().rev() {
        let action = model.actions(&normal)[usize::from(choice)];
        normal = model
            .next(&normal, action)
            .expect("it was made before")
            .normal();
        let same = |action: &Action| {
            let next = model.next(&state, *action).map(State::normal);
            next.as_ref() == Some(&normal)
        };
        let action = model
            .actions(&state)
            .into_iter()
            .find(same)
            .expect("the states differ in numbers only");
        state = model.next(&state, action).expect("it was found");
        way.push(action);
    }
    way
}
