//! Memory that the kernel uses for objects such as sockets and descriptors.

use std::fs;

/// Bytes of the objects in use, from `/proc/slabinfo`, or where only root may read that, of `Slab` in
/// `/proc/meminfo`, which counts pages and is coarser.
pub(crate) fn kernel_objects() -> u64 {
    match fs::read_to_string("/proc/slabinfo") {
        Ok(slabs) => active_bytes(&slabs),
        Err(_) => slab(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
    }
}

/// Sum of `active_objs` times `objsize` (slabinfo(5)).
fn active_bytes(slabs: &str) -> u64 {
    let lines =
        slabs.lines().filter(|line| !line.starts_with('#') && !line.starts_with("slabinfo"));
    let sizes = lines.filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let active: u64 = fields.next()?.parse().ok()?;
        let size: u64 = fields.nth(1)?.parse().ok()?;
        Some(active * size)
    });
    sizes.sum()
}

fn slab(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Slab:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0)
        * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_are_summed_by_object() {
        let text = "slabinfo - version: 2.1\n# name <active_objs> <num_objs> <objsize>\n\
                    TCP 10 20 2000 1 2 : tunables\nfilp 3 4 200 1 2 : tunables\n";
        assert_eq!(active_bytes(text), 20_600);
        assert_eq!(slab("MemFree: 1 kB\nSlab:   12 kB\n"), 12_288);
    }
}
