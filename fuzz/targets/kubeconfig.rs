//! Parses a user's kubeconfig. The excerpt of it can be read as YAML again, and its own excerpt is identical. The
//! client accepts it or returns an error.
#![no_main]

use std::path::Path;

use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use libfuzzer_sys::fuzz_target;
use remote_buildkit::fuzz::{excerpt_of, kubeconfig_text};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime");
}

/// Returns the kubeconfig as JSON, to compare it regardless of order: some of its maps are unordered.
fn value(config: &Kubeconfig) -> Value {
    serde_json::to_value(config).expect("JSON")
}

/// Checks the excerpt of a context.
fn check_excerpt(yaml: &str, context: Option<&str>) {
    let path = Path::new("/home/me/config");
    let Ok(excerpt) = excerpt_of(Kubeconfig::from_yaml(yaml), path, context) else {
        return;
    };
    let written = kubeconfig_text(&excerpt).expect("JSON");
    let read = Kubeconfig::from_yaml(&written).expect("what is written can be read");
    let again = excerpt_of(Ok(read), path, None).expect("it has a context");
    assert_eq!(value(&again), value(&excerpt));
    if !names_files(&excerpt) {
        let options = KubeConfigOptions::default();
        let _ = RUNTIME.with(|runtime| runtime.block_on(Config::from_custom_kubeconfig(excerpt, &options)));
    }
}

/// Returns whether the kubeconfig contains paths of files. The client would read these files, which may be devices.
fn names_files(config: &Kubeconfig) -> bool {
    let mut clusters = config.clusters.iter().filter_map(|c| c.cluster.as_ref());
    clusters.any(|c| c.certificate_authority.is_some())
}

fuzz_target!(|yaml: &str| {
    check_excerpt(yaml, None);
    check_excerpt(yaml, Some("other"));
});
