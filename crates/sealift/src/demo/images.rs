//! The images of the demo: a static web service and nothing else.

use sealift_registry::image::{Builder, Layer};
use serde_json::json;

/// The web service, built by `build.rs`.
const SERVICE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));

/// A release of the web service for this machine, which is unwell where the variable that it `needs` is not set.
pub fn service(version: &str, needs: Option<&str>) -> Builder {
    let mut variables = vec![format!("VERSION={version}")];
    variables.extend(needs.map(|name| format!("NEEDS={name}")));
    Builder::new()
        .platform(os(), architecture(), None)
        .runtime("Entrypoint", json!(["/hello"]))
        .runtime("Env", json!(variables))
        .label("org.opencontainers.image.source", "https://example.com/hello")
        .label("org.opencontainers.image.revision", &commit(version))
        .label("org.opencontainers.image.version", version)
        .created("2026-01-01T00:00:00Z")
        .layer(Layer::tar(archive()))
}

/// A commit id of the right shape for each version.
pub fn commit(version: &str) -> String {
    let digest = sealift_domain::digest::Digest::of(version.as_bytes()).hex();
    digest.chars().take(40).collect()
}

fn os() -> &'static str {
    "linux"
}

/// The architecture in OCI's words (OCI Image Specification 1.1, after Go's `GOARCH`).
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A tar archive that holds the service as `/hello` (POSIX.1-2017, pax, "ustar Interchange Format").
fn archive() -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| {
        if let Some(field) = header.get_mut(at..at + text.len()) {
            field.copy_from_slice(text.as_bytes());
        }
    };
    put(0, "hello");
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", SERVICE.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    if let Some(field) = header.get_mut(148..156) {
        field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    let mut archive = header.to_vec();
    archive.extend_from_slice(SERVICE);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}
