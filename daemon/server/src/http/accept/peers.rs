//! Who is an administrator over the admin socket: root, the daemon's own user, and the members of one
//! group where the configuration names it. The kernel tells the uid (`SO_PEERCRED`, unix(7)).
//!
//! In a user namespace of its own (`PrivateUsers=yes`) the daemon sees root and itself; all others have one
//! uid. Then the mode of the socket decides, which the kernel holds against everybody who connects.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// Stands for every uid that the user namespace has no number for; user_namespaces(7).
const UNMAPPED: u32 = 65_534;

/// Who is accepted.
#[derive(Clone, Copy, Debug)]
pub struct AdminPeers {
    own: Uid,
    group: Option<Gid>,
    view: View,
}

/// Whom the kernel tells apart for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Everybody,
    /// Those that are mapped into its user namespace.
    Some,
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
        // Without the file there are no user namespaces.
        let view = fs::read_to_string("/proc/self/uid_map").map_or(View::Everybody, |map| view(&map));
        Ok(Self { own: Uid::effective(), group: group.map(find).transpose()?, view })
    }

    /// The group that shares the socket.
    pub fn group(&self) -> Option<u32> {
        self.group.map(Gid::as_raw)
    }

    /// Whether a peer with this uid, which connected to the socket at this path, is an administrator.
    pub fn accepts(&self, uid: u32, socket: Option<&Path>) -> bool {
        let is_unmapped = self.view == View::Some && uid == UNMAPPED;
        let uid = Uid::from_raw(uid);
        uid.is_root()
            || uid == self.own
            || self.group.is_some_and(|group| {
                is_member(uid, group) || (is_unmapped && socket.is_some_and(is_closed_to_others))
            })
    }
}

/// Reads lines of `inside outside count`.
fn view(map: &str) -> View {
    let mut words = map.split_whitespace();
    let whole = [Some("0"), Some("0"), Some("4294967295")];
    if [words.next(), words.next(), words.next()] == whole { View::Everybody } else { View::Some }
}

fn is_member(uid: Uid, group: Gid) -> bool {
    let Ok(Some(user)) = User::from_uid(uid) else { return false };
    let Ok(name) = std::ffi::CString::new(user.name) else { return false };
    getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&group))
}

/// Whether only the owner and the group of a socket can connect.
fn is_closed_to_others(socket: &Path) -> bool {
    fs::metadata(socket).is_ok_and(|found| found.permissions().mode() & 0o007 == 0)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use nix::unistd::{Gid, Uid};

    use super::{AdminPeers, UNMAPPED, View, view};

    #[test]
    fn strangers_are_refused() {
        let peers = AdminPeers::new(None).unwrap();
        assert!(peers.accepts(0, None));
        assert!(peers.accepts(Uid::effective().as_raw(), None));
        assert!(!peers.accepts(Uid::effective().as_raw() + 12_345, None));
        assert!(AdminPeers::new(Some("no-such-group-here")).is_err());
    }

    #[test]
    fn whom_the_kernel_does_not_name_came_through_the_mode_of_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        drop(File::create(&socket).unwrap());
        // A group that nobody is a member of by name.
        let group = Some(Gid::from_raw(1_999_999_999));
        let check = |view: View, group: Option<Gid>, uid: u32, mode: u32, expected: bool| {
            fs::set_permissions(&socket, Permissions::from_mode(mode)).unwrap();
            let peers = AdminPeers { own: Uid::from_raw(900), group, view };
            assert_eq!(peers.accepts(uid, Some(&socket)), expected, "{view:?} {group:?} {uid} {mode:o}");
            assert_eq!(peers.accepts(uid, None), uid == 900, "{view:?} {group:?} {uid}");
        };
        check(View::Some, group, UNMAPPED, 0o660, true);
        check(View::Some, group, UNMAPPED, 0o666, false);
        check(View::Some, None, UNMAPPED, 0o660, false);
        check(View::Some, group, 1_999_999_998, 0o660, false);
        check(View::Everybody, group, UNMAPPED, 0o660, false);
        check(View::Some, group, 900, 0o666, true);
    }

    #[test]
    fn a_map_of_part_of_the_users_is_noticed() {
        assert_eq!(view("         0          0 4294967295\n"), View::Everybody);
        assert_eq!(view("         0          0          1\n       996        996          1\n"), View::Some);
        assert_eq!(view("         0     100000      65536\n"), View::Some);
        assert_eq!(view(""), View::Some);
    }
}
