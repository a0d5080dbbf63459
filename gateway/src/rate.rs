//! How often a client may call.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use axum::extract::Request;
use orderflow_chassis::serve::network;
use orderflow_contract::status;
use orderflow_identity::Caller;
use orderflow_proto::{auth, has_no_side_effects, methods, options::v1::Access, path};
use orderflow_quota::{Meter, Rate};
use prost_reflect::DescriptorPool;
use tonic::{Code, Status};

use crate::client::{self, Proxies};

/// How often what may be called.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests of one address, whatever they are.
    pub per_address: Rate,
    /// Calls of one user.
    pub per_user: Rate,
    /// What an address may do without a token that changes something or takes work: registering, signing in.
    pub sign_ins: Rate,
    /// Who is believed about whose address it is.
    pub trusted_proxies: Proxies,
}

impl Limits {
    /// No limits, and nobody is believed.
    pub fn off() -> Self {
        Self {
            per_address: Rate::OFF,
            per_user: Rate::OFF,
            sign_ins: Rate::OFF,
            trusted_proxies: Proxies::default(),
        }
    }
}

/// Keeps clients to the limits.
pub(crate) struct Rates {
    addresses: Meter,
    users: Meter,
    sign_ins: Meter,
    proxies: Proxies,
    /// Paths of methods that anybody may call and that do more than look something up.
    open: HashSet<String>,
}

impl Rates {
    pub(crate) fn new(limits: Limits, pool: &DescriptorPool) -> Self {
        Self {
            addresses: Meter::new(limits.per_address),
            users: Meter::new(limits.per_user),
            sign_ins: Meter::new(limits.sign_ins),
            proxies: limits.trusted_proxies,
            open: open(pool).collect(),
        }
    }

    /// The address that a request counts for.
    pub(crate) fn client(&self, request: &Request) -> IpAddr {
        let peer = client::peer(request.extensions());
        network(self.proxies.client(peer, request.headers()))
    }

    /// Every request counts for its address, before anything is done about it.
    pub(crate) fn per_address(&self, client: IpAddr) -> Result<(), Status> {
        let taken = self.addresses.take(&client);
        taken.map_err(|wait| too_many("this address", wait))
    }

    /// A call counts for its user. Where anybody may call, and the call is work, it counts for its address once more.
    pub(crate) fn per_caller(
        &self,
        caller: Option<&Caller>,
        client: IpAddr,
        path: &str,
    ) -> Result<(), Status> {
        match caller {
            Some(Caller::User(user)) => {
                let taken = self.users.take(&user.id);
                taken.map_err(|wait| too_many("this user", wait))
            }
            _ if self.open.contains(path) => {
                let taken = self.sign_ins.take(&client);
                taken.map_err(|wait| too_many("this address without a token", wait))
            }
            _ => Ok(()),
        }
    }
}

fn open(pool: &DescriptorPool) -> impl Iterator<Item = String> {
    let open = methods(pool).filter(|method| {
        let is_public = auth(method).is_some_and(|auth| auth.access() == Access::Public);
        is_public && !has_no_side_effects(method)
    });
    open.map(|method| path(&method))
}

/// RESOURCE_EXHAUSTED. Nothing was sent.
fn too_many(whose: &str, wait: Duration) -> Status {
    let message = format!("too many calls of {whose}");
    status::retry_later(Code::ResourceExhausted, "TOO_MANY_CALLS", message, wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registering_and_signing_in_are_open_and_look_ups_are_not() {
        let mut open: Vec<_> = open(orderflow_proto::descriptors()).collect();
        open.sort();
        assert_eq!(
            open,
            [
                "/orderflow.user.v1.UserService/Login",
                "/orderflow.user.v1.UserService/Register",
            ]
        );
    }
}
