//! What is copied from where to where.

/// One copy that every program makes.
pub(crate) struct Case {
    /// The name on the command line, also the first part of the destination's name.
    pub(crate) name: &'static str,
    /// What it is, in words.
    pub(crate) title: &'static str,
    /// The image.
    pub(crate) image: Kind,
    /// Whether both registries are 20 ms away in each direction.
    pub(crate) far: bool,
    /// What is at the destination.
    pub(crate) target: Target,
}

/// The images.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 10 layers of 100 MB.
    Large,
    /// 60 layers of 200 KB.
    Many,
    /// An index of 4 platforms with 12 layers of 2 MB each.
    Index,
}

/// The state of the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// An empty registry.
    Empty,
    /// A repository that is not there yet, in the registry that the image is in.
    SameRegistry,
    /// A repository that has everything, with the tag.
    There,
}

impl Kind {
    /// The repository that it is in.
    pub(crate) fn repository(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Many => "many",
            Self::Index => "index",
        }
    }
}

pub(crate) const LARGE: &str = "large";
pub(crate) const MANY: &str = "many";
pub(crate) const MANY_FAR: &str = "many-far";
pub(crate) const INDEX_FAR: &str = "index-far";
pub(crate) const MOUNT_FAR: &str = "mount-far";
pub(crate) const REPEAT_FAR: &str = "repeat-far";

/// All, in the order in which they are told.
pub(crate) const CASES: [Case; 6] = [
    Case { name: LARGE, title: "10 layers of 100 MB, loopback", image: Kind::Large, far: false, target: Target::Empty },
    Case { name: MANY, title: "60 layers of 200 KB, loopback", image: Kind::Many, far: false, target: Target::Empty },
    Case {
        name: MANY_FAR,
        title: "60 layers of 200 KB, 40 ms away",
        image: Kind::Many,
        far: true,
        target: Target::Empty,
    },
    Case {
        name: INDEX_FAR,
        title: "index of 4 platforms, each 12 layers of 2 MB, 40 ms away",
        image: Kind::Index,
        far: true,
        target: Target::Empty,
    },
    Case {
        name: MOUNT_FAR,
        title: "10 layers of 100 MB to another repository of the same registry, 40 ms away",
        image: Kind::Large,
        far: true,
        target: Target::SameRegistry,
    },
    Case {
        name: REPEAT_FAR,
        title: "60 layers of 200 KB that are there already, tag included, 40 ms away",
        image: Kind::Many,
        far: true,
        target: Target::There,
    },
];
