//! The JSON Schema of the file, for editors. Types of the domain and of drivers bring their own.

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use sealift_domain::{
    check::Check,
    freeze::FreezeRule,
    gate::Gates,
    name::{AppName, ChannelName, EnvironmentName, PersonId, Role},
    notice::NoticeKind,
    policy::{ApprovalRule, Expedited, OverrideRule, RollbackRule},
    reference::Repository,
    signature::PublicKey,
};
use serde_json::{Map, Value, json};

use super::{deploy, environment};

/// The JSON Schema (draft 7, which editors know best) of what [`Config::parse`](super::Config::parse) accepts.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let properties = json!({
        "app": described(of::<AppName>(&mut generator), "The application: what is released as one."),
        "source": {"type": "string", "description": "Where the source is, a URL."},
        "people": {"type": "array", "items": person(&mut generator), "description": "The people who may sign."},
        "identities": {
            "type": "array",
            "items": identity(),
            "description": "Whom to believe which workload asks for a promotion.",
        },
        "environments": {
            "type": "object",
            "description": "The environments by name. Their order is told by `from`.",
            "minProperties": 1,
            "propertyNames": of::<EnvironmentName>(&mut generator),
            "additionalProperties": environment(&mut generator),
        },
        "notify": {"type": "array", "items": channel(&mut generator), "description": "Where notices go, and which."},
        "registries": registries(),
        "attest": private_key(),
        "store": store(&mut generator),
    });
    let mut schema = object(properties, &["app", "environments"]);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("sealift.yaml");
    schema["definitions"] = Value::Object(generator.take_definitions(true).into_iter().collect::<Map<_, _>>());
    schema
}

fn store(generator: &mut SchemaGenerator) -> Value {
    let branch = json!({
        "type": "string",
        "pattern": "^git\\+.+#.+",
        "description": "A branch of a git repository: `git+URL#BRANCH`.",
    });
    let long = json!({
        "url": branch,
        "key": {"type": "string", "description": "The public key of the log, for those who have no private one."},
        "large_objects": described(of::<Repository>(generator), "Where bodies lie that are too large for the branch."),
    });
    json!({
        "anyOf": [{"type": "string", "pattern": "^sqlite:.*\\S"}, branch, object(long, &["url"])],
        "description": "Where the log is; `sqlite:.sealift/log.sqlite` unless said otherwise.",
    })
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// A schema with a description. Draft 7 ignores what stands beside a `$ref`, so that is wrapped.
fn described(schema: Value, description: &str) -> Value {
    json!({"allOf": [schema], "description": description})
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": properties, "required": required})
}

fn command(description: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "description": description})
}

fn person(generator: &mut SchemaGenerator) -> Value {
    let key = json!({"type": "string", "pattern": "^\\s*(ssh-|ecdsa-|sk-)\\S+ +AAAA"});
    let properties = json!({
        "id": described(of::<PersonId>(generator), "The handle of the person within the log."),
        "github": {"type": "string", "description": "Account name on GitHub."},
        "email": {"type": "string", "description": "E-mail address."},
        "ssh": {
            "anyOf": [key, {"type": "array", "items": key, "minItems": 1}],
            "description": "OpenSSH public keys that the person signs with.",
        },
        "roles": {"type": "array", "items": of::<Role>(generator), "description": "What the person may do."},
    });
    object(properties, &["id", "ssh", "roles"])
}

fn attest(generator: &mut SchemaGenerator) -> Value {
    let key = of::<PublicKey>(generator);
    let properties = json!({
        "key": described(key.clone(), "The public key whose attestations count."),
        "keys": {"type": "array", "items": key, "minItems": 1, "description": "Several, while one is being replaced."},
        "legacy_att": {
            "type": "boolean",
            "description": "Whether the envelope is kept under the tag of cosign 2, too. Its policy controller wants that.",
        },
    });
    let mut schema = object(properties, &[]);
    schema["oneOf"] = json!([{"required": ["key"]}, {"required": ["keys"]}]);
    schema["description"] = json!("By which keys what enters is attested.");
    schema
}

