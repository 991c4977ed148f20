//! Amounts of bytes, and how many per second: `256KiB`, `10MiB/s`, `8Mbit/s`.
//!
//! Units are those of IEC 80000-13: `KiB` is 1024 bytes, `KB` is 1000, and `bit` an eighth.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

/// How many bytes, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(NonZeroU32);

/// How many bytes per second, from [`ByteRate::MIN`] to [`ByteRate::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteRate(NonZeroU64);

/// What is wrong with a text that should be an amount of bytes or a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BytesFault {
    /// No number where one must stand.
    NotANumber,
    /// A number with no unit behind it.
    UnitMissing,
    /// A unit that is not known.
    UnitUnknown,
    /// A rate without its `/s`.
    PerSecondMissing,
    /// Less than the least.
    TooSmall,
    /// More than the most.
    TooLarge,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Units of bytes, from the largest; how they are shown.
const BYTES: [(&str, u64); 7] = [
    ("GiB", GIB),
    ("GB", 1_000_000_000),
    ("MiB", MIB),
    ("MB", 1_000_000),
    ("KiB", KIB),
    ("KB", 1_000),
    ("B", 1),
];

/// Units of bits, in bits.
const BITS: [(&str, u64); 4] =
    [("bit", 1), ("Kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000)];

impl ByteSize {
    /// The most that can be configured: 1 GiB, which the kernel's accounts hold twice.
    pub const MAX: Self = Self(NonZeroU32::new(1 << 30).expect("it is not zero"));

    /// An amount from 1 to [`ByteSize::MAX`].
    pub fn new(bytes: u32) -> Option<Self> {
        NonZeroU32::new(bytes).map(Self).filter(|size| *size <= Self::MAX)
    }

    /// In bytes.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// Reads a number with its unit.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, BytesFault> {
        let (number, unit) = split(text)?;
        let bytes = number.checked_mul(bytes_of(unit)?).ok_or(BytesFault::TooLarge)?;
        if bytes == 0 {
            return Err(BytesFault::TooSmall);
        }
        u32::try_from(bytes).ok().and_then(Self::new).ok_or(BytesFault::TooLarge)
    }
}

impl ByteRate {
    /// The least rate: 1 KB/s.
    pub const MIN: Self = Self(NonZeroU64::new(1_000).expect("it is not zero"));
    /// The greatest: 1 TiB/s.
    pub const MAX: Self = Self(NonZeroU64::new(1 << 40).expect("it is not zero"));

    /// A rate of so many bytes per second, from [`ByteRate::MIN`] to [`ByteRate::MAX`].
    pub fn new(bytes_per_second: u64) -> Option<Self> {
        NonZeroU64::new(bytes_per_second)
            .map(Self)
            .filter(|rate| (Self::MIN..=Self::MAX).contains(rate))
    }

    /// In bytes per second.
    pub fn get(self) -> NonZeroU64 {
        self.0
    }

    /// Reads a number with its unit and `/s`. Bits make whole bytes, rounded down.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, BytesFault> {
        let (number, unit) = split(text)?;
        let unit = match unit.strip_suffix("/s") {
            Some(unit) => unit,
            None if bytes_of(unit).is_ok() || bits_of(unit).is_some() => {
                return Err(BytesFault::PerSecondMissing);
            }
            None => return Err(BytesFault::UnitUnknown),
        };
        let bytes = match bits_of(unit) {
            Some(bits) => number.checked_mul(bits).map(|bits| bits / 8),
            None => number.checked_mul(bytes_of(unit)?),
        };
        match bytes.ok_or(BytesFault::TooLarge)? {
            bytes if bytes < Self::MIN.0.get() => Err(BytesFault::TooSmall),
            bytes => Self::new(bytes).ok_or(BytesFault::TooLarge),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.get().into(), f)
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0.get(), f)?;
        f.write_str("/s")
    }
}

