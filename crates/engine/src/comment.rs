//! Consent by a comment on GitHub: `/sealift approve CODE`, and nothing else.
//!
//! The weakest proof that counts anywhere. Nothing in what GitHub's webhook `issue_comment` delivers is signed, so whoever can
//! start a run with the log's key could have made it up. What can be verified again is that the stored delivery says these words
//! by that account.

use jiff::Timestamp;
use sealift_domain::{
    approval::{ApprovalCode, ApprovalStatement, Decision as Verdict, NotCounted, Proof, STATEMENT_VERSION},
    digest::Digest,
    ledger::Ledger,
    name::PersonId,
    policy::Policy,
    promotion::{Promotion, Stage},
    quantity::Period,
};
use serde::Deserialize;

use crate::{
    book::{Book, Decision},
    decide::{self, HandedIn},
    error::EngineError,
    judge, places,
    request::person_of,
};

/// The longest delivery that is read, in bytes. GitHub's own limit is 25 MB, of which a comment and an issue take 65,536
/// characters each.
pub const MAX_DELIVERY: usize = 1 << 20;
/// What a comment says, before the code.
pub const COMMAND: &str = "/sealift approve ";
/// How far GitHub's clock may be ahead.
const GRACE: Period = Period::from_secs(60);

/// What a delivery says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// GitHub's number of the comment.
    pub id: u64,
    /// GitHub's number of the author's account.
    pub author: u64,
    /// The account's name by then.
    pub login: String,
    /// When it was written, by GitHub's clock.
    pub created_at: Timestamp,
    /// The repository, `owner/name`.
    pub repository: String,
    /// The address of the comment; GitHub always gives it.
    pub address: Option<String>,
    /// What it says.
    pub words: String,
}

/// The payload of `issue_comment`, as far as it is read (docs.github.com, "Webhook events and payloads").
#[derive(Deserialize)]
struct Delivery {
    action: String,
    comment: Body,
    repository: Repository,
    sender: Account,
}

#[derive(Deserialize)]
struct Body {
    id: u64,
    body: String,
    #[serde(default)]
    html_url: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    user: Account,
    #[serde(default)]
    performed_via_github_app: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Account {
    id: u64,
    login: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
    html_url: String,
}

/// Reads a delivery.
///
/// # Errors
/// Why it is no comment that could consent, in words.
pub fn read(delivery: &[u8]) -> Result<Comment, String> {
    if delivery.len() > MAX_DELIVERY {
        return Err(format!("what was delivered has more than {MAX_DELIVERY} bytes"));
    }
    let Delivery { action, comment, repository, sender } =
        serde_json::from_slice(delivery).map_err(|why| format!("it is no delivery of `issue_comment`: {why}"))?;
    if action != "created" {
        return Err(format!("it was {}, and only one that was just created counts", action.escape_debug()));
    }
    if comment.created_at != comment.updated_at {
        return Err("it was edited since it was written".to_owned());
    }
    if comment.user.kind != "User" || comment.performed_via_github_app.is_some() {
        return Err(format!("`{}` is no person's own account", comment.user.login.escape_debug()));
    }
    if sender.id != comment.user.id || sender.kind != "User" {
        return Err("it was delivered for another account than its author's".to_owned());
    }
    // At any other address, anybody could have taken the same names.
    if repository.html_url != format!("https://github.com/{}", repository.full_name) {
        return Err(format!("`{}` is not on github.com", repository.html_url.escape_debug()));
    }
    Ok(Comment {
        id: comment.id,
        author: comment.user.id,
        login: comment.user.login,
        created_at: comment.created_at,
        repository: repository.full_name,
        address: comment.html_url,
        words: comment.body,
    })
}

/// `owner/name`, where a URL is that of a repository on github.com.
fn on_github(source: &str) -> Option<&str> {
    const BEGINNINGS: [&str; 4] =
        ["https://github.com/", "ssh://git@github.com/", "git@github.com:", "git+https://github.com/"];
    let rest = BEGINNINGS.iter().find_map(|beginning| source.strip_prefix(beginning))?;
    let rest = rest.trim_end_matches('/');
    Some(rest.strip_suffix(".git").unwrap_or(rest))
}

/// The code that a line approves, if it does nothing else.
fn code_in(line: &str) -> Option<Result<ApprovalCode, String>> {
    let code = line.trim().strip_prefix(COMMAND)?;
    Some(code.parse().map_err(|why| format!("what it names is no code: {why}")))
}

impl Comment {
    /// The code that it approves. It is the whole comment: beside other words nobody can tell for certain what was meant, shown
    /// or quoted.
    ///
    /// # Errors
    /// What else it says, in words.
    pub fn code(&self) -> Result<ApprovalCode, String> {
        let words = self.words.trim();
        let alone = (!words.contains(['\r', '\n'])).then_some(words).and_then(code_in);
        alone.unwrap_or_else(|| {
            Err(format!("it is not `{COMMAND}CODE` and nothing else: write the command alone in a new comment"))
        })
    }

