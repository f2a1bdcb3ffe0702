//! Addresses and sockets: numbers 65 to 76.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use serde_json::json;

use crate::{contained, contained_by, inside, own_pid, server};

#[tokio::test]
async fn a065_no_address_can_be_reached() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let arguments = json!({ "port": listener.local_addr().unwrap().port() });
    let acts = ["loopback", "any", "lan", "public", "metadata", "loopback6", "public6", "ula", "udp"];
    let refused = ["ENETUNREACH", "EACCES", "EPERM", "EADDRNOTAVAIL", "EAFNOSUPPORT"];
    let server = server().await;
    contained_by(&server, "a065", arguments.clone(), &acts, &refused, &["loopback"]).await;
    let node = inside(&server, "probe-node", "a065", &arguments).await;
    assert!(refused.contains(&node["loopback"].as_str().unwrap()), "{node}");
    let go = inside(&server, "probe-go", "a065", &arguments).await;
    assert_ne!(go["loopback"], "ok", "{go}");
    let daemon = json!({ "port": server.url().rsplit(':').next().unwrap().parse::<u16>().unwrap() });
    let own = inside(&server, "probe", "a065", &daemon).await;
    assert!(refused.contains(&own["loopback"].as_str().unwrap()), "the daemon's own port: {own}");
    server.stop().await;
}

#[tokio::test]
async fn a066_abstract_sockets_of_the_host_are_out_of_reach() {
    let name = format!("alyx-abuse-{}", own_pid());
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    contained(
        "a066",
        json!({ "abstract": name }),
        &["abstract"],
        &["ECONNREFUSED", "EPERM", "EACCES"],
        &["abstract"],
    )
    .await;
    drop(listener);
}

#[tokio::test]
async fn a067_rare_socket_families_are_refused() {
    let acts = ["netlink", "packet", "vsock", "alg", "raw", "key", "xdp", "mptcp"];
    let refused = ["EAFNOSUPPORT", "EPERM", "EACCES", "EPROTONOSUPPORT"];
    contained("a067", json!({}), &acts, &refused, &["netlink", "packet", "vsock", "raw", "xdp", "mptcp"])
        .await;
}

#[tokio::test]
async fn a068_no_port_can_be_listened_on() {
    contained("a068", json!({}), &["listen"], &["EACCES", "EPERM", "EADDRNOTAVAIL"], &["listen"]).await;
}