fn writer() -> Value {
    let key = json!({"type": "string", "pattern": "^\\s*[^\\s+]+\\+[0-9a-fA-F]{8}\\+[A-Za-z0-9+/]{44}\\s*$"});
    json!({
        "anyOf": [key, {"type": "array", "items": key, "minItems": 1}],
        "description": "The public key of who writes facts about this environment into the log; several while one is replaced.",
    })
}

fn private_key() -> Value {
    let description = "The private key that promotions are attested with, a PEM file relative to this one; `$SEALIFT_PROMOTION_KEY` and \
         `promotion.key` beside the log are found without it.";
    object(json!({"private_key": {"type": "string", "minLength": 1, "description": description}}), &["private_key"])
}

fn identity() -> Value {
    let properties = json!({
        "issuer": {"type": "string", "pattern": "^https://\\S+$", "description": "What stands in the claim `iss` of its tokens."},
        "jwks": {"type": "string", "pattern": "\\S", "description": "Its public keys: a JSON Web Key Set, a file relative to this one."},
        "audience": {"type": "string", "minLength": 1, "description": "What must stand in the claim `aud`; `sealift` unless said otherwise."},
        "subjects": {
            "type": "array",
            "items": {"type": "string", "pattern": "^([^*]+|[^*]*[:/]\\*)$"},
            "minItems": 1,
            "description": "Which workloads may ask: the claim `sub`, in full or with `*` at the end, after a `:` or `/`.",
        },
    });
    object(properties, &["issuer", "jwks", "subjects"])
}

fn environment(generator: &mut SchemaGenerator) -> Value {
    let image = of::<Repository>(generator);
    let name = json!({"type": "string", "minLength": 1});
    let rule = of::<ApprovalRule>(generator);
    let properties = json!({
        "from": described(of::<EnvironmentName>(generator), "The environment that a release must have been verified in before."),
        "image": described(image.clone(), "Where the image is kept for this environment."),
        "components": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": of::<EnvironmentName>(generator),
            "additionalProperties": object(json!({"image": image}), &["image"]),
            "description": "Several images that are released as one, by name.",
        },
        "tags": {
            "type": "array",
            "items": {"anyOf": [name, object(json!({"immutable": name}), &["immutable"])]},
            "description": "The names that Sealift gives. Moving ones are written after verification, immutable ones before.",
        },
        "gates": described(of::<Gates>(generator), "The gates that are required beyond those that always are."),
        "approval": {
            "anyOf": [rule, {"const": environment::NO_APPROVAL}],
            "description": "Whose consent is needed. Required where a pipeline ends; `none` goes without.",
        },
        "expedited": described(
            of::<Expedited>(generator),
            "Whose consent is needed, and which gates may fail, where a promotion cannot wait.",
        ),
        "freeze_override": described(of::<OverrideRule>(generator), "Who can let one promotion through a freeze."),
        "freezes": {"type": "array", "items": of::<FreezeRule>(generator), "description": "When nothing may enter."},
        "migrate": described(
            object(json!({"run": command("Program and arguments.")}), &["run"]),
            "A command to run once for each promotion, from the candidate's image, with its variables, before the switch. It \
             is not run again by itself, and never for a rollback.",
        ),
        "deploy": driver(generator),
        "verify": {
            "type": "array",
            "items": of::<Check>(generator),
            "minItems": 1,
            "description": "What must hold after a deployment.",
        },
        "rollback": described(of::<RollbackRule>(generator), "How to go back."),
        "attest": attest(generator),
        "writer": writer(),
    });
    let mut schema = object(properties, &["verify"]);
    schema["oneOf"] = json!([{"required": ["image"]}, {"required": ["components"]}]);
    schema
}

fn registries() -> Value {
    let hosts = json!({"type": "array", "items": {"type": "string", "pattern": "^[^/@\\s]+$"}});
    let file = |description: &str| json!({"type": "string", "pattern": "\\S", "description": description});
    let mut schema = object(
        json!({
            "plain_http": described(hosts.clone(), "Hosts, with their port if it is a special one, that speak HTTP without TLS."),
            "ca_file": file("Certificate authorities to trust beside the system's, a PEM file relative to this one."),
            "client_cert": file("The certificate to show to registries that ask for one, a PEM file relative to this one."),
            "client_key": file("The private key of that certificate, a PEM file without a passphrase."),
            "mirrors": {
                "type": "object",
                "propertyNames": {"pattern": "^[^/@\\s]+$"},
                "additionalProperties": hosts,
                "description": "Other registries that have the same bytes, by host. They are asked first, and only for what has a digest.",
            },
        }),
        &[],
    );
    schema["description"] = json!("How registries are reached.");
    schema["dependencies"] = json!({"client_cert": ["client_key"], "client_key": ["client_cert"]});
    schema
}

