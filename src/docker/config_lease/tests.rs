use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::error_code::ErrorCode;

const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

/// A docker directory and two jobs.
struct Home {
    root: tempfile::TempDir,
}

impl Home {
    fn new(config: Option<&str>) -> Self {
        let home = Self {
            root: tempfile::tempdir().expect("directory"),
        };
        for dir in ["docker", "a", "b"] {
            std::fs::create_dir(home.root.path().join(dir)).expect("directory");
        }
        if let Some(config) = config {
            std::fs::write(home.path("docker/config.json"), config).expect("config");
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn docker(&self) -> DockerConfig {
        DockerConfig {
            dir: self.path("docker"),
        }
    }

    fn config(&self) -> Option<String> {
        std::fs::read_to_string(self.path("docker/config.json")).ok()
    }

    fn register(&self, job: &str, hosts: &[&str]) -> Vec<Setting> {
        let settings: Vec<Setting> = hosts.iter().map(|host| Setting::Login((*host).into())).collect();
        let registered = self.docker().acquire(&self.path(job), &settings);
        registered.expect("registered")
    }

    fn unregister(&self, job: &str) {
        self.docker().release(&self.path(job)).expect("unregistered");
    }

    fn helpers(&self) -> serde_json::Value {
        let config: serde_json::Value =
            serde_json::from_str(&self.config().expect("a config")).expect("JSON");
        config["credHelpers"].clone()
    }
}

#[test]
fn the_last_release_restores_the_config() {
    for before in [
        None,
        Some(""),
        Some("{}"),
        Some("{\r\n\t\"auths\" : { },\n\n\"credsStore\":\"pass\" }  \n"),
        Some("{\"credHelpers\": null}"),
        Some("{\"credHelpers\": {\"gcr.io\": \"gcloud\"}, \"x\": 1.50}"),
    ] {
        for (first, second) in [("a", "b"), ("b", "a")] {
            let home = Home::new(before);
            assert_eq!(home.register("a", &[HOST]), []);
            home.register("b", &[HOST, "public.ecr.aws"]);
            assert_eq!(home.helpers()["public.ecr.aws"], "remote-buildkit");
            home.unregister(first);
            assert_eq!(home.helpers()[HOST], "remote-buildkit");
            assert_eq!(home.docker().holder_of(HOST), Some(home.path(second)));
            home.unregister(second);
            assert_eq!(home.config().as_deref(), before);
            assert_eq!(home.docker().holder_of(HOST), None);
            let left = std::fs::read_dir(home.path("docker")).expect("list").count();
            assert_eq!(left, usize::from(before.is_some()));
        }
    }
}

#[test]
fn changes_of_others_are_kept() {
    let home = Home::new(Some("{\"auths\": {}}"));
    home.register("a", &[HOST]);
    let written = home
        .config()
        .expect("a config")
        .replace("\"auths\": {}", "\"auths\": {\"docker.io\": {\"auth\": \"x\"}}");
    std::fs::write(home.path("docker/config.json"), written).expect("write");
    home.register("b", &["public.ecr.aws"]);
    home.unregister("a");
    assert_eq!(
        home.helpers(),
        serde_json::json!({"public.ecr.aws": "remote-buildkit"})
    );
    home.unregister("b");
    let expected = "{\"auths\": {\"docker.io\": {\"auth\": \"x\"}}}";
    assert_eq!(home.config().as_deref(), Some(expected));
}

#[test]
fn a_removed_config_stays_removed() {
    let home = Home::new(Some("{}"));
    home.register("a", &[HOST]);
    std::fs::remove_file(home.path("docker/config.json")).expect("remove");
    home.unregister("a");
    assert_eq!(home.config(), None);
}

#[test]
fn a_job_that_was_killed_is_forgotten() {
    let home = Home::new(None);
    home.register("a", &[HOST]);
    std::fs::remove_dir(home.path("a")).expect("remove");
    home.register("b", &["public.ecr.aws"]);
    assert_eq!(
        home.helpers(),
        serde_json::json!({"public.ecr.aws": "remote-buildkit"})
    );
    home.unregister("b");
    assert_eq!(home.config(), None);
}

#[test]
fn an_existing_login_is_kept() {
    let before = format!("{{\"auths\": {{\"{HOST}\": {{\"auth\": \"x\"}}}}}}");
    let home = Home::new(Some(&before));
    assert_eq!(home.register("a", &[HOST]), [Setting::Login(HOST.into())]);
    assert_eq!(home.config().as_deref(), Some(&*before));
    assert!(!home.path("docker/remote-buildkit.json").exists());
    home.unregister("a");
    assert_eq!(home.config().as_deref(), Some(&*before));
}

#[test]
fn a_link_is_followed_and_the_mode_is_kept() {
    let home = Home::new(None);
    let real = home.path("real.json");
    std::fs::write(&real, "{}").expect("write");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).expect("mode");
    symlink("../real.json", home.path("docker/config.json")).expect("link");
    home.register("a", &[HOST]);
    assert!(std::fs::read_to_string(&real).expect("read").contains(HOST));
    let link = std::fs::symlink_metadata(home.path("docker/config.json")).expect("stat");
    assert!(link.is_symlink());
    let mode = std::fs::metadata(&real).expect("stat").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    home.unregister("a");
    assert_eq!(std::fs::read_to_string(&real).expect("read"), "{}");
}

#[test]
fn a_dangling_link_is_followed() {
    let home = Home::new(None);
    symlink("../real.json", home.path("docker/config.json")).expect("link");
    home.register("a", &[HOST]);
    assert!(home.path("real.json").exists());
    home.unregister("a");
    assert!(!home.path("real.json").exists());
    assert!(home.path("docker/config.json").is_symlink());
}

#[test]
fn a_created_directory_is_removed_again() {
    let home = Home::new(None);
    std::fs::remove_dir(home.path("docker")).expect("remove");
    home.docker().check().expect("can be made");
    home.register("a", &[HOST]);
    let mode = std::fs::metadata(home.path("docker"))
        .expect("stat")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    home.unregister("a");
    assert!(!home.path("docker").exists());
}

#[test]
fn an_invalid_config_is_not_changed() {
    for broken in ["{\"auths\": {}", "[1]", "{\"credHelpers\": 1}", "// {}"] {
        let home = Home::new(Some(broken));
        let error = home
            .docker()
            .acquire(&home.path("a"), &[Setting::Login(HOST.into())]);
        let problem: Problem = error.expect_err(broken).downcast().expect("a problem");
        assert_eq!(problem.code, ErrorCode::InvalidDockerConfig, "{broken}");
        assert_eq!(home.config().as_deref(), Some(broken));
        assert!(home.docker().check().is_err(), "{broken}");
        assert!(!home.path("docker/remote-buildkit.json").exists());
    }
}

/// Two jobs of one machine, each with its own buildx, beside the user's plugins.
#[test]
fn plugin_directories_of_two_jobs() {
    let before = "{ \"cliPluginsExtraDirs\" : [\"/opt/plugins\"]}";
    let home = Home::new(Some(before));
    let dir = |job: &str| home.path(job).to_string_lossy().into_owned();
    for job in ["a", "b"] {
        let settings = [Setting::PluginDir(dir(job))];
        home.docker()
            .acquire(&home.path(job), &settings)
            .expect("acquired");
    }
    let dirs = || {
        let config: serde_json::Value =
            serde_json::from_str(&home.config().expect("a config")).expect("JSON");
        config["cliPluginsExtraDirs"].clone()
    };
    assert_eq!(dirs(), serde_json::json!([dir("b"), dir("a"), "/opt/plugins"]));
    assert_eq!(
        home.docker().plugin_dirs(),
        BTreeSet::from(["a", "b"].map(|job| home.path(job)))
    );
    home.unregister("b");
    assert_eq!(dirs(), serde_json::json!([dir("a"), "/opt/plugins"]));
    home.unregister("a");
    assert_eq!(home.config().as_deref(), Some(before));
}
