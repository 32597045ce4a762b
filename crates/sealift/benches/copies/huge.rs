//! Images of many gigabytes, once each and by this program alone: to show that memory does not grow with the image.

use crate::{
    Failed,
    cases::{Case, Kind, Target},
    figures::Figures,
    http::Repository,
    image::Image,
    place::Place,
    rounds::Copy,
    say,
    tools::Tools,
};

/// A layer, in bytes.
const LAYER: u64 = 1_000_000_000;

/// What lies on the disk at the most, in bytes: the larger image twice, and something for the file system.
const ROOM: u64 = 22 * LAYER;

/// What is copied, and how many layers it has.
const SIZES: [(&str, u64); 2] = [("1 layer of 1 GB, loopback", 1), ("10 layers of 1 GB, loopback", 10)];

/// Copies each once.
pub(crate) async fn measure(place: &Place, tools: &Tools, figures: &mut Figures) -> Result<(), Failed> {
    let free = rustix::fs::statvfs(place.directory())?;
    if free.f_bavail * free.f_frsize < ROOM {
        let shown = place.directory().display();
        return Err(format!("--huge needs {} GB free in {shown}: set TMPDIR to another place", ROOM / LAYER).into());
    }
    let tool = tools.all.first().ok_or("no tool")?;
    for (title, layers) in SIZES {
        say(&format!("once: {title}"));
        let image = Image::single(5_000, layers, LAYER);
        place.source.wipe()?;
        Repository::new(&place.source.address, Kind::Large.repository())?.push(&image).await?;
        let case = Case { name: "huge", title, image: Kind::Large, far: false, target: Target::Empty };
        let copy = Copy { place, case: &case, tool, image: &image, round: 0 };
        figures.huge.push((title, copy.measure(true).await?));
    }
    place.source.wipe()
}
