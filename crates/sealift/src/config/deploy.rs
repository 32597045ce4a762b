//! `deploy`: which driver makes an environment's releases live.

use super::{
    decode::{Cursor, Reader},
    fault::Fault,
};

/// Registers drivers: what each is called here and in the file, and the type of its settings. That type says itself how
/// it is read (serde), what editors should know (schemars), and whether its values go together (`validate`).
macro_rules! drivers {
    ($($(#[$doc:meta])* $variant:ident $name:literal $settings:ty,)*) => {
        /// How an environment's releases are made live.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Deploy {
            $($(#[$doc])* $variant($settings),)*
        }

        /// The names of the drivers.
        pub(super) const NAMES: &[&str] = &[$($name),*];

        fn settings(reader: &mut Reader, name: &str, at: &Cursor<'_>) -> Option<Deploy> {
            match name {
                $($name => {
                    let settings: $settings = reader.decode(at)?;
                    let checked = settings.validate().map_err(|why| about(at, &why));
                    reader.keep(checked)?;
                    Some(Deploy::$variant(settings))
                })*
                _ => None,
            }
        }

        /// The drivers' names and the schemas of their settings.
        pub(super) fn schemas(generator: &mut schemars::SchemaGenerator) -> Vec<(&'static str, schemars::Schema)> {
            vec![$(($name, generator.subschema_for::<$settings>())),*]
        }
    };
}

drivers! {
    /// Child processes on this machine, see [`sealift_drivers::process`].
    Process "process" sealift_drivers::process::Config,
    /// A service of a Docker Compose file on this host's engine, see [`sealift_drivers::compose`].
    Compose "compose" sealift_drivers::compose::Config,
}

/// Reads `deploy`, a mapping of one key.
pub(super) fn read(reader: &mut Reader, at: &Cursor<'_>) -> Option<Deploy> {
    if !reader.mapping(at, NAMES) {
        return None;
    }
    let mut named = at.keys().filter(|entry| NAMES.contains(&entry.key.as_str()));
    match (named.next(), named.next()) {
        (Some(entry), None) => settings(reader, &entry.key, &at.entry(entry)),
        (None, _) if at.keys().next().is_some() => None,
        _ => {
            reader.push(at.fault(format!("`deploy` names one driver: {}", NAMES.join(", "))));
            None
        }
    }
}

/// A fault of settings, at the first of them that the words quote.
fn about(at: &Cursor<'_>, why: &str) -> Fault {
    let quoted = why.split('`').skip(1).step_by(2).find_map(|word| at.get(word));
    quoted.as_ref().unwrap_or(at).fault(why)
}
