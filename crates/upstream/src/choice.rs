use std::{cmp::min_by_key, net::SocketAddr, sync::Arc, time::Duration};

use orderflow_contract::status;
use tonic::{Code, Status};

use crate::{Standing, replica::Replica};

/// Which replica gets a call, of those that stand best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Of two at random the one that has less to do.
    LeastLoaded,
    /// Always the first by address, for all callers the same: for calls that get in one another's way on different replicas.
    First,
}

/// Why a call was not made. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is nobody to make it to.
    #[error("the {0} service is away")]
    NoneLeft(&'static str),
    /// As many calls are on their way as there is room for.
    #[error("the {0} service has too much to do")]
    Full(&'static str),
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::NoneLeft(_) => status::unavailable("UPSTREAM_UNAVAILABLE", message),
            Refused::Full(_) => status::retry_later(
                Code::ResourceExhausted,
                "BUSY",
                message,
                Duration::from_millis(100),
            ),
        }
    }
}

impl Choice {
    /// One of the replicas of the service `name`, which stand in the order of their addresses. One that was `tried` only where
    /// there is no other as good.
    pub(crate) fn of<'a>(
        self,
        name: &'static str,
        replicas: impl Iterator<Item = &'a Arc<Replica>>,
        tried: &[SocketAddr],
    ) -> Result<&'a Arc<Replica>, Refused> {
        let ranked: Vec<_> = replicas
            .map(|replica| (replica.standing(), replica))
            .filter(|(standing, _)| *standing != Standing::Gone)
            .map(|(standing, replica)| ((standing, tried.contains(&replica.address)), replica))
            .collect();
        let best = ranked.iter().map(|(rank, _)| *rank).min();
        let best = best.ok_or(Refused::NoneLeft(name))?;
        // What the best have no room for is not for the others: they would only be slower.
        let mut best: Vec<_> = ranked
            .into_iter()
            .filter(|(rank, replica)| *rank == best && replica.has_room())
            .map(|(_, replica)| replica)
            .collect();
        match (self, best.len()) {
            (_, 0) => Err(Refused::Full(name)),
            (Self::First, _) | (_, 1) => Ok(best[0]),
            (Self::LeastLoaded, n) => {
                let one = best.swap_remove(rand::random_range(..n));
                let other = best[rand::random_range(..n - 1)];
                Ok(min_by_key(one, other, |replica| replica.in_flight()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;
    use orderflow_chassis::channel::Tls;

    use super::*;
    use crate::Lease;

    fn replicas(standings: &[Standing]) -> Vec<Arc<Replica>> {
        let replica = |(n, standing): (u8, &Standing)| {
            let address = SocketAddr::from(([127, 0, 0, n], 7002));
            let url = Uri::from_static("http://catalog:7002");
            let replica = Replica::new(address, &url, &Tls::default());
            replica.stands(*standing);
            Arc::new(replica)
        };
        (1..).zip(standings).map(replica).collect()
    }

    /// Which of them, counted from 1; the first one was tried.
    fn first_choice(standings: &[Standing], tried: bool) -> Result<u8, Refused> {
        let replicas = replicas(standings);
        let tried: Vec<_> = replicas
            .iter()
            .take(tried.into())
            .map(|r| r.address)
            .collect();
        let chosen = Choice::First.of("catalog", replicas.iter(), &tried)?;
        let SocketAddr::V4(address) = chosen.address else {
            panic!("{}", chosen.address);
        };
        Ok(address.ip().octets()[3])
    }

    #[tokio::test]
    async fn the_best_there_is() {
        use Standing::{Gone, InDoubt, NotServing, Serving};
        assert_eq!(first_choice(&[Serving, Serving], false), Ok(1));
        assert_eq!(first_choice(&[NotServing, Serving], false), Ok(2));
        assert_eq!(first_choice(&[Gone, InDoubt, NotServing], false), Ok(3));
        assert_eq!(first_choice(&[Gone, InDoubt], false), Ok(2));
        let none = Err(Refused::NoneLeft("catalog"));
        assert_eq!(first_choice(&[], false), none);
        assert_eq!(first_choice(&[Gone, Gone], false), none);
    }

    #[tokio::test]
    async fn another_try_is_for_another_replica_but_no_worse_one() {
        use Standing::{InDoubt, Serving};
        assert_eq!(first_choice(&[Serving, Serving], true), Ok(2));
        assert_eq!(first_choice(&[InDoubt, Serving], true), Ok(2));
        assert_eq!(first_choice(&[Serving, InDoubt], true), Ok(1));
        assert_eq!(first_choice(&[Serving], true), Ok(1));
    }

    #[tokio::test]
    async fn the_one_with_less_to_do_and_room() {
        let replicas = replicas(&[Standing::Serving; 2]);
        let choose = || Choice::LeastLoaded.of("catalog", replicas.iter(), &[]);
        let mut leases: Vec<_> = (0..1_000)
            .map(|_| Lease::new(replicas[0].clone()))
            .collect();
        for _ in 0..1_000 {
            let chosen = choose().unwrap();
            assert_eq!(chosen.address, replicas[1].address);
            leases.push(Lease::new(chosen.clone()));
        }
        assert_eq!(choose().err(), Some(Refused::Full("catalog")));
        leases.truncate(1_999);
        assert_eq!(choose().unwrap().address, replicas[1].address);
    }
}
