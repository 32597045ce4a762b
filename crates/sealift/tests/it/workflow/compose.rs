//! The `compose` driver for the workflow's tests: staging by `recreate`, production by `blue-green` behind an nginx with
//! TLS, both on the real engine.

use sealift_registry::image::Built;

use super::stage::Deploys;
use crate::{
    engine::{self, Cleanup, Part},
    nginx::{self, Nginx},
    place::{NEEDED, Place},
};

/// How production's releases take each other's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Side by side, behind nginx.
    BlueGreen,
    /// One after the other, by Compose v2.
    Recreate,
    /// One after the other, by Compose v1.
    RecreateV1,
}

/// The driver with what it needs around it.
pub(crate) struct Compose {
    how: How,
    cleanup: Cleanup,
    /// In front of production, with `blue-green`.
    pub(crate) nginx: Option<Nginx>,
    /// Lines of production's service in its Compose file, beyond what every test has.
    lines: String,
    /// Settings of production's driver, each as it stands in a flow mapping.
    settings: Vec<String>,
    /// The address of production's engine; `None` is the one that everything else uses.
    engine: Option<String>,
    /// Whether staging has the variable that some releases need.
    staging_has: bool,
    /// More files beside the configuration: names and texts.
    files: Vec<(String, String)>,
}

impl Compose {
    /// Production with this strategy.
    pub(crate) fn new(how: How) -> Self {
        let cleanup = Cleanup::unique("sealift-it");
        Self {
            how,
            cleanup,
            nginx: None,
            lines: "    init: true\n".to_owned(),
            settings: Vec::new(),
            engine: None,
            staging_has: true,
            files: Vec::new(),
        }
    }

    /// The same whose production service stands so in its Compose file.
    pub(crate) fn with_lines(mut self, lines: &str) -> Self {
        self.lines = lines.to_owned();
        self
    }

    /// The same with one more setting of production's driver. It goes before the one of its name that every test has.
    pub(crate) fn with_setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// The same with one more file beside the configuration.
    pub(crate) fn with_file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// The same with production on the engine at this address.
    pub(crate) fn on_engine(mut self, address: &str) -> Self {
        self.engine = Some(address.to_owned());
        self.with_setting(&format!("engine: \"{address}\""))
    }

    /// The same whose staging lacks the variable that some releases need.
    pub(crate) fn without_variable(mut self) -> Self {
        self.staging_has = false;
        self
    }

    /// The name of production's Compose project.
    pub(crate) fn project(&self) -> String {
        format!("{}-production", self.cleanup.id)
    }

    /// The label under which what a test makes in the engine is removed with everything else.
    pub(crate) fn label(&self) -> String {
        self.cleanup.label()
    }

