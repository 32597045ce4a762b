//! Short names that people give to applications, environments, components, people and roles.

use std::{fmt, str::FromStr};

use crate::text::serde_as_text;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name: 1 to 63 lower-case letters, digits and `-`, beginning with a letter and not ending with `-`"
)]
pub struct NameError(String);

fn is_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

macro_rules! names {
    ($($(#[$doc:meta])* $type:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if is_name(text) { Ok(Self(text.to_owned())) } else { Err(NameError(text.to_owned())) }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        serde_as_text!($type, "Name", "^[a-z][a-z0-9-]{0,62}$");
    )*};
}

names! {
    /// An application: what is released as one.
    AppName,
    /// A place where software runs, for instance `staging`.
    EnvironmentName,
    /// One image of an application, for instance `web` or `worker`.
    ComponentName,
    /// The handle of a person within the log. A pseudonym: what it stands for lies in an erasable opening.
    PersonId,
    /// What a person may do, for instance `release-manager`.
    Role,
    /// Where notices are sent.
    ChannelName,
}

impl ComponentName {
    /// The component of an application that has only one image and therefore never names it.
    pub fn only() -> Self {
        Self("app".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for text in ["a", "staging", "eu-west-1", &"a".repeat(63)] {
            assert_eq!(text.parse::<EnvironmentName>().unwrap().as_str(), text);
        }
        for text in ["", "A", "1a", "-a", "a-", "a_b", "a b", "a/b", "é", &"a".repeat(64)] {
            assert!(text.parse::<EnvironmentName>().is_err(), "{text}");
        }
        assert_eq!(ComponentName::only().to_string(), "app");
        assert_eq!(format!("{:?}", ComponentName::only()), "app");
    }
}
