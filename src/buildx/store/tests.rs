use std::time::Duration;

use super::*;
use crate::buildx::Node;

const KUBECONFIG: &str = "/tmp/a b/kubeconfig";

/// The file `current` when buildx's default builder is selected.
const UNNAMED_SELECTION: &str = r#"{"Key":"k","Name":"","Global":false}"#;

/// A temporary directory that contains a buildx directory.
struct TestDir(PathBuf);

impl TestDir {
    fn new() -> Self {
        let name = format!("rbk-store-{}", files::random_hex().expect("random"));
        Self(files::private_dir(&std::env::temp_dir(), &name).expect("create"))
    }

    fn with_unnamed_selection() -> Self {
        let dir = Self::new();
        drop(dir.store());
        std::fs::write(dir.0.join("buildx/current"), UNNAMED_SELECTION).expect("write");
        dir
    }

    fn store(&self) -> Store {
        Store::open_at(self.0.join("buildx")).expect("store")
    }

    fn add(&self, name: &str) {
        let builder = Builder {
            name: name.into(),
            namespace: "default".into(),
            nodes: vec![Node {
                name: "agent".into(),
                platforms: vec![],
            }],
            timeout: Duration::from_secs(300),
        };
        self.store().add(&builder, Path::new(KUBECONFIG)).expect("add");
    }

    fn remove(&self, name: &str) {
        let result = self.store().remove(name, Path::new(KUBECONFIG));
        result.expect("remove");
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join("buildx").join(path)).ok()
    }

    fn selected(&self) -> Option<String> {
        let current: CurrentFile = serde_json::from_str(&self.read("current")?).expect("json");
        Some(current.name)
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("clean");
    }
}

