//! Builds the demo's web service into a static program, which the binary carries as the content of an image.

use std::{env, path::PathBuf, process::Command};

fn main() {
    let source = "src/demo/service.rs";
    println!("cargo:rerun-if-changed={source}");
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else { return };
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let target = env::var("TARGET").unwrap_or_default();
    let status = Command::new(rustc)
        .args(["--edition", "2024", "--crate-name", "hello", "--crate-type", "bin", "--target", &target])
        // Static, so that it runs in an image that holds nothing else.
        .args(["-C", "target-feature=+crt-static", "-C", "panic=abort", "-C", "opt-level=s", "-C", "strip=symbols"])
        .arg("-o")
        .arg(out.join("hello"))
        .arg(source)
        .status();
    match status {
        Ok(status) if status.success() => {}
        other => {
            println!("cargo:warning=the demo's web service could not be built: {other:?}");
            std::process::exit(1);
        }
    }
}
