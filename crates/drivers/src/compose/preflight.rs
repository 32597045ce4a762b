//! What the host must have before anything is begun.

use std::{net::TcpListener, path::Path};

use sealift_domain::quantity::ByteSize;
use sealift_engine::ports::driver::{DriverError, DriverErrorKind};

use super::{
    config::{Config, Strategy},
    engine::{Engine, Info, LocalImage},
    host,
    project::Resolved,
    tool::Compose,
};
use crate::failure;

fn refused(why: String) -> DriverError {
    failure(DriverErrorKind::Preflight, format!("{why}; nothing was changed"))
}

/// Whether this Compose can do what the strategy wants of it.
pub(super) fn check_compose(compose: &Compose, strategy: Strategy) -> Result<(), DriverError> {
    if strategy == Strategy::BlueGreen && compose.major < 2 {
        let why = format!(
            "`strategy: blue-green` needs Docker Compose 2, and this host has {}; install it, or say `strategy: recreate`",
            compose.version
        );
        return Err(refused(why));
    }
    Ok(())
}

/// Whether the disk of a local engine has room.
pub(super) fn check_disk(engine: &Engine, info: &Info, config: &Config) -> Result<(), DriverError> {
    if !engine.is_local() || info.docker_root_dir.is_empty() {
        return Ok(());
    }
    let root = Path::new(&info.docker_root_dir);
    let free = host::free_disk(root).map_err(|e| refused(format!("{}: {e}", root.display())))?;
    if free >= config.min_disk.bytes() {
        return Ok(());
    }
    let why = format!(
        "the disk of {} has {} left, and `min_disk` wants {}; make room, for instance with `docker image prune`",
        root.display(),
        ByteSize::from_bytes(free).human(),
        config.min_disk.human()
    );
    Err(refused(why))
}

/// Whether a second release fits into memory beside the live one.
pub(super) fn check_memory(engine: &Engine, config: &Config, file: &Resolved) -> Result<(), DriverError> {
    if !engine.is_local() {
        return Ok(());
    }
    let wanted = file.memory_limit().unwrap_or_default().max(config.min_memory.bytes());
    let free = host::available_memory().map_err(|e| refused(e.to_string()))?;
    if free >= wanted {
        return Ok(());
    }
    let why = format!(
        "the host has {} of memory available, and a second release beside the live one wants {}; free some, lower \
         `min_memory` or the service's limit, or use `strategy: recreate`",
        ByteSize::from_bytes(free).human(),
        ByteSize::from_bytes(wanted).human()
    );
    Err(refused(why))
}

/// Whether anything can tell that a release is healthy.
pub(super) fn check_health(config: &Config, file: &Resolved, image: &LocalImage) -> Result<(), DriverError> {
    let in_container = file.health_check().unwrap_or_else(|| image.has_health_check());
    if in_container || config.health.is_some() {
        return Ok(());
    }
    let why = format!(
        "nothing says when `{}` is healthy: give it a `healthcheck` in the Compose file or the image, or `health: /path` \
         under `deploy`",
        config.service
    );
    Err(refused(why))
}

/// Whether nobody else has a port.
pub(super) fn check_port(engine: &Engine, port: u16) -> Result<(), DriverError> {
    if !engine.is_local() {
        return Ok(());
    }
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(format!("port {port}, on which the release is to listen, cannot be used: {error}"))),
    }
}
