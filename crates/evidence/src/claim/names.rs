//! Digests in the names that tools give to images.

use sealift_domain::digest::Digest;

/// The digest in the name of an image: `sha256:…`, `repository@sha256:…`, or a package URL of type `oci` (purl-spec,
/// "oci"), in which `:` may be written `%3A`.
pub(super) fn digest(name: &str) -> Option<Digest> {
    if let Ok(digest) = name.parse() {
        return Some(digest);
    }
    let after = match name.strip_prefix("pkg:") {
        Some(purl) => purl.strip_prefix("oci/")?.split(['?', '#']).next()?,
        None => name,
    };
    let (_, version) = after.rsplit_once('@')?;
    match version.split_once("%3A").or_else(|| version.split_once("%3a")) {
        Some((algorithm, digits)) => format!("{algorithm}:{digits}").parse().ok(),
        None => version.parse().ok(),
    }
}

/// The digest with these hexadecimal digits.
pub(super) fn sha256(digits: &str) -> Option<Digest> {
    format!("sha256:{digits}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_carry_their_digest() {
        let image = Digest::of(b"image");
        for name in [
            image.to_string(),
            format!("registry.example:5000/team/app@{image}"),
            format!("pkg:oci/app@{image}?arch=amd64&tag=v1@2"),
            format!("pkg:oci/app@sha256%3A{}?repository_url=x", image.hex()),
            format!("pkg:oci/app@sha256%3a{}", image.hex()),
        ] {
            assert_eq!(digest(&name), Some(image), "{name}");
        }
        let other = format!("pkg:generic/app@{image}");
        for name in ["", "app", "app:v1", "app@v1", "pkg:oci/app", "app@sha512:00", other.as_str()] {
            assert_eq!(digest(name), None, "{name}");
        }
    }
}
