//! Entries and hosts that nobody thought of, the same in every run, for the comparisons with real implementations.

/// Numbers that look random (xorshift).
pub(super) struct Dice(u64);

const LABELS: &[&str] =
    &["okta", "acme", "a", "b", "com", "example", "OKTA", "aCme", "not-okta", "x_y", "xn--bcher-kva"];

// None that is IPv4 mapped into IPv6: here, as on the wire and in Go, that is the IPv4 address, while curl and hyper-util
// take it for another one.
const ADDRESSES: &[&str] = &[
    "10.1.2.3",
    "10.0.0.0",
    "10.255.255.255",
    "11.0.0.1",
    "192.168.1.77",
    "203.0.113.9",
    "2001:db8::9",
    "2001:DB8::9",
    "2001:db8:0:0:0:0:0:9",
    "2001:db8:ffff::1",
    "2001:db9::9",
    "fe80::1",
];

impl Dice {
    /// Dice with a sequence of their own for each seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % count
    }

    pub(super) fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn name(&mut self) -> String {
        let labels: Vec<_> = (0..=self.below(4)).map(|_| self.one_of(LABELS)).collect();
        labels.join(".")
    }

    /// A host as it stands in a URL, without a port.
    pub(super) fn host(&mut self) -> String {
        match self.below(8) {
            0 => match self.one_of(ADDRESSES) {
                address if address.contains(':') => format!("[{address}]"),
                address => address.to_owned(),
            },
            1 => self.name() + ".",
            _ => self.name(),
        }
    }

    /// An entry of a list, of a kind that people write.
    pub(super) fn entry(&mut self) -> String {
        if self.below(5) == 0 {
            return self.address_entry();
        }
        let mut entry = self.name();
        for _ in 0..self.below(3) {
            entry = match self.below(9) {
                0 => format!(".{entry}"),
                1 => format!("*.{entry}"),
                2 => format!("*{entry}"),
                3 => format!("{entry}."),
                4 => format!("{entry}:{}", self.one_of(&["443", "8443", "80", "0443", "x"])),
                // A wildcard in the middle, or at the end.
                5 => entry.replacen('.', ".*.", 1),
                6 => format!("{entry}.*"),
                // The end of a label alone.
                7 => entry[entry.len().min(2)..].to_owned(),
                _ => entry.split_once('.').map_or(entry.clone(), |(_, rest)| rest.to_owned()),
            };
        }
        if entry.is_empty() { "com".to_owned() } else { entry }
    }

    fn address_entry(&mut self) -> String {
        let address = self.one_of(ADDRESSES);
        match self.below(5) {
            0 => format!("{address}/{}", self.one_of(&["0", "1", "7", "8", "12", "24", "31", "32", "33", "64", "128"])),
            1 => format!("[{address}]"),
            2 if !address.contains(':') => format!("{address}:{}", self.one_of(&["443", "8443"])),
            3 => address[address.len() / 2..].to_owned(),
            _ => address.to_owned(),
        }
    }

    /// A regular expression over hosts with their port.
    pub(super) fn expression(&mut self) -> String {
        let atoms: &[&str] = &[
            "okta",
            "acme",
            "a",
            "com",
            ".",
            r"\.",
            ".*",
            ".+",
            "[a-m]",
            "[^.]",
            r"\w+",
            r"\d+",
            "^",
            "$",
            r"\b",
            "|",
            ":443",
            r"(?:a|okta)",
            r"(.+\.)?",
            "*",
            "+",
            "?",
            "{2}",
            "{1,}",
            "(",
            ")",
            "[",
            r"\",
            "(?i)",
            "(?!x)",
            r"\Z",
            r"\A",
            r"\S",
            "é",
            "{",
            "]",
            r"\x6f",
            "(?P<n>k)",
            "(?#x)",
            "*?",
            "++",
        ];
        (0..=self.below(6)).map(|_| self.one_of(atoms)).collect()
    }
}

/// Those that somebody thought of, and `count` more.
pub(super) fn with(thought_of: &[&str], count: usize, make: impl FnMut() -> String) -> Vec<String> {
    let mut all: Vec<_> = thought_of.iter().map(ToString::to_string).collect();
    all.extend(std::iter::repeat_with(make).take(count));
    all
}
