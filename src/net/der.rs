//! As much DER (X.690) as certificates and answers about their revocation need beyond what rcgen writes, byte for byte.

/// Universal tags (X.680, 8.4) and the two context tags of GeneralName (RFC 5280, 4.2.1.6) that are written here.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const BMP_STRING: u8 = 0x1e;
    pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    pub(crate) const DNS_NAME: u8 = 0x82;
    pub(crate) const URI: u8 = 0x86;
    pub(crate) const IP_ADDRESS: u8 = 0x87;
    /// `[n]` around something constructed.
    pub(crate) const fn context(number: u8) -> u8 {
        0xa0 | number
    }
}

/// One element: its tag, its content, and the bytes of both with the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    pub(crate) raw: &'a [u8],
}

/// The elements that stand one after the other in some bytes; ends at the first that is not whole.
#[derive(Clone, Debug)]
pub(crate) struct Elements<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        // No certificate uses tags above 30; their long form would be misread.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (octets.iter().fold(0usize, |length, octet| (length << 8) | usize::from(*octet)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let raw = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some(Element { tag, content, raw })
    }
}

/// The elements inside the one element of this tag that `bytes` begin with.
pub(crate) fn inside(tag: u8, bytes: &[u8]) -> Option<Elements<'_>> {
    let element = Elements(bytes).next()?;
    (element.tag == tag).then_some(Elements(element.content))
}

/// Writes one element.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 6);
    bytes.push(tag);
    let length = content.len().to_be_bytes();
    if content.len() <= 0x7f {
        bytes.push(length[length.len() - 1]);
    } else {
        let octets = &length[length.iter().take_while(|octet| **octet == 0).count()..];
        // At most 8 octets, as `usize` has no more.
        bytes.push(0x80 | u8::try_from(octets.len()).unwrap_or(8));
        bytes.extend_from_slice(octets);
    }
    bytes.extend_from_slice(content);
    bytes
}

/// Writes one element around others.
pub(crate) fn wrap<T: AsRef<[u8]>>(tag: u8, parts: &[T]) -> Vec<u8> {
    let content: Vec<u8> = parts.iter().flat_map(|part| part.as_ref().iter().copied()).collect();
    element(tag, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_at_every_length() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let bytes = element(tag::OCTET_STRING, &content);
            let mut elements = Elements(&bytes);
            let read = elements.next().unwrap();
            assert_eq!((read.tag, read.content.len(), read.raw.len()), (tag::OCTET_STRING, length, bytes.len()));
            assert_eq!(elements.next(), None);
        }
        assert_eq!(element(tag::OCTET_STRING, &[0; 200])[..3], [4, 0x81, 200]);
    }

    #[test]
    fn bytes_that_end_early_are_no_element() {
        for bad in
            [&b""[..], b"\x30", b"\x30\x05\x01", b"\x30\x80\x00\x00", b"\x1f\x01\x00", b"\x30\x84\xff\xff\xff\xff"]
        {
            assert_eq!(Elements(bad).next(), None, "{bad:02x?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            for element in Elements(&bytes) {
                proptest::prop_assert!(element.raw.len() > element.content.len());
            }
        }
    }
}