/// The number and what stands behind it.
fn split(text: &str) -> Result<(u64, &str), BytesFault> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    match (number, unit) {
        ("", _) => Err(BytesFault::NotANumber),
        (_, "" | "/s") => Err(BytesFault::UnitMissing),
        (number, unit) => Ok((number.parse().map_err(|_| BytesFault::TooLarge)?, unit)),
    }
}

fn bytes_of(unit: &str) -> Result<u64, BytesFault> {
    // The official prefix for 1000 is a small letter.
    let unit = if unit == "kB" { "KB" } else { unit };
    let found = BYTES.iter().find(|(name, _)| *name == unit);
    found.map(|(_, bytes)| *bytes).ok_or(BytesFault::UnitUnknown)
}

fn bits_of(unit: &str) -> Option<u64> {
    let unit = if unit == "kbit" { "Kbit" } else { unit };
    BITS.iter().find(|(name, _)| *name == unit).map(|(_, bits)| *bits)
}

/// In the largest unit that is exact.
fn show(bytes: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let exact = BYTES.iter().find(|(_, size)| bytes.is_multiple_of(*size));
    let (unit, size) = exact.expect("a byte divides everything");
    write!(f, "{}{unit}", bytes / size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_rate(text: &str, expected: Result<u64, BytesFault>) {
        let rate = ByteRate::parse(text).map(|rate| rate.get().get());
        assert_eq!(rate, expected, "{text}");
    }

    #[track_caller]
    fn check_size(text: &str, expected: Result<u32, BytesFault>) {
        assert_eq!(ByteSize::parse(text).map(ByteSize::get), expected, "{text}");
    }

    #[test]
    fn rates() {
        check_rate("10MiB/s", Ok(10_485_760));
        check_rate("500KB/s", Ok(500_000));
        check_rate("500kB/s", Ok(500_000));
        check_rate("8Mbit/s", Ok(1_000_000));
        check_rate("1Gbit/s", Ok(125_000_000));
        check_rate("1000B/s", Ok(1_000));
        check_rate("1024GiB/s", Ok(1 << 40));
        check_rate("10", Err(BytesFault::UnitMissing));
        check_rate("10/s", Err(BytesFault::UnitMissing));
        check_rate("10MiB", Err(BytesFault::PerSecondMissing));
        check_rate("8Mbit", Err(BytesFault::PerSecondMissing));
        check_rate("10M/s", Err(BytesFault::UnitUnknown));
        check_rate("10Mbps", Err(BytesFault::UnitUnknown));
        check_rate("1.5MiB/s", Err(BytesFault::UnitUnknown));
        check_rate("fast", Err(BytesFault::NotANumber));
        check_rate("-1MiB/s", Err(BytesFault::NotANumber));
        check_rate("", Err(BytesFault::NotANumber));
        check_rate("0MiB/s", Err(BytesFault::TooSmall));
        check_rate("999B/s", Err(BytesFault::TooSmall));
        check_rate("1025GiB/s", Err(BytesFault::TooLarge));
        check_rate("99999999999999999999GB/s", Err(BytesFault::TooLarge));
    }

    #[test]
    fn sizes() {
        check_size("256KiB", Ok(262_144));
        check_size("1GiB", Ok(1 << 30));
        check_size("1B", Ok(1));
        check_size("64", Err(BytesFault::UnitMissing));
        check_size("64K", Err(BytesFault::UnitUnknown));
        check_size("1MiB/s", Err(BytesFault::UnitUnknown));
        check_size("0KiB", Err(BytesFault::TooSmall));
        check_size("2GiB", Err(BytesFault::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(bytes in 1_000u64..=1 << 40, size in 1u32..=1 << 30) {
            let rate = ByteRate::new(bytes).expect("within the bounds");
            prop_assert_eq!(ByteRate::parse(&rate.to_string()), Ok(rate));
            let size = ByteSize::new(size).expect("within the bounds");
            prop_assert_eq!(ByteSize::parse(&size.to_string()), Ok(size));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}") {
            let _ = (ByteRate::parse(&text), ByteSize::parse(&text));
        }
    }
}
