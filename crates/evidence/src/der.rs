//! Just enough DER (ITU-T X.690) to look into a public key.

/// The tag of a SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// The tag of an INTEGER.
pub(crate) const INTEGER: u8 = 0x02;
/// The tag of an OBJECT IDENTIFIER.
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
/// The tag of a BIT STRING.
pub(crate) const BIT_STRING: u8 = 0x03;

/// The contents of the first element, which must have this tag, and what comes after it. Lengths are read as DER has them
/// (X.690, section 10.1): definite and as short as possible.
pub(crate) fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // Two octets of length are more than any key has.
        0x81 | 0x82 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            let length = octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
            let shortest = if first == 0x81 { 0x80 } else { 0x100 };
            (Some(length).filter(|length| *length >= shortest)?, rest)
        }
        _ => return None,
    };
    (found == tag).then_some(())?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_with_their_shortest_lengths_only() {
        let long = [&[SEQUENCE, 0x81, 0x80][..], &[7; 0x80], &[9]].concat();
        assert_eq!(element(&long, SEQUENCE), Some((&[7; 0x80][..], &[9][..])));
        assert_eq!(element(&[SEQUENCE, 0], SEQUENCE), Some((&[][..], &[][..])));
        for (bytes, tag) in [
            (&[][..], SEQUENCE),
            (&[SEQUENCE], SEQUENCE),
            (&[SEQUENCE, 2, 1], SEQUENCE),
            (&[SEQUENCE, 1, 1], BIT_STRING),
            (&[SEQUENCE, 0x81, 1, 1], SEQUENCE),
            (&[SEQUENCE, 0x82, 0, 1, 1], SEQUENCE),
            (&[SEQUENCE, 0x80, 0, 0], SEQUENCE),
            (&[SEQUENCE, 0x83, 1, 0, 0], SEQUENCE),
        ] {
            assert_eq!(element(bytes, tag), None, "{bytes:?}");
        }
    }
}
