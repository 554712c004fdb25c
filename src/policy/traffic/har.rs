//! HAR files (HTTP Archive 1.2), read entry by entry: only the URL of each request is kept, and that not for long.

use std::fmt;
use std::io::BufRead;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::destination::of_target;
use super::{Traffic, TrafficError, TrafficFormat};

pub(super) fn read(mut stream: impl BufRead, traffic: &mut Traffic) -> Result<(), TrafficError> {
    if stream.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        stream.consume(3);
    }
    let mut key = Vec::new();
    let mut take = |url: &str| traffic.count(of_target(url.as_bytes()).filter(|_| url.contains("://")), 1, &mut key);
    let mut reader = serde_json::Deserializer::from_reader(stream);
    let path = Path { keys: &["log", "entries", "request", "url"], take: &mut take };
    path.deserialize(&mut reader)
        .map_err(|error| TrafficError::Malformed { format: TrafficFormat::Har, reason: error.to_string() })
}

/// The texts at the end of a path of keys; a list on the way is walked through.
struct Path<'p, F> {
    keys: &'p [&'p str],
    take: &'p mut F,
}

impl<'de, F: FnMut(&str)> DeserializeSeed<'de> for Path<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.keys {
            [] => deserializer.deserialize_str(self),
            ["request", ..] => deserializer.deserialize_seq(self),
            _ => deserializer.deserialize_map(self),
        }
    }
}

/// The members of one entry of the list.
struct Entry<'p, F>(Path<'p, F>);

impl<'de, F: FnMut(&str)> DeserializeSeed<'de> for Entry<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self.0)
    }
}

impl<'de, F: FnMut(&str)> Visitor<'de> for Path<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`{\"log\": {\"entries\": [{\"request\": {\"url\": …}}]}}`")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        (self.take)(text);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (wanted, rest) = self.keys.split_first().map_or(("", self.keys), |(wanted, rest)| (*wanted, rest));
        while let Some(key) = map.next_key::<String>()? {
            if key == wanted {
                map.next_value_seed(Path { keys: rest, take: &mut *self.take })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Entry(Path { keys: self.keys, take: &mut *self.take }))?.is_some() {}
        Ok(())
    }
}