    /// Whether its address is in the repository that it was delivered for.
    fn is_where_it_says(&self) -> Result<(), String> {
        let beginning = format!("https://github.com/{}/", self.repository);
        match &self.address {
            Some(address) if address.starts_with(&beginning) => Ok(()),
            Some(address) => {
                let (address, beginning) = (address.escape_debug(), beginning.escape_debug());
                Err(format!("its address is `{address}`, and one in its repository begins with `{beginning}`"))
            }
            None => Err("it has no address".to_owned()),
        }
    }

    /// What it consents to, as the statement that the log keeps.
    fn statement(
        &self,
        ledger: &Ledger,
        promotion: &Promotion,
        who: &PersonId,
    ) -> Result<ApprovalStatement, EngineError> {
        let wrong =
            |why: &str| EngineError::WrongState { id: promotion.id, status: promotion.status(), why: why.to_owned() };
        let rule = judge::rule(ledger, promotion)?.ok_or_else(|| wrong("its environment needs no approval"))?;
        let evidence = promotion.evidence.ok_or_else(|| wrong("its gates were never judged"))?;
        let binding = judge::binding(ledger, promotion, evidence, judge::waived(&promotion.judged))?;
        Ok(ApprovalStatement {
            v: STATEMENT_VERSION,
            promotion: promotion.id,
            app: binding.app,
            release: binding.release,
            from: binding.from,
            to: binding.to,
            policy_digest: binding.policy_digest,
            evidence_digest: binding.evidence_digest,
            decision: Verdict::Approve,
            approver: who.clone(),
            issued_at: self.created_at,
            expires_at: rule.expires.after(self.created_at),
            nonce: self.nonce(),
            reason: None,
            expedited: binding.expedited,
            waived: binding.waived,
        })
    }

    fn nonce(&self) -> String {
        format!("github-comment-{}", self.id)
    }

