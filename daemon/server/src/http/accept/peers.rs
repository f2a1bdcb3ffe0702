//! Who is an administrator over the admin socket: root, the daemon's own user, and the members of one
//! group where the configuration names it. The kernel tells the uid (`SO_PEERCRED`, unix(7)).

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// Who is accepted.
#[derive(Clone, Copy, Debug)]
pub struct AdminPeers {
    own: Uid,
    group: Option<Gid>,
}

/// Why the group cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("server.admin_group: there is no group {0:?}")]
pub struct UnknownGroup(String);

impl AdminPeers {
    /// Looks the group up.
    pub fn new(group: Option<&str>) -> Result<Self, UnknownGroup> {
        let find = |name: &str| match Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid),
            Ok(None) | Err(_) => Err(UnknownGroup(name.to_owned())),
        };
        Ok(Self { own: Uid::effective(), group: group.map(find).transpose()? })
    }

    /// The group that shares the socket.
    pub fn group(&self) -> Option<u32> {
        self.group.map(Gid::as_raw)
    }

    /// Whether a peer with this uid is an administrator.
    pub fn accepts(&self, uid: u32) -> bool {
        let uid = Uid::from_raw(uid);
        uid.is_root() || uid == self.own || self.group.is_some_and(|group| is_member(uid, group))
    }
}

fn is_member(uid: Uid, group: Gid) -> bool {
    let Ok(Some(user)) = User::from_uid(uid) else { return false };
    let Ok(name) = std::ffi::CString::new(user.name) else { return false };
    getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&group))
}

#[cfg(test)]
mod tests {
    use nix::unistd::Uid;

    use super::AdminPeers;

    #[test]
    fn strangers_are_refused() {
        let peers = AdminPeers::new(None).unwrap();
        assert!(peers.accepts(0));
        assert!(peers.accepts(Uid::effective().as_raw()));
        assert!(!peers.accepts(Uid::effective().as_raw() + 12_345));
        assert!(AdminPeers::new(Some("no-such-group-here")).is_err());
    }
}
