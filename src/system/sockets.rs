//! Which TCP connections this process has open, where the system tells: Linux does, by `/proc`.

use std::net::SocketAddr;

/// The other ends of this process's established connections, sorted; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub fn peers() -> Option<Vec<SocketAddr>> {
    let own: std::collections::HashSet<u64> = std::fs::read_dir("/proc/self/fd")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let target = std::fs::read_link(entry.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect();
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(std::fs::read_to_string);
    let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    let mut peers: Vec<_> =
        lines.filter_map(established).filter(|(_, inode)| own.contains(inode)).map(|(peer, _)| peer).collect();
    peers.sort_unstable();
    Some(peers)
}

/// Other systems have no such table.
#[cfg(not(target_os = "linux"))]
pub fn peers() -> Option<Vec<SocketAddr>> {
    None
}

/// The other end and the inode of an established connection, from a line of the table.
#[cfg(target_os = "linux")]
fn established(line: &str) -> Option<(SocketAddr, u64)> {
    const ESTABLISHED: &str = "01";
    let mut fields = line.split_ascii_whitespace().skip(2);
    let (peer, state) = (fields.next()?, fields.next()?);
    let inode = fields.nth(5)?.parse().ok()?;
    if state != ESTABLISHED {
        return None;
    }
    Some((address(peer)?, inode))
}

/// `0100007F:1F90`: the address as words of the machine's byte order, the port as a number.
#[cfg(target_os = "linux")]
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word =
        |index: usize| u32::from_str_radix(address.get(index * 8..index * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    if address.len() == 8 {
        return Some((word(0)?, port).into());
    }
    let mut bytes = [0; 16];
    for (index, part) in bytes.chunks_exact_mut(4).enumerate() {
        part.copy_from_slice(&word(index)?);
    }
    let address = std::net::Ipv6Addr::from(bytes);
    Some((address.to_ipv4_mapped().map_or(address.into(), std::net::IpAddr::from), port).into())
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_is_seen_while_it_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!peers().unwrap().contains(&address), "it only listens");
        let connected = TcpStream::connect(address).unwrap();
        assert!(peers().unwrap().contains(&address));
        drop(connected);
        assert!(!peers().unwrap().contains(&address));
    }

    #[test]
    fn an_address_is_read_in_both_lengths() {
        let line =
            "  1: 0100007F:9AFF 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 83889 1 0 100";
        let found = established(line).unwrap();
        assert_eq!((found.0.port(), found.1), (8080, 83889));
        #[cfg(target_endian = "little")]
        assert_eq!(found.0.to_string(), "127.0.0.1:8080");
        #[cfg(target_endian = "little")]
        assert_eq!(address("0000000000000000FFFF00000100007F:0050").unwrap().to_string(), "127.0.0.1:80");
        assert!(established(&line.replace(" 01 ", " 0A ")).is_none(), "a listener");
        assert!(established("nonsense").is_none());
    }
}
