//! What can happen around a pipeline, and how often.

use proptest::{prelude::*, sample::Index};

use super::engine::Luck;

/// Something that somebody does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Build(u8),
    Deploy {
        production: bool,
        release: u8,
        baseline: bool,
    },
    Verify {
        production: bool,
        release: u8,
        passed: bool,
    },
    Request {
        production: bool,
        rollback: bool,
        release: Option<u8>,
        by_hand: bool,
        unknown: bool,
    },
    /// A release takes the whole way, with luck in staging and then as it comes.
    Ship {
        release: u8,
        luck: Vec<Luck>,
    },
    /// Production goes back to what was good.
    GoBack {
        luck: Vec<Luck>,
    },
    /// The engine works on what is open in an environment.
    Work {
        production: bool,
        luck: Vec<Luck>,
    },
    Say {
        production: bool,
        what: Word,
    },
    Hold {
        release: Option<u8>,
        production: bool,
    },
    Unhold(Index),
    Freeze {
        production: bool,
        minutes: u8,
    },
    Lift {
        production: bool,
    },
    Deliver {
        notice: Index,
        taken: bool,
    },
    Policy(u32),
    /// A person restores a database to this schema.
    Restore {
        production: bool,
        to: u64,
    },
    /// Somebody goes back on the host, and the log hears of it.
    Offline {
        production: bool,
        to: u8,
        ended: u8,
    },
    GiveBack {
        production: bool,
    },
    Steal {
        production: bool,
        by: Index,
    },
    Pass(u16),
    Snapshot,
    Nonsense,
}

/// What people say about a promotion.
#[derive(Clone, Copy, Debug)]
pub(super) enum Word {
    Approve(&'static str),
    Reject,
    Withdraw,
    Supersede,
    Lapse,
}

fn luck() -> impl Strategy<Value = Luck> {
    prop_oneof![
        24 => Just(Luck::Good),
        2 => prop::bool::weighted(0.8).prop_map(|automatic| Luck::Fails { automatic }),
        1 => Just(Luck::ReadsOther),
        1 => Just(Luck::Fenced),
        1 => Just(Luck::Hasty),
        1 => Just(Luck::Crash),
    ]
}

fn word() -> impl Strategy<Value = Word> {
    let who = prop::sample::select(vec!["ana", "bo", "cy"]);
    let rest = prop::sample::select(vec![Word::Reject, Word::Withdraw, Word::Supersede, Word::Lapse]);
    prop_oneof![6 => who.prop_map(Word::Approve), 1 => rest]
}

/// One of a few releases, so that they meet again.
fn which() -> std::ops::Range<u8> {
    0..6
}

pub(super) fn act() -> impl Strategy<Value = Act> {
    let maybe = || prop::option::of(which());
    let flag = any::<bool>;
    let seldom = || prop::bool::weighted(0.1);
    prop_oneof![
        3 => which().prop_map(Act::Build),
        1 => (flag(), which(), flag()).prop_map(|(production, release, baseline)| Act::Deploy { production, release, baseline }),
        1 => (flag(), which(), flag()).prop_map(|(production, release, passed)| Act::Verify { production, release, passed }),
        5 => (flag(), seldom(), maybe(), seldom(), seldom()).prop_map(|(production, rollback, release, by_hand, unknown)| {
            Act::Request { production, rollback, release, by_hand, unknown }
        }),
        3 => (which(), prop::collection::vec(luck(), 4..20)).prop_map(|(release, luck)| Act::Ship { release, luck }),
        2 => prop::collection::vec(luck(), 4..20).prop_map(|luck| Act::GoBack { luck }),
        8 => (flag(), prop::collection::vec(luck(), 1..12)).prop_map(|(production, luck)| Act::Work { production, luck }),
        5 => (prop::bool::weighted(0.8), word()).prop_map(|(production, what)| Act::Say { production, what }),
        1 => (prop::option::weighted(0.5, which()), flag()).prop_map(|(release, production)| Act::Hold { release, production }),
        4 => any::<Index>().prop_map(Act::Unhold),
        1 => (flag(), any::<u8>()).prop_map(|(production, minutes)| Act::Freeze { production, minutes }),
        1 => flag().prop_map(|production| Act::Lift { production }),
        2 => (any::<Index>(), flag()).prop_map(|(notice, taken)| Act::Deliver { notice, taken }),
        1 => (0..3u32).prop_map(Act::Policy),
        1 => (flag(), 0..4u64).prop_map(|(production, to)| Act::Restore { production, to }),
        1 => (flag(), which(), 0..3u8).prop_map(|(production, to, ended)| Act::Offline { production, to, ended }),
        1 => flag().prop_map(|production| Act::GiveBack { production }),
        1 => (flag(), any::<Index>()).prop_map(|(production, by)| Act::Steal { production, by }),
        3 => (0..1200u16).prop_map(Act::Pass),
        1 => Just(Act::Snapshot),
        1 => Just(Act::Nonsense),
    ]
}