#[test]
fn instance_file() {
    let dir = TestDir::new();
    dir.add("agent-1");
    insta::assert_snapshot!(dir.read("instances/agent-1").expect("file"), @r#"{"Name":"agent-1","Driver":"kubernetes","Nodes":[{"Name":"agent","Endpoint":"kubernetes:///agent-1?kubeconfig=%2Ftmp%2Fa+b%2Fkubeconfig","Platforms":null,"DriverOpts":{"namespace":"default","timeout":"300s"},"Flags":null,"Files":null}],"Dynamic":false,"RemoteBuildkit":{"Kubeconfig":"/tmp/a b/kubeconfig","Previous":null}}"#);
}

#[test]
fn removal_restores_the_previous_selection() {
    let dir = TestDir::with_unnamed_selection();
    dir.add("a");
    assert_eq!(dir.selected().as_deref(), Some("a"));
    dir.remove("a");
    assert_eq!(dir.read("current").as_deref(), Some(UNNAMED_SELECTION));
    assert_eq!(dir.read("instances/a"), None);
}

#[test]
fn two_jobs_in_one_home_end_in_either_order() {
    for (first, second) in [("a", "b"), ("b", "a")] {
        let dir = TestDir::with_unnamed_selection();
        dir.add("a");
        dir.add("b");
        dir.remove(first);
        assert!(dir.read(&format!("instances/{second}")).is_some());
        dir.remove(second);
        assert_eq!(
            dir.read("current").as_deref(),
            Some(UNNAMED_SELECTION),
            "{first} ended first"
        );
    }
}

#[test]
fn a_later_selection_is_kept() {
    let dir = TestDir::new();
    dir.add("a");
    let other = r#"{"Key":"k","Name":"other","Global":false}"#;
    std::fs::write(dir.0.join("buildx/current"), other).expect("write");
    dir.remove("a");
    assert_eq!(dir.read("current").as_deref(), Some(other));
}

/// Returns the builder of a machine, with another kubeconfig than the builders of jobs.
fn machine_builder(name: &str) -> (Builder, &'static Path) {
    let builder = Builder {
        name: name.into(),
        namespace: "default".into(),
        nodes: vec![],
        timeout: Duration::from_secs(300),
    };
    (builder, Path::new("/home/runner/kubeconfig"))
}

#[test]
fn jobs_restore_the_permanent_builder() {
    let dir = TestDir::with_unnamed_selection();
    let (mut builder, kubeconfig) = machine_builder("agent");
    builder.nodes.push(Node {
        name: "agent".into(),
        platforms: vec![],
    });
    assert!(dir.store().set_permanent(&builder, kubeconfig).expect("added"));
    assert!(!dir.store().set_permanent(&builder, kubeconfig).expect("same"));
    assert_eq!(dir.store().builders_of(kubeconfig), ["agent"]);

    dir.add("job-1");
    dir.add("job-2");
    dir.remove("job-1");
    dir.remove("job-2");
    assert_eq!(dir.selected().as_deref(), Some("agent"));
    assert!(!dir.store().set_permanent(&builder, kubeconfig).expect("same"));

    builder.timeout = Duration::from_secs(60);
    assert!(dir.store().set_permanent(&builder, kubeconfig).expect("changed"));
    dir.store().remove("agent", kubeconfig).expect("removed");
    assert_eq!(dir.read("current").as_deref(), Some(UNNAMED_SELECTION));
    dir.store().remove_unused().expect("removed");
    assert!(!dir.0.join("buildx").exists());
}

#[test]
fn a_permanent_builder_does_not_replace_another_builder() {
    let dir = TestDir::new();
    dir.add("agent");
    let (builder, kubeconfig) = machine_builder("agent");
    let error = dir
        .store()
        .set_permanent(&builder, kubeconfig)
        .expect_err("there is one");
    let text = error.to_string().replace(&*dir.0.to_string_lossy(), "~/.docker");
    insta::assert_snapshot!(text);
    dir.store().remove_unused().expect("nothing to do");
    assert!(dir.read("instances/agent").is_some());
}

#[test]
fn removing_twice_is_not_an_error() {
    let dir = TestDir::new();
    dir.add("a");
    dir.remove("a");
    dir.remove("a");
    assert_eq!(dir.selected(), None);
}

#[test]
fn a_builder_that_is_not_ours_is_kept() {
    let dir = TestDir::new();
    dir.add("a");
    // As created by `docker buildx create --name a`.
    let other =
        r#"{"Name":"a","Driver":"remote","Nodes":[{"Name":"a0","Endpoint":"tcp://x:1","DriverOpts":null}]}"#;
    let path = dir.0.join("buildx/instances/a");
    std::fs::write(&path, other).expect("write");
    dir.remove("a");
    assert_eq!(dir.read("instances/a").as_deref(), Some(other));
    let builder = Builder {
        name: "a".into(),
        namespace: "default".into(),
        nodes: vec![],
        timeout: Duration::from_secs(1),
    };
    let result = dir.store().add(&builder, Path::new(KUBECONFIG));
    result.expect_err("there is one");
    assert_eq!(dir.read("instances/a").as_deref(), Some(other));
}

/// buildx rewrites a builder's file when it changes it, and drops unknown fields.
#[test]
fn a_builder_that_buildx_rewrote_is_still_ours() {
    let dir = TestDir::new();
    dir.add("a");
    let text = dir.read("instances/a").expect("file");
    let mut instance: serde_json::Value = serde_json::from_str(&text).expect("json");
    instance
        .as_object_mut()
        .expect("a builder")
        .remove("RemoteBuildkit");
    std::fs::write(dir.0.join("buildx/instances/a"), instance.to_string()).expect("write");
    dir.remove("a");
    assert_eq!(dir.read("instances/a"), None);
}

#[test]
fn malformed_files_are_found() {
    let dir = TestDir::new();
    dir.add("a");
    assert_eq!(dir.store().malformed(), Vec::<PathBuf>::new());
    let path = dir.0.join("buildx/instances/b");
    for text in ["", "{", "[]", "Name: b"] {
        std::fs::write(&path, text).expect("write");
        assert_eq!(dir.store().malformed(), std::slice::from_ref(&path), "{text:?}");
    }
}
