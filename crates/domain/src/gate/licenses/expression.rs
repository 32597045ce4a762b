//! Licence expressions (SPDX 2.3, annex D), and what the policy says of one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spdx::{Expression, LicenseItem, LicenseReq, ParseMode, expression::ExprNode};

/// An expression longer than this, in bytes, is taken for unknown.
const MAX_LENGTH: usize = 4096;

/// Names as tools write them: `Apache 2`, `MIT/BSD`, `GPLv2+`. What is not on the list of licences stays a name of its own.
const LENIENT: ParseMode = ParseMode { allow_unknown: true, ..ParseMode::LAX };

/// What counts where nobody says a licence, or says it in words that are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Unknown {
    /// It is not allowed.
    #[default]
    Deny,
    /// It is.
    Allow,
}

impl Unknown {
    pub(super) fn is_denied(&self) -> bool {
        *self == Self::Deny
    }
}

/// What is allowed and denied, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    allow: Vec<Term>,
    deny: Vec<Term>,
    unknown: Unknown,
}

/// One entry of a list: a licence without its version suffix (`-only`, `-or-later`, `+`), and an exception after `WITH`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// The beginning of identifiers.
    Beginning(String),
    /// One licence.
    Licence { base: String, with: Option<String> },
}

impl Terms {
    /// # Errors
    /// An entry is no licence that SPDX lists, nor a reference, nor the beginning of one: a typing error in `deny` would allow.
    pub(super) fn new(allow: &[String], deny: &[String], unknown: Unknown) -> Result<Self, String> {
        let read = |list: &[String]| list.iter().map(|text| Term::read(text)).collect::<Result<Vec<_>, _>>();
        Ok(Self { allow: read(allow)?, deny: read(deny)?, unknown })
    }

    /// Whether a package under `licence` may be there. Of `OR` one branch must be allowed, of `AND` both.
    pub(super) fn accept(&self, licence: &str) -> bool {
        let licence = licence.trim();
        let unsaid = licence.is_empty() || licence == "NOASSERTION" || licence == "NONE";
        if unsaid || licence.len() > MAX_LENGTH {
            return self.unknown == Unknown::Allow;
        }
        match Expression::parse_mode(licence, LENIENT) {
            Ok(expression) => expression.evaluate(|requirement| self.accept_one(requirement)),
            Err(_) => self.unknown == Unknown::Allow,
        }
    }

    fn accept_one(&self, requirement: &LicenseReq) -> bool {
        let leaf = Leaf::of(requirement);
        let exactly = |list: &[Term]| leaf.with.is_some() && list.iter().any(|term| term.is(&leaf, true));
        let without = |list: &[Term]| list.iter().any(|term| term.is(&leaf, false));
        // An exception after `WITH` only permits more, so what holds of the licence holds with it, unless a list names both.
        if exactly(&self.deny) {
            return false;
        }
        if exactly(&self.allow) {
            return true;
        }
        if without(&self.deny) {
            return false;
        }
        if without(&self.allow) {
            return true;
        }
        match leaf.known {
            true => self.allow.is_empty(),
            false => self.unknown == Unknown::Allow,
        }
    }
}

impl Term {
    fn read(text: &str) -> Result<Self, String> {
        let none = || {
            format!(
                "`{}` is no licence: write an SPDX identifier (https://spdx.org/licenses), or the beginning of one with `*`",
                super::shown(text)
            )
        };
        if let Some(beginning) = text.strip_suffix('*') {
            let some = !beginning.is_empty()
                && spdx::identifiers::LICENSES.iter().any(|known| known.name.starts_with(beginning));
            return if some { Ok(Self::Beginning(beginning.to_owned())) } else { Err(none()) };
        }
        let expression = Expression::parse_mode(text, ParseMode::LAX).map_err(|_| none())?;
        let mut nodes = expression.iter();
        match (nodes.next(), nodes.next()) {
            (Some(ExprNode::Req(only)), None) => {
                let Leaf { base, with, .. } = Leaf::of(&only.req);
                Ok(Self::Licence { base, with })
            }
            _ => Err(none()),
        }
    }

