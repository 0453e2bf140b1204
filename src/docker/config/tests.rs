use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn login() -> Setting {
    Setting::Login("123456789012.dkr.ecr.eu-west-1.amazonaws.com".into())
}

fn plugins() -> Setting {
    Setting::PluginDir("/tmp/job \"1\"/buildx".into())
}

fn added(text: &str, setting: &Setting) -> String {
    with(text, setting).expect("a config").expect("a change")
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn other_entries_keep_their_bytes() {
    let host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    for (text, expected) in [
        (
            "",
            format!("{{\"credHelpers\": {{\"{host}\": \"remote-buildkit\"}}}}\n"),
        ),
        (
            " \n",
            format!("{{\"credHelpers\": {{\"{host}\": \"remote-buildkit\"}}}}\n"),
        ),
        (
            "{}",
            format!("{{\"credHelpers\": {{\"{host}\": \"remote-buildkit\"}}}}"),
        ),
        (
            "{\n\t\"auths\": {},\r\n  \"x\" :1e2 }\n\n",
            format!(
                "{{\"credHelpers\": {{\"{host}\": \"remote-buildkit\"}}, \n\t\"auths\": {{}},\r\n  \"x\" :1e2 }}\n\n"
            ),
        ),
        (
            "{\"credHelpers\":{ \"gcr.io\":\"gcloud\"}}",
            format!("{{\"credHelpers\":{{\"{host}\": \"remote-buildkit\",  \"gcr.io\":\"gcloud\"}}}}"),
        ),
        (
            "{\"CREDHELPERS\": { }}",
            format!("{{\"CREDHELPERS\": {{\"{host}\": \"remote-buildkit\" }}}}"),
        ),
        (
            "{\"credHelpers\": null}",
            format!("{{\"credHelpers\": {{\"{host}\": \"remote-buildkit\"}}}}"),
        ),
        (
            &format!("{{\"credHelpers\": {{\"{host}\": \"\"}}}}"),
            format!("{{\"credHelpers\": {{\"{host}\": \"remote-buildkit\"}}}}"),
        ),
    ] {
        let with_login = added(text, &login());
        assert_eq!(with_login, expected, "{text:?}");
        value(&with_login);
        assert_eq!(with(&with_login, &login()).expect("a config"), None);
    }
}

#[test]
fn an_invalid_config_is_an_error() {
    for (text, expected) in [
        ("{\"auths\": {}", "it is not valid JSON"),
        ("// mine\n{}", "it is not valid JSON"),
        ("{\"a\": 1,}", "it is not valid JSON"),
        ("[]", "it is not valid JSON"),
        ("\u{feff}{}", "it is not valid JSON"),
        ("{\"credHelpers\": [1]}", "its `credHelpers` is not an object"),
        ("{\"credHelpers\": \"x\"}", "its `credHelpers` is not an object"),
    ] {
        let error = with(text, &login()).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn an_existing_login_is_recognized() {
    let host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    for (text, own) in [
        ("", false),
        ("{}", false),
        (
            &format!(r#"{{"auths": {{"{host}": {{"auth": "QVdTOng="}}}}}}"#),
            true,
        ),
        (
            &format!(r#"{{"Auths": {{"https://{host}": {{"identitytoken": "x"}}}}}}"#),
            true,
        ),
        (&format!(r#"{{"auths": {{"{host}": {{}}}}}}"#), false),
        (
            &format!(r#"{{"auths": {{"{host}": {{}}}}, "credsStore": "pass"}}"#),
            true,
        ),
        (
            &format!(r#"{{"auths": {{"{host}": {{}}}}, "credsStore": ""}}"#),
            false,
        ),
        (
            r#"{"auths": {"docker.io": {"auth": "x"}}, "credsStore": "pass"}"#,
            false,
        ),
        (&format!(r#"{{"credHelpers": {{"{host}": "ecr-login"}}}}"#), true),
        (
            &format!(r#"{{"credHelpers": {{"{host}": "remote-buildkit"}}}}"#),
            false,
        ),
    ] {
        assert_eq!(has_own(text, &login()).expect("a config"), own, "{text}");
    }
    assert!(has_own(r#"{"aliases": {"builder": "mine"}}"#, &Setting::Build).expect("a config"));
    assert!(!has_own("{}", &Setting::Build).expect("a config"));
}

#[test]
fn an_object_that_existed_before_stays() {
    for text in [
        "{}",
        "{\"credHelpers\": {}}",
        "{\"credHelpers\": {\"a\": \"b\"}, \"x\": 1}",
    ] {
        let object_existed = has_object(text, &login());
        let restored = without(&added(text, &login()), &login(), object_existed).expect("a config");
        assert_eq!(restored, text);
    }
}

/// docker rewrites the whole file, with tabs and with sorted entries.
#[test]
fn a_config_that_docker_rewrote_loses_only_our_entries() {
    let text = added(
        &added("{\"HttpHeaders\": {\"a\": \"b\"}}", &login()),
        &Setting::Build,
    );
    let mut config = value(&text);
    config["auths"] = json!({"docker.io": {"auth": "x"}});
    config["credHelpers"]["gcr.io"] = "gcloud".into();
    let mut text = serde_json::to_string_pretty(&config)
        .expect("JSON")
        .replace("  ", "\t");
    for setting in [login(), Setting::Build] {
        text = without(&text, &setting, false).expect("a config");
    }
    let expected = json!({
        "HttpHeaders": {"a": "b"},
        "auths": {"docker.io": {"auth": "x"}},
        "credHelpers": {"gcr.io": "gcloud"},
    });
    assert_eq!(value(&text), expected);
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-z\"\\\\{}:, é]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z\"\\\\{}:, ]{0,6}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn config() -> impl Strategy<Value = String> {
    let outer = prop::sample::select(vec![
        "auths",
        "credHelpers",
        "aliases",
        "cliPluginsExtraDirs",
        "x",
        "\"",
        "{",
    ]);
    let entries = prop::collection::btree_map(outer, json_value(), 0..5);
    (entries, any::<bool>()).prop_map(|(mut entries, pretty)| {
        for name in ["credHelpers", "aliases"] {
            entries.entry(name).and_modify(|value| {
                if !value.is_object() && !value.is_null() {
                    *value = json!({});
                }
            });
        }
        entries.entry("cliPluginsExtraDirs").and_modify(|value| {
            *value = match value.as_array() {
                Some(items) => items.iter().filter(|item| item.is_string()).cloned().collect(),
                None => Value::Null,
            };
        });
        let object = Value::Object(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect());
        if pretty {
            serde_json::to_string_pretty(&object).expect("JSON")
        } else {
            object.to_string()
        }
    })
}

proptest! {
    #[test]
    fn only_our_entries_are_added_and_removed(text in config()) {
        let mut now = text.clone();
        for setting in [login(), Setting::Build, plugins()] {
            if let Some(changed) = with(&now, &setting).expect("a config") {
                now = changed;
            }
        }
        let (mut before, mut after) = (value(&text), value(&now));
        prop_assert_eq!(&after["credHelpers"]["123456789012.dkr.ecr.eu-west-1.amazonaws.com"], HELPER);
        prop_assert_eq!(&after["aliases"]["builder"], "buildx");
        prop_assert_eq!(&after["cliPluginsExtraDirs"][0], "/tmp/job \"1\"/buildx");
        for setting in [login(), Setting::Build, plugins()] {
            now = without(&now, &setting, has_object(&text, &setting)).expect("a config");
        }
        after = value(&now);
        // An object or a list that was null is now empty, so both are ignored.
        for config in [&mut before, &mut after] {
            for name in ["credHelpers", "aliases", "cliPluginsExtraDirs"] {
                let value = &config[name];
                let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty)
                    || value.as_array().is_some_and(Vec::is_empty);
                if value.is_null() || is_empty {
                    config.as_object_mut().expect("an object").remove(name);
                }
            }
        }
        prop_assert_eq!(before, after);
    }
}
