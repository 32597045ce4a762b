//! Token scopes: `repository:<name>:<action>,<action>` (distribution token scope documentation).

use std::collections::{BTreeMap, BTreeSet};

use sealift_domain::reference::Repository;

use crate::endpoint::api_name;

/// A set of rights, one entry per resource. The first resource named is the one that a request is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Scopes {
    primary: String,
    rights: BTreeMap<String, BTreeSet<String>>,
}

impl Scopes {
    fn of(repository: &Repository, actions: &[&str]) -> Self {
        let primary = format!("repository:{}", api_name(repository));
        let actions = actions.iter().map(|action| (*action).to_owned()).collect();
        Self { rights: BTreeMap::from([(primary.clone(), actions)]), primary }
    }

    /// Reading one repository.
    pub(crate) fn pull(repository: &Repository) -> Self {
        Self::of(repository, &["pull"])
    }

    /// Reading and writing one repository.
    pub(crate) fn push(repository: &Repository) -> Self {
        Self::of(repository, &["pull", "push"])
    }

    /// Removing from one repository.
    pub(crate) fn delete(repository: &Repository) -> Self {
        Self::of(repository, &["delete", "pull", "push"])
    }

    /// These rights, and reading `other`.
    pub(crate) fn and_pull(mut self, other: &Repository) -> Self {
        self.add(&format!("repository:{}:pull", api_name(other)));
        self
    }

    /// These rights and the ones of a `scope` text. Parts that are not scopes are left out.
    pub(crate) fn add(&mut self, scope: &str) {
        for part in scope.split(' ') {
            let Some((resource, actions)) = part.rsplit_once(':') else { continue };
            if resource.contains(':') {
                let actions = actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned);
                self.rights.entry(resource.to_owned()).or_default().extend(actions);
            }
        }
    }

    /// The rights on the first resource alone, for token servers that refuse several.
    pub(crate) fn primary_only(&self) -> Option<Self> {
        let rights = BTreeMap::from([(self.primary.clone(), self.rights.get(&self.primary)?.clone())]);
        (self.rights.len() > 1).then(|| Self { primary: self.primary.clone(), rights })
    }

    /// The scope texts, one per resource.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |(resource, actions): (&String, &BTreeSet<String>)| {
            format!("{resource}:{}", actions.iter().map(String::as_str).collect::<Vec<_>>().join(","))
        };
        self.rights.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_add_up_per_repository() {
        let app: Repository = "r.example:5000/team/app".parse().unwrap();
        let base: Repository = "r.example:5000/base".parse().unwrap();
        let mut scopes = Scopes::push(&app).and_pull(&base);
        assert_eq!(scopes.texts(), ["repository:base:pull", "repository:team/app:pull,push"]);
        assert_eq!(scopes.primary_only().unwrap().texts(), ["repository:team/app:pull,push"]);
        assert_eq!(Scopes::pull(&app).primary_only(), None);
        scopes.add("repository:base:delete nonsense registry:catalog:* x:y");
        let all = ["registry:catalog:*", "repository:base:delete,pull", "repository:team/app:pull,push"];
        assert_eq!(scopes.texts(), all);
    }
}
