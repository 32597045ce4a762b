//! Random faults: a few, each of which comes to an end.

use hyper::Method;
use proptest::prelude::*;
use sealift_engine::ports::registry::RegistryErrorKind;
use sealift_registry::server::{
    Server,
    script::{Action, Fault, Nth, Wait, status, too_many},
};

/// One fault.
#[derive(Clone, Debug)]
pub(super) struct Luck {
    at_source: bool,
    place: (Method, &'static str),
    action: Action,
    /// How often, and from which request on.
    times: u32,
    first: u32,
}

fn reading() -> impl Strategy<Value = (bool, (Method, &'static str), Action)> {
    let place = prop::sample::select(vec![
        (Method::GET, "*/manifests/*"),
        (Method::GET, "*/blobs/sha256:*"),
        (Method::GET, "*/referrers/*"),
        (Method::HEAD, "*"),
    ]);
    let action = prop_oneof![
        Just(status(503)),
        Just(status(500)),
        Just(too_many(Wait::Seconds(3))),
        Just(too_many(Wait::Unsaid)),
        (0_usize..4000).prop_map(Action::Truncate),
        Just(Action::Reset),
        (0_usize..4000).prop_map(Action::Corrupt),
        Just(Action::IgnoreRange),
    ];
    (any::<bool>(), place, action)
}

fn writing() -> impl Strategy<Value = (bool, (Method, &'static str), Action)> {
    let place = prop::sample::select(vec![
        (Method::POST, "*/blobs/uploads/*"),
        (Method::PUT, "*/blobs/uploads/*"),
        (Method::PUT, "*/manifests/*"),
    ]);
    let action = prop_oneof![
        Just(status(502)),
        Just(too_many(Wait::Message("20ms"))),
        (0_usize..4000).prop_map(Action::ResetWithin),
        Just(Action::ResetAfter),
        Just(Action::RefuseMount),
    ];
    (Just(false), place, action)
}

pub(super) fn luck() -> impl Strategy<Value = Luck> {
    let what = prop_oneof![reading(), writing()];
    (what, 1_u32..3, 1_u32..6).prop_map(|((at_source, place, action), times, first)| {
        // A HEAD has no body that could be spoiled.
        let bodiless = place.0 == Method::HEAD && matches!(action, Action::Truncate(_) | Action::Corrupt(_));
        let action = if bodiless { status(503) } else { action };
        Luck { at_source, place, action, times, first }
    })
}

impl Luck {
    pub(super) fn befall(&self, a: &Server, b: &Server) {
        let server = if self.at_source { a } else { b };
        for n in self.first..self.first + self.times {
            let (method, pattern) = self.place.clone();
            server.script(Fault::new(pattern, self.action.clone()).method(method).nth(Nth::Only(n)));
        }
    }

    /// Whether it may make a copy fail in this way.
    pub(super) fn excuses(&self, kind: RegistryErrorKind) -> bool {
        match kind {
            RegistryErrorKind::Transient => true,
            RegistryErrorKind::Corrupt | RegistryErrorKind::Malformed => matches!(self.action, Action::Corrupt(_)),
            _ => false,
        }
    }
}