    /// Whether it means `leaf`: with its exception, or apart from that.
    fn is(&self, leaf: &Leaf, with: bool) -> bool {
        match self {
            Self::Beginning(beginning) => {
                !with && [&leaf.base, &leaf.name].iter().any(|name| name.starts_with(beginning.as_str()))
            }
            Self::Licence { base, with: exception } => {
                *base == leaf.base && exception.as_deref() == leaf.with.as_deref().filter(|_| with)
            }
        }
    }
}

/// One licence of an expression.
struct Leaf {
    /// As SPDX lists it.
    name: String,
    /// Without its version suffix. `GPL-3.0`, `-only`, `-or-later` and `+` are one: of "or any later version" the licensee may
    /// choose this one, and whoever denies a version means it however it is written.
    base: String,
    /// The exception behind `WITH`, or behind `-with-` as in identifiers that SPDX has deprecated.
    with: Option<String>,
    /// Whether SPDX lists the licence, and the exception if there is one.
    known: bool,
}

impl Leaf {
    fn of(requirement: &LicenseReq) -> Self {
        let name = match &requirement.license {
            LicenseItem::Spdx { id, .. } => id.name.to_owned(),
            LicenseItem::Other(reference) => reference.to_string(),
        };
        let addition = requirement.addition.as_ref();
        let known = requirement.license.id().is_some() && addition.is_none_or(|addition| addition.id().is_some());
        let (licence, old) = match name.split_once("-with-") {
            Some((licence, exception)) if known => (licence, Some(format!("-with-{exception}"))),
            _ => (name.as_str(), None),
        };
        let suffixes = ["-only", "-or-later", "+"];
        let base = suffixes.iter().find_map(|suffix| licence.strip_suffix(suffix)).unwrap_or(licence).to_owned();
        Self { base, with: addition.map(ToString::to_string).or(old), known, name }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(allow: &[&str], deny: &[&str], unknown: Unknown) -> Terms {
        let list = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Terms::new(&list(allow), &list(deny), unknown).unwrap()
    }

    #[test]
    fn of_or_one_branch_must_be_allowed_and_of_and_both() {
        let terms = terms(&["MIT", "Apache-2.0"], &[], Unknown::Deny);
        for licence in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "MIT AND Apache-2.0",
            "(GPL-2.0-only AND X11) OR MIT",
            "mit",
            "Apache 2.0",
            "MIT/GPL-3.0",
            "Apache-2.0 WITH LLVM-exception",
            "Apache-2.0+",
        ] {
            assert!(terms.accept(licence), "{licence}");
        }
        for licence in [
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "",
            "NOASSERTION",
            "NONE",
            "my own",
            "MIT AND Secret",
            "LicenseRef-x",
            "MIT OR",
            "((((",
            "MIT WITH Nothing-known AND X11",
        ] {
            assert!(!terms.accept(licence), "{licence}");
        }
    }

    #[test]
    fn what_is_denied_is_denied_however_its_version_is_written() {
        let terms = terms(&[], &["GPL-3.0", "AGPL-*", "LGPL-2.1-*"], Unknown::Deny);
        for licence in [
            "GPL-3.0",
            "GPL-3.0-only",
            "GPL-3.0-or-later",
            "GPL-3.0+",
            "GPLv3",
            "AGPL-3.0-only",
            "AGPL-1.0",
            "LGPL-2.1-or-later",
            "LGPL-2.1+",
            "GPL-3.0-with-GCC-exception",
            "MIT AND GPL-3.0-only",
            "GPL-3.0-only WITH GCC-exception-3.1",
        ] {
            assert!(!terms.accept(licence), "{licence}");
        }
        for licence in ["GPL-2.0-only", "LGPL-3.0-only", "MIT OR GPL-3.0-only", "MIT"] {
            assert!(terms.accept(licence), "{licence}");
        }
    }