fn driver(generator: &mut SchemaGenerator) -> Value {
    let drivers = deploy::schemas(generator).into_iter().map(|(name, schema)| (name.to_owned(), schema.to_value()));
    let mut schema = object(Value::Object(drivers.collect()), &[]);
    schema["minProperties"] = json!(1);
    schema["maxProperties"] = json!(1);
    schema["description"] = json!("How releases are made live: one driver with its settings.");
    schema
}

fn channel(generator: &mut SchemaGenerator) -> Value {
    let properties = json!({
        "name": described(of::<ChannelName>(generator), "What the channel is called; `webhook` unless said otherwise."),
        "webhook": {
            "type": "string",
            "pattern": "^(\\$[A-Za-z_][A-Za-z0-9_]*|https?://[^/?#\\s]\\S*)$",
            "description": "A URL that takes Standard Webhooks, or `$NAME` for the environment variable that holds it.",
        },
        "secret": {
            "type": "string",
            "pattern": "^\\$[A-Za-z_][A-Za-z0-9_]*$",
            "description": "`$NAME`: the environment variable with the secret that signs what is sent.",
        },
        "on": {"type": "array", "items": of::<NoticeKind>(generator), "minItems": 1, "description": "What is told."},
    });
    object(properties, &["webhook", "on"])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{
        super::{KEYS, attest, identities, notify, people, registries},
        *,
    };

    fn keys(schema: &Value) -> BTreeSet<&str> {
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn the_schema_has_the_keys_that_the_reader_knows_and_no_other() {
        let schema = schema();
        let properties = &schema["properties"];
        let place = &properties["environments"]["additionalProperties"];
        let parts = &place["properties"];
        for (schema, known) in [
            (&schema, KEYS),
            (&properties["people"]["items"], people::KEYS),
            (&properties["identities"]["items"], identities::KEYS),
            (&properties["notify"]["items"], notify::KEYS),
            (&properties["registries"], registries::KEYS),
            (place, environment::KEYS),
            (&parts["attest"], attest::KEYS),
            (&properties["attest"], attest::TOP_KEYS),
            (&parts["components"]["additionalProperties"], environment::COMPONENT_KEYS),
            (&parts["migrate"]["allOf"][0], environment::MIGRATE_KEYS),
            (&parts["tags"]["items"]["anyOf"][1], environment::TAG_KEYS),
            (&parts["deploy"], deploy::NAMES),
        ] {
            assert_eq!(keys(schema), known.iter().copied().collect(), "{schema}");
            assert_eq!(schema["additionalProperties"], false, "{schema}");
        }
    }

    #[test]
    fn the_schema_names_every_gate_that_can_be_required_and_every_kind_of_check() {
        let schema = schema();
        let gates = sealift_domain::gate::ALL.iter().filter(|gate| gate.require.is_some()).map(|gate| gate.name);
        assert_eq!(keys(&schema["definitions"]["Gates"]), gates.collect());
        let checks = schema["definitions"]["Check"]["anyOf"].as_array().unwrap();
        let kinds = checks.iter().map(|check| {
            let name = check["allOf"][0]["$ref"].as_str().unwrap().trim_start_matches("#/definitions/");
            schema["definitions"][name]["required"][0].as_str().unwrap()
        });
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            super::super::verify::KINDS.iter().map(|kind| kind.0).collect::<Vec<_>>()
        );
    }

    #[test]
    fn every_reference_within_the_schema_leads_somewhere() {
        fn check(value: &Value, root: &Value) {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                assert!(root.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
            }
            match value {
                Value::Object(map) => map.values().for_each(|value| check(value, root)),
                Value::Array(items) => items.iter().for_each(|value| check(value, root)),
                _ => {}
            }
        }
        let schema = schema();
        check(&schema, &schema);
    }
}
