//! PEM as RFC 7468 has it: one block, whose lines around it say what it is.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// The characters in a line (RFC 7468, section 2).
const LINE: usize = 64;

/// The bytes in a text of at most `limit` bytes that is one block with this label, and nothing else but white space.
pub(crate) fn read(text: &str, label: &str, limit: usize) -> Option<Vec<u8>> {
    let body = Some(text.trim()).filter(|text| text.len() <= limit)?;
    let body = body.strip_prefix(&begin(label))?.strip_suffix(&end(label))?;
    let base64: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    STANDARD.decode(&*base64).ok()
}

/// The bytes in each of several blocks with this label, of which there may be at most `most`.
pub(crate) fn read_all(text: &str, label: &str, limit: usize, most: usize) -> Option<Vec<Vec<u8>>> {
    let end = end(label);
    let blocks = text.trim().split_inclusive(&end).take(most + 1);
    let blocks = blocks.map(|block| read(block, label, limit)).collect::<Option<Vec<_>>>()?;
    (1..=most).contains(&blocks.len()).then_some(blocks)
}

/// A block, with a line feed at its end.
pub(crate) fn write(label: &str, bytes: &[u8]) -> String {
    let base64 = Zeroizing::new(STANDARD.encode(bytes));
    // As long as it becomes, so that no part of a private key is left behind where it had to grow.
    let mut pem = String::with_capacity(base64.len() + base64.len() / LINE + 2 * label.len() + 40);
    pem.push_str(&begin(label));
    for (index, character) in base64.chars().enumerate() {
        if index % LINE == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push('\n');
    pem.push_str(&end(label));
    pem.push('\n');
    pem
}

fn begin(label: &str) -> String {
    format!("-----BEGIN {label}-----")
}

fn end(label: &str) -> String {
    format!("-----END {label}-----")
}