    #[test]
    fn an_exception_that_is_named_goes_before_its_licence() {
        let terms = terms(&["MIT", "GPL-2.0 WITH Classpath-exception-2.0"], &["GPL-2.0"], Unknown::Deny);
        assert!(terms.accept("GPL-2.0-only WITH Classpath-exception-2.0"));
        let old = Terms::new(&["GPL-2.0-with-GCC-exception".to_owned()], &[], Unknown::Deny).unwrap();
        assert!(old.accept("GPL-2.0-with-GCC-exception") && !old.accept("GPL-2.0-only"));
        assert!(!terms.accept("GPL-2.0-only") && !terms.accept("GPL-2.0-only WITH GCC-exception-2.0"));
    }

    #[test]
    fn a_licence_that_does_not_exist_cannot_be_allowed_or_denied() {
        for text in ["GLP-3.0", "", "*", "XYZ-*", "MIT OR X11", "MIT AND X11", "none of these"] {
            assert!(Terms::new(&[], &[text.to_owned()], Unknown::Deny).is_err(), "{text}");
        }
        assert!(Terms::new(&["LicenseRef-acme".to_owned()], &[], Unknown::Deny).is_ok());
        assert!(terms(&["LicenseRef-acme"], &[], Unknown::Deny).accept("LicenseRef-acme OR GPL-3.0-only"));
    }

    /// Expressions of a few licences, known and unknown.
    fn expression() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "MIT",
            "X11",
            "GPL-3.0-only",
            "GPL-2.0-or-later",
            "Apache-2.0 WITH LLVM-exception",
            "Foo",
        ]);
        leaf.prop_map(str::to_owned).prop_recursive(4, 24, 2, |inner| {
            (inner.clone(), prop::bool::ANY, inner)
                .prop_map(|(a, and, b)| format!("({a}) {} ({b})", if and { "AND" } else { "OR" }))
        })
    }

    fn list() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(
            prop::sample::select(vec!["MIT", "X11", "GPL-3.0", "GPL-2.0", "Apache-2.0", "GPL-*"])
                .prop_map(str::to_owned),
            0..4,
        )
    }

    proptest! {
        #[test]
        fn or_is_either_and_and_is_both(a in expression(), b in expression(), allow in list(), deny in list()) {
            let terms = Terms::new(&allow, &deny, Unknown::Deny).unwrap();
            let (left, right) = (terms.accept(&a), terms.accept(&b));
            prop_assert_eq!(terms.accept(&format!("({a}) OR ({b})")), left || right);
            prop_assert_eq!(terms.accept(&format!("({a}) AND ({b})")), left && right);
        }

        #[test]
        fn who_denies_more_never_accepts_more(a in expression(), allow in list(), deny in list(), more in list()) {
            let few = Terms::new(&allow, &deny, Unknown::Deny).unwrap();
            let many = Terms::new(&allow, &[deny, more].concat(), Unknown::Deny).unwrap();
            prop_assert!(!many.accept(&a) || few.accept(&a), "{}", a);
        }

        #[test]
        fn who_allows_more_never_accepts_less(a in expression(), first in "MIT|X11", allow in list(), deny in list(), more in list()) {
            let allow = [vec![first], allow].concat();
            let few = Terms::new(&allow, &deny, Unknown::Deny).unwrap();
            let many = Terms::new(&[allow, more].concat(), &deny, Unknown::Deny).unwrap();
            prop_assert!(!few.accept(&a) || many.accept(&a), "{}", a);
        }

        #[test]
        fn no_text_makes_it_panic_and_rubbish_is_unknown(text in "[ -~]{0,60}|[()ANDORWITH+/ MIT-]{0,60}|\\PC{0,40}") {
            let terms = terms(&["MIT"], &[], Unknown::Deny);
            let accepted = terms.accept(&text);
            prop_assert!(!accepted || text.to_ascii_lowercase().contains("mit") || text.to_ascii_lowercase().contains("expat"), "{}", text);
        }
    }
}
