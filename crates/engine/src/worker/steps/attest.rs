//! What a promotion attests of its images, and that nothing enters an environment that attests without it.

use std::collections::BTreeMap;

use bytes::Bytes;
use sealift_domain::{
    attestation::{Attestation, Expected, Level, PREDICATE_TYPE},
    digest::Digest,
    name::ComponentName,
    policy::AttestRule,
    promotion::{Attachment, Done, Kind, Step},
    reference::Pinned,
};

use super::{Context, Outcome, StepError};
use crate::{
    attest::{self, Found, Looked, NotAttested},
    code,
    error::EngineError,
    places,
    ports::{
        attest::{BUNDLE, PREDICATE_ANNOTATION, Signed},
        registry::{Detached, NewReferrer},
    },
    progress::Progress,
    worker::Worker,
};

impl Worker<'_> {
    pub(super) async fn admit(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let (attestations, evidence) = self.attest_all(context, Level::Admitted).await?;
        let found = format!("{} attested", Level::Admitted.name(&context.promotion.to));
        Ok(Outcome { done: Done::Admit { attestations }, evidence, found, pulled: None })
    }

    pub(super) async fn attest_verified(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let (attestations, evidence) = self.attest_all(context, Level::Verified).await?;
        let found = format!("{} attested", Level::Verified.name(&context.promotion.to));
        Ok(Outcome { done: Done::AttestVerified { attestations }, evidence, found, pulled: None })
    }

    /// Attests every image, and returns the envelopes too. What an earlier run has attached already is taken over.
    async fn attest_all(
        &self,
        context: &Context<'_>,
        level: Level,
    ) -> Result<(BTreeMap<ComponentName, Attachment>, Vec<Vec<u8>>), StepError> {
        let rule = rule(context)?;
        let targets = places::targets(context.ledger, &context.promotion.release, &context.promotion.to)?;
        let (mut attestations, mut envelopes) = (BTreeMap::new(), Vec::new());
        for (component, image) in &targets {
            let attachment = match self.attached(context, rule, image, level).await? {
                (Some(found), _) => {
                    if rule.legacy_att {
                        self.world.registry.add_envelope(image, &found.envelope, PREDICATE_TYPE).await?;
                    }
                    found
                }
                (None, looked) => {
                    self.warn_of_hiding(context, image, &looked).await?;
                    self.attach(context, rule, (component, image), level).await?
                }
            };
            let (statement, envelope) = (Digest::of(&attachment.statement), Digest::of(&attachment.envelope));
            let manifest = attachment.manifest;
            attestations.insert(component.clone(), Attachment { statement, envelope, manifest });
            envelopes.push(attachment.envelope);
        }
        Ok((attestations, envelopes))
    }

    /// This promotion's attestation of an image, if it is there.
    async fn attached(
        &self,
        context: &Context<'_>,
        rule: &AttestRule,
        image: &Pinned,
        level: Level,
    ) -> Result<(Option<Found>, Looked), StepError> {
        let mut looked =
            attest::look(self.world.registry.as_ref(), self.world.attestor.as_ref(), image, &rule.keys).await?;
        let wanted = expected(context, image, level);
        let at = looked.found.iter().position(|found| found.attestation.check(&wanted).is_ok());
        Ok((at.map(|at| looked.found.swap_remove(at)), looked))
    }

    /// Signs, attaches and reads back.
    async fn attach(
        &self,
        context: &Context<'_>,
        rule: &AttestRule,
        named: (&ComponentName, &Pinned),
        level: Level,
    ) -> Result<Found, StepError> {
        let image = named.1;
        let key = self.world.attestor.key_among(&rule.keys).map_err(not_attested)?;
        let checkpoint = self.book.log().checkpoint().await.map_err(EngineError::from)?;
        let app = &places::policy(context.ledger)?.app;
        let attestation = Attestation::of(context.promotion, app, named, level, checkpoint);
        let attestation = attestation.map_err(|why| not_attested(why.to_string()))?;
        let statement = attestation.to_bytes().map_err(|why| not_attested(why.to_string()))?;
        let Signed { envelope, bundle } = self.world.attestor.sign(&key, &statement).map_err(not_attested)?;
        let artifact = NewReferrer {
            artifact_type: BUNDLE.to_owned(),
            media_type: BUNDLE.to_owned(),
            bytes: Bytes::from(bundle),
            annotations: BTreeMap::from([
                (PREDICATE_ANNOTATION.to_owned(), PREDICATE_TYPE.to_owned()),
                ("dev.sigstore.bundle.content".to_owned(), "dsse-envelope".to_owned()),
                ("org.opencontainers.image.created".to_owned(), attestation.verified_at.to_string()),
            ]),
        };
        let registry = self.world.registry.as_ref();
        registry.attach(image, &artifact).await?;
        if rule.legacy_att {
            registry.add_envelope(image, &envelope, PREDICATE_TYPE).await?;
        }
        match self.attached(context, rule, image, level).await? {
            (Some(found), _) => Ok(found),
            (None, _) => Err(not_attested(format!("what was attached to {image} is not found there"))),
        }
    }

    async fn warn_of_hiding(&self, context: &Context<'_>, image: &Pinned, looked: &Looked) -> Result<(), StepError> {
        if attest::would_hide_signatures(self.world.registry.as_ref(), image, looked).await? {
            let text = format!(
                "{image} is signed as cosign 2 does it, and now gets its first bundle: cosign 3 will not look at those \
                 signatures any more. Sign it with `cosign sign --new-bundle-format` too where that matters"
            );
            self.observer.on(&Progress::Note { step: context.step, text });
        }
        Ok(())
    }

    /// Takes off what this promotion attested. What a registry does not let go is on record: the log says that it does not count.
    pub(super) async fn withdraw_admission(&self, context: &Context<'_>) -> Result<Outcome, StepError> {
        let targets = places::targets(context.ledger, &context.promotion.release, &context.promotion.to)?;
        let (mut removed, mut left) = (0, BTreeMap::new());
        for (component, image) in &targets {
            match self.withdraw(context, component, image).await {
                Ok(n) => removed += n,
                Err(error) => drop(left.insert(component.clone(), error.failure.message)),
            }
        }
        let found = match (removed, left.values().next()) {
            (0, None) => "nothing was attested".to_owned(),
            (n, None) => format!("{n} attestations removed"),
            (n, Some(why)) => {
                format!(
                    "{n} attestations removed, not those of {}: {why}; the log says that they do not count",
                    names(&left)
                )
            }
        };
        Ok(Outcome::new(Done::WithdrawAdmission { left }, found))
    }

    async fn withdraw(
        &self,
        context: &Context<'_>,
        component: &ComponentName,
        image: &Pinned,
    ) -> Result<usize, StepError> {
        let registry = self.world.registry.as_ref();
        // By now the policy may have other keys or none, and what is on record was attached all the same.
        let rule = places::environment(context.ledger, &context.promotion.to)?.attest.as_ref();
        let keys = rule.map(|rule| rule.keys.as_slice()).unwrap_or_default();
        let looked = attest::look(registry, self.world.attestor.as_ref(), image, keys).await?;
        let ours = looked.found.iter().filter(|found| found.attestation.details.promotion == context.promotion.id);
        let mut manifests: BTreeMap<Digest, Digest> =
            ours.map(|found| (found.manifest, Digest::of(&found.envelope))).collect();
        let recorded = context.promotion.attested.iter().flat_map(|attested| [&attested.admitted, &attested.verified]);
        let recorded = recorded.filter_map(|attachments| attachments.get(component));
        manifests.extend(recorded.map(|attachment| (attachment.manifest, attachment.envelope)));
        let mut removed = 0;
        for (manifest, envelope) in manifests {
            let detached = registry.detach(image, manifest).await?;
            removed += usize::from(matches!(detached, Detached::Removed | Detached::Unlisted));
            if rule.is_some_and(|rule| rule.legacy_att) {
                registry.drop_envelope(image, envelope).await?;
            }
        }
        Ok(removed)
    }

    /// Refuses a promotion into an environment that attests whose images are not attested as admitted: here, so that every driver
    /// refuses. A baseline comes by no promotion, and a rollback goes back to what is on record as known-good.
    pub(super) async fn admitted(&self, context: &Context<'_>) -> Result<(), StepError> {
        let promotion = context.promotion;
        let Some(rule) = &places::environment(context.ledger, &promotion.to)?.attest else { return Ok(()) };
        if promotion.kind == Kind::Rollback {
            return Ok(());
        }
        let refused = |why: String| StepError::new(code::NOT_ATTESTED, why);
        if promotion.attested.is_none() {
            return Err(refused(format!(
                "promotion {} was admitted before {} attested what enters it; ask for it again",
                promotion.id, promotion.to
            )));
        }
        attest::not_held(context.ledger, &promotion.release, &promotion.to, promotion.id).map_err(refused)?;
        let (registry, attestor) = (self.world.registry.as_ref(), self.world.attestor.as_ref());
        for image in places::targets(context.ledger, &promotion.release, &promotion.to)?.values() {
            let expected = expected(context, image, Level::Admitted);
            let found = match attest::attested(registry, attestor, &rule.keys, &expected).await {
                Ok(found) => found,
                Err(NotAttested::Registry(error)) => return Err(error.into()),
                Err(other) => return Err(refused(other.to_string())),
            };
            // `counts` would refuse the promotion that is under way where it was withdrawn; it ends before the next step then.
            let statement = Digest::of(&found.statement);
            let known = promotion.attested.iter().flat_map(|attested| attested.admitted.values());
            if !known.into_iter().any(|attachment| attachment.statement == statement) {
                return Err(refused(format!(
                    "{image}: what is attested is not what promotion {} attested",
                    promotion.id
                )));
            }
        }
        Ok(())
    }

    /// Refuses to begin what will have to be signed where no key for it is at hand.
    pub(in crate::worker) fn key_at_hand(&self, context: &Context<'_>) -> Result<(), EngineError> {
        let signs = matches!(context.step, Step::Copy | Step::Admit | Step::AttestVerified);
        let environment = places::environment(context.ledger, &context.promotion.to)?;
        match &environment.attest {
            Some(rule) if signs && context.promotion.attested.is_some() => {
                crate::worker::key_for(self.world, &context.promotion.to, rule).map(drop)
            }
            _ => Ok(()),
        }
    }
}

/// How the environment attests now.
fn rule<'a>(context: &Context<'a>) -> Result<&'a AttestRule, StepError> {
    let rule = places::environment(context.ledger, &context.promotion.to)?.attest.as_ref();
    rule.ok_or_else(|| not_attested(format!("{} attests nothing any more", context.promotion.to)))
}

fn expected<'a>(context: &'a Context<'_>, image: &'a Pinned, level: Level) -> Expected<'a> {
    let promotion = context.promotion;
    let (policy, id) = (Some(promotion.policy), Some(promotion.id));
    Expected { image, environment: &promotion.to, level, policy, promotion: id }
}

fn not_attested(why: impl Into<String>) -> StepError {
    StepError::new(code::ATTESTING, why)
}

fn names(left: &BTreeMap<ComponentName, String>) -> String {
    left.keys().map(ComponentName::as_str).collect::<Vec<_>>().join(", ")
}
