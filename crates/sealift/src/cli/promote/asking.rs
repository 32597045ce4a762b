//! Who asks: a person who signs the request, or a workload that an identity provider speaks for. Nothing else says so:
//! neither a flag nor a variable with a name in it.

use std::path::Path;

use sealift_domain::{
    approval::{REQUEST_NAMESPACE, RequestStatement, STATEMENT_VERSION},
    ledger::Ledger,
    policy::Policy,
    promotion::Requester,
};
use sealift_engine::{
    act::Signed,
    ports::clock::Clock,
    request::{self, Ask},
};
use sealift_evidence::oidc::MAX_TOKEN;

use crate::{
    diagnostic::Diagnostic,
    failure,
    identity::{self, Identity},
    session::Session,
    shell::Shell,
    system::{SystemClock, nonce},
    tls_files,
};

/// What the runner of GitHub Actions gives a job with `permissions: {id-token: write}`.
const ACTIONS: [&str; 2] = ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"];
/// The variable that holds a token.
const TOKEN: &str = "SEALIFT_OIDC_TOKEN";

/// Puts who asks into the request, with the proof. Nobody is named where nobody can prove it; whether that is enough is the
/// policy's to say.
pub(super) async fn prove(
    shell: &Shell,
    session: &Session,
    ledger: &Ledger,
    policy: &Policy,
    (key, token_file): (Option<&Path>, Option<&Path>),
    ask: &mut Ask,
) -> Result<(), Diagnostic> {
    let token = match key {
        Some(_) => None,
        None => token(shell, policy, token_file).await?,
    };
    if let Some(token) = token {
        let signatures = session.world.signatures.as_ref();
        let said = request::workload(ledger, signatures, &token, SystemClock.now());
        (ask.requester, ask.proof) = said.map_err(failure::of_engine)?;
        if let Requester::Workload(run) = &ask.requester {
            ask.run_id = run.run_id.clone().or(ask.run_id.take());
        }
        return Ok(());
    }
    match identity::find(shell, policy, key)? {
        Some(identity) => sign(session, ledger, policy, &identity, ask),
        None => Ok(()),
    }
}

/// The person signs what is asked for.
fn sign(
    session: &Session,
    ledger: &Ledger,
    policy: &Policy,
    identity: &Identity,
    ask: &mut Ask,
) -> Result<(), Diagnostic> {
    let statement = RequestStatement {
        v: STATEMENT_VERSION,
        app: policy.app.clone(),
        kind: ask.kind,
        release: ask.release.components().map(|(name, digest)| (name.clone(), digest)).collect(),
        to: ask.to.clone(),
        reason: ask.reason.clone(),
        requester: identity.person.clone(),
        issued_at: SystemClock.now(),
        nonce: nonce(),
        expedited: ask.expedited,
    };
    let bytes = serde_json::to_vec(&statement).unwrap_or_default();
    let signature = identity.sign(REQUEST_NAMESPACE, &bytes)?;
    let signed = Signed { statement: bytes, signature };
    let signatures = session.world.signatures.as_ref();
    ask.requester = request::requester(ledger, signatures, &signed, ask).map_err(failure::of_engine)?;
    ask.proof = signed.objects();
    Ok(())
}

/// The token that was given, or that the runner gives. Where the policy believes no provider, none is asked for.
async fn token(shell: &Shell, policy: &Policy, file: Option<&Path>) -> Result<Option<Vec<u8>>, Diagnostic> {
    if let Some(file) = file {
        let path = shell.resolve(file);
        let read = tls_files::read(&path, MAX_TOKEN).map_err(|why| refused(&format!("{}: {why}", path.display())))?;
        return Ok(Some(read.trim_ascii().to_vec()));
    }
    if let Some(token) = shell.variable(TOKEN).filter(|token| !token.trim().is_empty()) {
        return Ok(Some(token.trim().as_bytes().to_vec()));
    }
    let Some(provider) = policy.identities.first() else { return Ok(None) };
    let [Some(url), Some(bearer)] = ACTIONS.map(|name| shell.variable(name)) else { return Ok(None) };
    let fetched = sealift_probes::identity_token(&url, &bearer, &provider.audience).await;
    fetched.map(Some).map_err(|why| refused(&format!("no token could be fetched: {why}")))
}

fn refused(why: &str) -> Diagnostic {
    failure::of_engine(sealift_engine::error::EngineError::Token(why.to_owned()))
}