    /// Whether it is in the repository that the policy names, if that is one on GitHub.
    fn is_at_home(&self, policy: &Policy) -> Result<(), String> {
        match policy.source.as_deref().and_then(on_github) {
            Some(home) if !home.eq_ignore_ascii_case(&self.repository) => {
                let found = self.repository.escape_debug();
                Err(format!(
                    "it is in another repository: expected {home}, the source of {}; found {found}",
                    policy.app
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether it says what an approval says, by the stored proof.
    pub(crate) fn says(
        &self,
        statement: &ApprovalStatement,
        proof: &Proof,
        policy: Option<&Policy>,
    ) -> Result<(), String> {
        let Proof::GithubComment { comment, author, delivered_at, .. } = proof else {
            return Err("its proof is of another kind".to_owned());
        };
        let policy = policy.ok_or("there was no policy")?;
        self.is_at_home(policy)?;
        // Earlier versions took it beside other words.
        let code = statement.binding().code();
        let said = self.words.lines().any(|line| code_in(line).is_some_and(|named| named.is_ok_and(|it| it == code)));
        let same = self.id == *comment
            && self.author == *author
            && self.created_at <= GRACE.after(*delivered_at)
            && self.created_at == statement.issued_at
            && self.nonce() == statement.nonce
            && statement.decision == Verdict::Approve
            && policy.people.contains_key(&statement.approver)
            && said;
        if same { Ok(()) } else { Err("it is not what was written".to_owned()) }
    }
}

/// Whether the account that wrote a stored comment is that person's by now.
pub(crate) fn is_by(ledger: &Ledger, delivery: &[u8], who: &PersonId) -> bool {
    read(delivery).is_ok_and(|comment| person_of(ledger, &comment.login).as_ref() == Some(who))
}

/// Takes in a comment as GitHub's webhook `issue_comment` delivered it, if it consents to a promotion that waits and counts.
/// The same one twice counts once.
///
/// # Errors
/// [`EngineError::Comment`] and [`EngineError::NotCounted`].
pub async fn hand_in(book: &Book, delivery: &[u8]) -> Result<HandedIn, EngineError> {
    let comment = read(delivery).map_err(EngineError::Comment)?;
    let code = comment.code().map_err(EngineError::Comment)?;
    comment.is_where_it_says().map_err(EngineError::Comment)?;
    book.commit(|ground| {
        let ledger = ground.ledger;
        comment.is_at_home(places::policy(ledger)?).map_err(EngineError::Comment)?;
        if let Some(statement) = counted(ledger, comment.id)? {
            return Ok(Decision::nothing(HandedIn { statement, again: true }));
        }
        let who = person_of(ledger, &comment.login).ok_or_else(|| {
            let login = comment.login.escape_debug();
            EngineError::Comment(format!("the account `{login}` is not that of exactly one person of the policy"))
        })?;
        let promotion = meant(ledger, &code)?;
        let statement = comment.statement(ledger, promotion, &who)?;
        let proof = Proof::GithubComment {
            comment: comment.id,
            author: comment.author,
            delivered_at: ground.now,
            delivery: Digest::of(delivery),
        };
        let draft = decide::draft(ground, (&statement, &proof), vec![delivery.to_vec()])?;
        Ok(Decision { drafts: vec![draft], value: HandedIn { statement, again: false } })
    })
    .await
}

/// The approval that a comment was taken as, if it was.
fn counted(ledger: &Ledger, id: u64) -> Result<Option<ApprovalStatement>, EngineError> {
    let mut given = ledger.promotions.values().flat_map(|promotion| &promotion.approvals);
    let same = |proof: &Proof| matches!(proof, Proof::GithubComment { comment, .. } if *comment == id);
    match given.find(|given| same(&given.proof)) {
        None => Ok(None),
        Some(given) => match given.revoked {
            None => Ok(Some(given.statement.clone())),
            Some(at) => {
                Err(EngineError::NotCounted { by: given.statement.approver.clone(), why: NotCounted::Revoked(at) })
            }
        },
    }
}

/// The promotion whose code it is.
fn meant<'a>(ledger: &'a Ledger, named: &ApprovalCode) -> Result<&'a Promotion, EngineError> {
    let pending = ledger.promotions.values().map(AsRef::as_ref);
    let pending = pending.filter(|promotion| matches!(promotion.stage, Stage::Judging | Stage::Waiting(_)));
    for promotion in pending {
        if code(ledger, promotion)?.is_some_and(|code| code == *named) {
            return Ok(promotion);
        }
    }
    let why = "its code is that of no promotion that waits: what was judged changed since, or it is over";
    Err(EngineError::Comment(why.to_owned()))
}

/// The code of what a promotion waits for; `None` where nothing was judged.
fn code(ledger: &Ledger, promotion: &Promotion) -> Result<Option<ApprovalCode>, EngineError> {
    let Some(evidence) = promotion.evidence else { return Ok(None) };
    Ok(Some(judge::binding(ledger, promotion, evidence, judge::waived(&promotion.judged))?.code()))
}

/// What somebody writes to approve a promotion that waits for that, where its rule accepts comments.
pub fn wanted(ledger: &Ledger, promotion: &Promotion) -> Result<Option<String>, EngineError> {
    use sealift_domain::approval::ProofKind;
    let accepts = judge::rule(ledger, promotion)?.is_some_and(|rule| rule.accepts.contains(&ProofKind::GithubComment));
    if !accepts || !decide::takes_decisions(promotion) {
        return Ok(None);
    }
    Ok(code(ledger, promotion)?.map(|code| format!("{COMMAND}{code}")))
}

#[cfg(test)]
mod tests;