    /// Runs docker with production's engine.
    #[track_caller]
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        let engine = self.engine.iter().flat_map(|address| ["--host", address.as_str()]);
        engine::docker(&engine.chain(arguments.iter().copied()).collect::<Vec<_>>())
    }

    /// The nginx in front of production.
    pub(crate) fn nginx(&self) -> &Nginx {
        self.nginx.as_ref().unwrap()
    }

    /// Production's containers with their states, sorted by name.
    pub(crate) fn containers(&self) -> Vec<(String, String)> {
        let filter = format!("label=dev.sealift.project={}", self.project());
        let listed = self.docker(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}} {{.State}}"]);
        let mut found: Vec<_> =
            listed.lines().filter_map(|l| l.split_once(' ')).map(|(n, s)| (n.to_owned(), s.to_owned())).collect();
        found.sort();
        found
    }

    /// Writes production's Compose file anew, with these lines of its service.
    pub(crate) fn configure(&self, place: &Place, lines: &str) {
        let ports = match self.how {
            How::BlueGreen => "    ports: [\"8080\"]\n".to_owned(),
            How::Recreate | How::RecreateV1 => format!("    ports: [\"127.0.0.1:{}:8080\"]\n", place.ports[3]),
        };
        place.write("production.yaml", &file(&format!("{lines}{ports}")));
    }

    fn argv(&self) -> String {
        let argv = if self.how == How::RecreateV1 { engine::compose_v1() } else { engine::compose_v2() };
        serde_json::to_string(&argv.unwrap()).unwrap()
    }

    fn staging(&self, place: &Place) -> String {
        let port = place.ports[0];
        let variable = if self.staging_has { format!("      {NEEDED}: db.staging\n") } else { String::new() };
        let text = file(&format!(
            "    init: true\n    ports: [\"127.0.0.1:{port}:8080\"]\n    environment:\n      PLACE: staging\n{variable}"
        ));
        place.write("staging.yaml", &text);
        format!(
            "deploy: {{compose: {{file: staging.yaml, service: web, project: {}-staging, strategy: recreate, compose: {}, \
             state: staging-host, start_within: 20s, min_memory: 16MB}}}}",
            self.cleanup.id,
            self.argv()
        )
    }

    fn production(&mut self, place: &Place) -> String {
        let [_, _, _, status, c, d] = place.ports;
        self.configure(place, &self.lines);
        place.write("check.sh", "exit 0\n");
        self.files.iter().for_each(|(name, text)| place.write(name, text));
        let (compose, project) = (self.argv(), self.project());
        let usual = ["start_within: 8s", "drain: 1s", "lock_within: 1s", "min_memory: 16MB"];
        let name = |setting: &str| setting.split(':').next().map(str::to_owned);
        let own: Vec<_> = self.settings.iter().map(|setting| name(setting)).collect();
        let usual = usual.into_iter().filter(|setting| !own.contains(&name(setting)));
        let settings: Vec<_> = usual.chain(self.settings.iter().map(String::as_str)).collect();
        let common = format!(
            "file: production.yaml, service: web, project: {project}, compose: {compose}, state: production-host, {}",
            settings.join(", ")
        );
        if self.how == How::BlueGreen {
            let nginx = Nginx::start("127.0.0.1:9 down");
            let argv = serde_json::to_string(&nginx.argv()).unwrap();
            let include = nginx.upstream_conf();
            self.nginx = Some(nginx);
            return format!(
                "deploy: {{compose: {{{common}, strategy: blue-green, ports: [{c}, {d}], nginx: {{include: {}, upstream: {}, \
                 command: {argv}, keepalive: 8, status_port: {status}}}}}}}",
                include.display(),
                nginx::UPSTREAM
            );
        }
        format!("deploy: {{compose: {{{common}, strategy: recreate}}}}")
    }
}

fn file(service: &str) -> String {
    format!("services:\n  web:\n    image: replaced-by-the-digest\n    stop_grace_period: 1s\n{service}")
}

impl Deploys for Compose {
    fn is_there(&self, test: &str) -> bool {
        let parts: &[Part] = match self.how {
            How::BlueGreen => &[Part::ComposeV2, Part::Nginx],
            How::Recreate => &[Part::ComposeV2],
            How::RecreateV1 => &[Part::ComposeV1],
        };
        engine::are_there(test, parts)
    }

    fn edits(&mut self, place: &mut Place) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(place.path("sealift.yaml")).unwrap();
        let mut lines =
            text.lines().filter(|line| line.trim_start().starts_with("deploy: ")).map(|line| line.trim().to_owned());
        let (staging, production) = (lines.next().unwrap(), lines.next().unwrap());
        let mut edits = vec![(staging, self.staging(place)), (production, self.production(place))];
        let check = "within: 300ms, stable_for: 100ms, json: {status: ok, version: \"{version}\"}}";
        let checks = format!("{}\n      - {{run: [sh, check.sh], within: 30s}}", check.replace("300ms", "3s"));
        edits.push((check.to_owned(), checks));
        if let Some(nginx) = &self.nginx {
            let port = place.ports[3];
            edits.push((format!("http://127.0.0.1:{port}/health"), nginx.url("/health")));
            place.variables.push(("SSL_CERT_FILE".to_owned(), nginx.authority().display().to_string()));
        }
        let engine = std::env::vars().filter(|(name, _)| name.starts_with("DOCKER_"));
        place.variables.extend(engine);
        edits
    }

    fn image(&self, version: &str, variables: &[(&str, &str)]) -> Built {
        sealift::demo::images::contained_with(version, variables).build()
    }

    fn answers(&self, place: &Place, environment: &str) -> Option<String> {
        match &self.nginx {
            Some(nginx) if environment == "production" => nginx.version(),
            _ => place.answers(environment),
        }
    }
}
