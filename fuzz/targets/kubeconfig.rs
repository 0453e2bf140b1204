//! Kubeconfigs of the user's. The excerpt holds what the file said, reads as YAML as well, and is its own excerpt; and
//! the client makes a configuration of it or says why not.
#![no_main]

use std::path::Path;

use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use libfuzzer_sys::fuzz_target;
use remote_buildkit::kubeconfig::{excerpt_of, text};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().build().expect("a runtime");
}

/// Without an order: some of its maps have none.
fn value(config: &Kubeconfig) -> Value {
    serde_json::to_value(config).expect("JSON")
}

fn excerpt(yaml: &str, context: Option<&str>) {
    let path = Path::new("/home/me/config");
    let Ok(excerpt) = excerpt_of(Kubeconfig::from_yaml(yaml), path, context) else {
        return;
    };
    let written = text(&excerpt).expect("JSON");
    let read = Kubeconfig::from_yaml(&written).expect("what is written can be read");
    let again = excerpt_of(Ok(read), path, None).expect("it has a context");
    assert_eq!(value(&again), value(&excerpt));
    if !names_files(&excerpt) {
        let options = KubeConfigOptions::default();
        let _ = RUNTIME.with(|runtime| runtime.block_on(Config::from_custom_kubeconfig(excerpt, &options)));
    }
}

/// Such are read, and the name may be that of a device.
fn names_files(config: &Kubeconfig) -> bool {
    let mut clusters = config.clusters.iter().filter_map(|c| c.cluster.as_ref());
    clusters.any(|c| c.certificate_authority.is_some())
}

fuzz_target!(|yaml: &str| {
    excerpt(yaml, None);
    excerpt(yaml, Some("other"));
});
