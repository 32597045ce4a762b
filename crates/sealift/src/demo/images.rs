//! The images of the demo: a static web service and nothing else.

use sealift_registry::image::{Builder, Layer};
use serde_json::json;

/// The web service, built by `build.rs`.
const SERVICE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));

/// The port on which the service listens inside its container.
pub const CONTAINER_PORT: u16 = 8080;
/// How often a container engine asks for the health of its container, in nanoseconds as its configuration wants it.
const HEALTH_INTERVAL_NS: u64 = 500_000_000;

/// A release of the web service for this machine, which is unwell where the variable that it `needs` is not set.
pub fn service(version: &str, needs: Option<&str>) -> Builder {
    let needs: Vec<(&str, &str)> = needs.iter().map(|name| ("NEEDS", *name)).collect();
    service_with(version, &needs)
}

/// A release of the web service whose image sets these variables. `service.rs` says which ones it knows.
pub fn service_with(version: &str, variables: &[(&str, &str)]) -> Builder {
    let set = std::iter::once(("VERSION", version)).chain(variables.iter().copied());
    let set: Vec<String> = set.map(|(name, value)| format!("{name}={value}")).collect();
    Builder::new()
        .platform(os(), architecture(), None)
        .runtime("Entrypoint", json!(["/hello"]))
        .runtime("Env", json!(set))
        .label("org.opencontainers.image.source", "https://example.com/hello")
        .label("org.opencontainers.image.revision", &commit(version))
        .label("org.opencontainers.image.version", version)
        .created("2026-01-01T00:00:00Z")
        .layer(Layer::tar(archive()))
}

/// A release for a container: it listens on [`CONTAINER_PORT`] and brings its health check.
pub fn contained(version: &str) -> Builder {
    contained_with(version, &[])
}

/// The same whose image sets these variables too.
///
/// `Healthcheck` is a key of Docker's image configuration (Docker Image Specification 1.2). OCI's configuration has no such
/// key, but Docker reads it from images of either media type.
pub fn contained_with(version: &str, variables: &[(&str, &str)]) -> Builder {
    let port = CONTAINER_PORT.to_string();
    let variables = [&[("PORT", port.as_str())], variables].concat();
    let check = json!({
        "Test": ["CMD", "/hello", "health"],
        "Interval": HEALTH_INTERVAL_NS,
        "Timeout": 3_000_000_000_u64,
        "Retries": 3,
    });
    service_with(version, &variables)
        .runtime("ExposedPorts", json!({format!("{port}/tcp"): {}}))
        .runtime("Healthcheck", check)
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
