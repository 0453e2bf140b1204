//! How full an agent's volume is, as `df` says. Good to know, and no reason to fail: an image may be without it.

/// Bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    pub used: u64,
    pub total: u64,
}

/// Above this many percent the next build may find the disk full: garbage collection comes after a build.
const FULL: u64 = 90;

impl Use {
    pub fn is_almost_full(self) -> bool {
        self.percent() > FULL
    }

    pub fn percent(self) -> u64 {
        // As df rounds: a disk with a byte in it is not empty, one with a byte left is full.
        let percent = (u128::from(self.used) * 100).div_ceil(u128::from(self.total.max(1)));
        percent.try_into().unwrap_or(u64::MAX)
    }
}

impl std::fmt::Display for Use {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let (used, total) = (gib(self.used), gib(self.total));
        write!(f, "{used:.1} of {total:.1} GiB used ({} %)", self.percent())
    }
}

/// POSIX's format: a head line, then name, 1024-blocks, used, available, capacity, mount point.
pub(super) fn read(df: &str) -> Option<Use> {
    let mut columns = df.lines().nth(1)?.split_whitespace().skip(1);
    let kib: u64 = columns.next()?.parse().ok()?;
    let used: u64 = columns.next()?.parse().ok()?;
    let free: u64 = columns.next()?.parse().ok()?;
    // What only root may use counts as used up, as it does for df's own percentage.
    let total = used.checked_add(free)?.checked_mul(1024)?;
    (kib > 0).then_some(Use {
        used: used * 1024,
        total,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_and_total_of_a_volume() {
        let df = "Filesystem     1024-blocks    Used Available Capacity Mounted on\n\
                  /dev/nvme1n1      51290592 1000000  50273208       2% /var/lib/buildkit\n";
        let found = read(df).expect("a line");
        assert_eq!(found.used, 1_000_000 << 10);
        assert_eq!(found.total, 51_273_208 << 10);
        assert_eq!(found.percent(), 2);
        assert_eq!(read("df: /x: No such file or directory\n"), None);
        let most = u64::MAX;
        assert_eq!(read(&format!("x\n/dev/x 1 {most} 1\n")), None);
        let used = Use {
            used: most,
            total: most,
        };
        assert_eq!(used.percent(), 100);
    }
}
