//! The rounds: one makes every copy once, so that a slow moment of the machine falls on all alike.

use crate::{
    Failed, baseline,
    cases::{CASES, Case, Kind, LARGE, Target},
    figures::{Figures, Sample},
    http::{Repository, TAG},
    image::Image,
    launch,
    options::Options,
    place::Place,
    proxy::{
        ROUND_TRIP,
        exchanges::{Exchange, longest_chain},
    },
    registry::Requests,
    say,
    tools::{Tool, Tools},
};

/// Exchanges that are in no log: `skopeo` tries TLS first, once for the source and once for the destination.
const NOT_LOGGED: usize = 2;

/// All rounds. The first warms caches and is not counted; in it, or in the only one, every blob is read back.
pub(crate) async fn play(place: &Place, tools: &Tools, options: &Options, figures: &mut Figures) -> Result<(), Failed> {
    let cases: Vec<&Case> = CASES.iter().filter(|case| options.wants(case)).collect();
    say("building the images");
    let images = images(place, &cases, options.smoke).await?;
    let first = *options.rounds().start();
    for round in options.rounds() {
        let counted = if round == 0 { ", not counted" } else { "" };
        for case in &cases {
            say(&format!("round {round} of {}{counted}: {}", options.runs, case.title));
            let image = images.iter().find(|(kind, _)| *kind == case.image).map(|(_, image)| image);
            let image = image.ok_or("an image was not built")?;
            for tool in tools.of(case, round) {
                let copy = Copy { place, case, tool, image, round };
                let sample = copy.measure(round == first).await?;
                if round > 0 {
                    figures.add(case.name, tool, sample);
                }
            }
            if case.name == LARGE && round > 0 {
                figures.baseline.push(baseline::measure(&place.home()?, image.size()).await?);
            }
        }
    }
    Ok(())
}

/// The images of these cases, each pushed to the source.
async fn images(place: &Place, cases: &[&Case], tiny: bool) -> Result<Vec<(Kind, Image)>, Failed> {
    let mut images: Vec<(Kind, Image)> = Vec::new();
    for kind in cases.iter().map(|case| case.image) {
        if images.iter().all(|(known, _)| *known != kind) {
            let image = Image::of(kind, tiny);
            Repository::new(&place.source.address, kind.repository())?.push(&image).await?;
            images.push((kind, image));
        }
    }
    Ok(images)
}

/// One copy by one tool.
pub(crate) struct Copy<'a> {
    /// Where.
    pub(crate) place: &'a Place,
    /// What, and in what state the destination is.
    pub(crate) case: &'a Case,
    /// By which program.
    pub(crate) tool: &'a Tool,
    /// The image itself.
    pub(crate) image: &'a Image,
    /// Tells destinations apart.
    pub(crate) round: u32,
}

impl Copy<'_> {
    /// Makes the copy, looks whether it is right, and removes it. With `deep` every blob is read back.
    pub(crate) async fn measure(&self, deep: bool) -> Result<Sample, Failed> {
        let place = self.place;
        let name = format!("{}/{}-{}", self.case.name, self.tool.slug(), self.round);
        let [from, to] = self.addresses();
        let home = place.home()?;
        if self.case.target == Target::There {
            Repository::new(&place.target.address, &name)?.push(self.image).await?;
        }
        self.tool.prepare(&home, [from, to])?;
        let (source, target) = (format!("{from}/{}:{TAG}", self.case.image.repository()), format!("{to}/{name}:{TAG}"));
        let (ran, kinds, exchanges) = self.run(&home, &source, &target).await?;
        if deep {
            say(&format!("    {}: {}", self.tool.name, shown(&kinds)));
        }
        self.arrived(&name, deep).await.map_err(|why| format!("the copy by `{}`: {why}", self.tool.name))?;
        place.target.wipe()?;
        place.source.forget(&name)?;
        let trips = self.case.far.then(|| longest_chain(&exchanges));
        let sample = Sample { ran, requests: kinds.values().sum(), trips };
        possible(&sample).map_err(|why| format!("`{}` in {}: {why}", self.tool.name, self.case.name).into())
    }

    async fn run(
        &self,
        home: &std::path::Path,
        source: &str,
        target: &str,
    ) -> Result<(launch::Ran, Requests, Vec<Exchange>), Failed> {
        let place = self.place;
        let before = tokio::try_join!(place.source.mark(), place.target.mark())?;
        // What was there before belongs to the preparation.
        drop((place.source_far.take(), place.target_far.take()));
        let ran = launch::measure(home, &self.tool.command(self.case.image, source, target)).await?;
        let after = tokio::try_join!(place.source.mark(), place.target.mark())?;
        let mut requests = place.source.requests(before.0, after.0)?;
        for (kind, n) in place.target.requests(before.1, after.1)? {
            *requests.entry(kind).or_default() += n;
        }
        let exchanges = [place.source_far.take(), place.target_far.take()].concat();
        Ok((ran, requests, exchanges))
    }

    /// Where the image is read and where it is written, as the program is told.
    fn addresses(&self) -> [&str; 2] {
        let place = self.place;
        let (source, target) = if self.case.far {
            (&place.source_far.address, &place.target_far.address)
        } else {
            (&place.source.address, &place.target.address)
        };
        if self.case.target == Target::SameRegistry { [source, source] } else { [source, target] }
    }

    async fn arrived(&self, name: &str, deep: bool) -> Result<(), Failed> {
        let registry = match self.case.target {
            Target::SameRegistry => &self.place.source,
            Target::Empty | Target::There => &self.place.target,
        };
        Repository::new(&registry.address, name)?.check(self.image, deep).await
    }
}

/// The copy, if its figures can be true together: otherwise something was measured wrong.
fn possible(sample: &Sample) -> Result<Sample, String> {
    let Sample { ran, requests, trips } = *sample;
    if ran.cpu.is_zero() || ran.memory == 0 || requests == 0 {
        return Err(format!("{:?} of CPU, {} bytes of memory and {requests} requests", ran.cpu, ran.memory));
    }
    let Some(trips) = trips else { return Ok(*sample) };
    let least = ROUND_TRIP * u32::try_from(trips).unwrap_or(u32::MAX);
    if trips == 0 || trips > requests + NOT_LOGGED || ran.wall < least {
        return Err(format!("{trips} sequential round trips in {:?} with {requests} requests", ran.wall));
    }
    Ok(*sample)
}

/// How many requests of each kind.
fn shown(requests: &Requests) -> String {
    let kinds: Vec<String> = requests.iter().map(|(kind, n)| format!("{n} × {kind}")).collect();
    kinds.join(", ")
}
