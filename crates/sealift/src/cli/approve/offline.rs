//! Deciding on a request that came in a file: without a log, without a network, without a configuration.

use std::path::{Path, PathBuf};

use sealift_domain::{
    approval::{APPROVAL_NAMESPACE, Decision},
    digest::Digest,
    promotion::PromotionId,
};
use sealift_engine::{
    act::Signed,
    decide,
    exchange::{self, Opened},
    ports::clock::Clock,
};
use serde_json::json;

use super::{
    super::{Ends, Global},
    Said, agrees,
    shown::{self, Definitions, Line},
};
use crate::{
    diagnostic::{Diagnostic, catalogue::Exit},
    failure, files, identity,
    session::{configuration, configuration_path},
    shell::Shell,
    system::{SystemClock, nonce},
};

/// Shows a request, signs the decision on it, and writes the answer.
pub(super) fn decide(shell: &Shell, global: &Global, file: &Path, said: Said) -> Ends {
    let one = |d| vec![d];
    if !shell.resolve(file).is_file() {
        let what = format!("`{}` is neither the number of a promotion nor a file", file.display());
        return Err(one(failure::usage(what).next("`sealift status` names what waits for approval")));
    }
    let bytes = files::read(shell, file, exchange::MAX_REQUEST).map_err(one)?;
    let opened = exchange::open(&bytes, SystemClock.now()).map_err(|e| one(failure::of_engine(e)))?;
    let differs = compare(shell, global, &opened)?;
    sign(shell, global, &opened, (said, &differs)).map_err(one)
}

/// How the policy of a request differs from the sealift.yaml that is here; nothing where there is none.
fn compare(shell: &Shell, global: &Global, opened: &Opened) -> Result<Vec<String>, Vec<Diagnostic>> {
    if !configuration_path(shell, global).exists() {
        return Ok(Vec::new());
    }
    let here = configuration(shell, global)?.policy;
    let policy = &opened.request.policy;
    if here.app != policy.app {
        let what = format!("it is a request of `{}`, and {} is of `{}`", policy.app, global.config.display(), here.app);
        return Err(vec![
            Diagnostic::new("E0615", what)
                .state("nothing was signed")
                .next("sign it in another directory, if you approve for that application too"),
        ]);
    }
    Ok(if here == *policy { Vec::new() } else { super::super::policy::differences(&here, policy) })
}

fn sign(
    shell: &Shell,
    global: &Global,
    opened: &Opened,
    (said, differs): (Said, &[String]),
) -> Result<Exit, Diagnostic> {
    let Said { decision, reason, yes, identity, out } = said;
    let Opened { request, ledger, .. } = opened;
    let id = request.promotion.id;
    let identity = identity::require(shell, &request.policy, identity.as_deref())?;
    let decided = (decision, reason);
    let statement = decide::statement(ledger, id, &identity.person, decided, SystemClock.now(), nonce())
        .map_err(failure::of_engine)?;
    // Nobody answers whoever signs here, so what cannot count is not signed. Since when a key is in the policy, only the log tells.
    decide::would_count(ledger, &statement, &identity.key).map_err(failure::of_engine)?;
    if !global.json() {
        let style = shell.err(false, global.color()).style();
        let definitions = definitions(opened);
        shell.tell(&shown::what_is_signed(ledger, &statement, &definitions, &told(opened, differs), &style));
    }
    consents(shell, global, (id, decision), (yes, differs))?;
    let out = out.unwrap_or_else(|| PathBuf::from(format!("answer-{id}-{}.json", identity.person)));
    files::free(shell, &out)?;
    let bytes = serde_json::to_vec(&statement).unwrap_or_default();
    let signature = identity.sign(APPROVAL_NAMESPACE, &bytes)?;
    let answer = exchange::answer(&Signed { statement: bytes, signature }).map_err(failure::of_engine)?;
    files::write(shell, &out, &answer)?;
    if out == Path::new("-") {
        return Ok(Exit::Ok);
    }
    if global.json() {
        let value = json!({
            "schema_version": 1,
            "promotion": id,
            "decision": decision,
            "approver": statement.approver,
            "expires_at": statement.expires_at,
            "file": out,
        });
        shell.print(&format!("{value}\n"));
        return Ok(Exit::Ok);
    }
    let word = super::word(decision);
    shell.print(&format!("{word} by {} (promotion {id}), signed into {}\n", statement.approver, out.display()));
    shell.print(&format!("next: sealift approve import {}   # where the log can be written\n", out.display()));
    Ok(Exit::Ok)
}

/// What came with the file, as far as it is what was judged.
fn definitions(opened: &Opened) -> Definitions {
    let request = &opened.request;
    let piece = |digest: Digest| request.pieces.get(&digest).map(|text| text.clone().into_bytes());
    let live = request.told.live.as_ref().and_then(|live| live.definition);
    Definitions {
        candidate: request.definition,
        after: request.definition.and_then(piece),
        before: live.and_then(piece),
    }
}

/// What an approver must know beside what is signed.
fn told(opened: &Opened, differs: &[String]) -> Vec<Line> {
    let mut lines = vec![(
        "told only",
        format!("not bound by the signature, but told by the file alone: {}", opened.told.join("; ")),
    )];
    let mut note = opened.request.checkpoint.lines();
    if let (Some(origin), Some(size), Some(root)) = (note.next(), note.next(), note.next()) {
        lines.push(("", format!("of the log: {origin} had {size} entries, root {root}, when this was exported")));
    }
    if !differs.is_empty() {
        lines.push(("WARNING", "the policy of the request is another than sealift.yaml here has:".to_owned()));
        lines.extend(differs.iter().take(MAX_DIFFERENCES).map(|line| ("", line.clone())));
        lines.extend(
            (differs.len() > MAX_DIFFERENCES).then(|| ("", format!("and {} more", differs.len() - MAX_DIFFERENCES))),
        );
    }
    lines
}

/// How many differences of a policy are shown.
const MAX_DIFFERENCES: usize = 20;

/// Asks at a terminal. Where nobody can be asked, what is shown is signed, unless the policy is another than the one here: that
/// wants a `--yes`.
fn consents(
    shell: &Shell,
    global: &Global,
    (id, decision): (PromotionId, Decision),
    (yes, differs): (bool, &[String]),
) -> Result<(), Diagnostic> {
    if yes || decision != Decision::Approve {
        return Ok(());
    }
    let nothing = || failure::usage("nothing was signed").state("nothing was changed");
    if shell.stdin_terminal && !global.json() {
        shell.tell(&format!("sign this approval of promotion {id}? [y/N] "));
        return if agrees(&mut std::io::stdin().lock()) { Ok(()) } else { Err(nothing()) };
    }
    match differs.first() {
        None => Ok(()),
        Some(first) => Err(Diagnostic::new("E0615", "the policy of the request is another than sealift.yaml here has")
            .found(first.clone())
            .state("nothing was signed")
            .next("bring sealift.yaml up to date, or sign it in another directory")
            .next("or sign it all the same, under the policy that is shown: `sealift approve REQUEST-FILE --yes`")),
    }
}
