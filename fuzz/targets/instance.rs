//! Adds and removes a builder next to the files of other builders. After the removal, buildx's file `current` and the
//! other instance file are as before. The input is the content of both, separated by a NUL byte.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use remote_buildkit::fuzz::{Builder, Node, Store};

static DIR: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("remote-buildkit-fuzz-{}", std::process::id())));

fn builder() -> Builder {
    Builder {
        name: "agent-5eed0001".into(),
        namespace: "default".into(),
        nodes: vec![Node {
            name: "agent".into(),
            platforms: vec![],
        }],
        timeout: Duration::from_secs(300),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(cut) = data.iter().position(|byte| *byte == 0) else {
        return;
    };
    let (current, foreign) = (&data[..cut], &data[cut + 1..]);
    let root = DIR.as_path();
    let (current_file, foreign_file) = (root.join("current"), root.join("instances/foreign"));
    let store = Store::open_at(root.to_owned()).expect("a private directory");
    std::fs::write(&current_file, current).expect("written");
    std::fs::write(&foreign_file, foreign).expect("written");

    let foreign_kubeconfig = store.kubeconfig_of("foreign");
    let is_object = foreign.trim_ascii_start().starts_with(b"{");
    assert!(foreign_kubeconfig.is_none() || !is_object || store.malformed().is_empty());
    let builder = builder();
    let kubeconfig = Path::new("/run/builder/kubeconfig");
    store.add(&builder, kubeconfig).expect("added");
    assert_eq!(store.kubeconfig_of(&builder.name).as_deref(), Some(kubeconfig));
    store.remove(&builder.name, kubeconfig).expect("removed");

    assert_eq!(store.kubeconfig_of(&builder.name), None);
    assert_eq!(std::fs::read(foreign_file).expect("still there"), foreign);
    // The earlier selection is restored. If it was a builder of this program, the selection before that one is.
    let after = std::fs::read(&current_file).ok();
    assert!(
        after.is_none() || foreign_kubeconfig.is_some() || after.as_deref() == Some(current),
        "{after:?} is selected"
    );
});
