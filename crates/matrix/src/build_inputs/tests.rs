use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::repo_paths::{ReadError, RepoPaths};
use crate::target::{Target, Targets};

/// A repository in memory: files with their texts; the text of a symbolic link is its target after an arrow.
struct TestRepository {
    texts: BTreeMap<String, String>,
    tree: FileTree,
    reads: RefCell<Vec<String>>,
}

impl TestRepository {
    fn new(files: &[(&str, &str)]) -> Self {
        let link = |text: &str| text.strip_prefix("-> ").map(str::to_owned);
        let links = files
            .iter()
            .filter_map(|(path, text)| Some(((*path).to_owned(), link(text)?)));
        let paths = files.iter().map(|(path, _)| (*path).to_owned());
        let modules = BTreeSet::from(["modules/other".to_owned()]);
        Self {
            tree: FileTree::new(paths.collect(), links.collect(), modules),
            texts: files
                .iter()
                .map(|(p, t)| ((*p).to_owned(), (*t).to_owned()))
                .collect(),
            reads: RefCell::default(),
        }
    }

    fn collect(&self, targets: &[(&str, Target)]) -> BTreeMap<String, BuildInputs> {
        let targets = Targets {
            all: targets
                .iter()
                .map(|(name, target)| ((*name).to_owned(), target.clone()))
                .collect(),
            selected: BTreeSet::new(),
        };
        let repository = RepositoryFiles {
            paths: RepoPaths {
                root: "/srv/shop",
                workdir: "",
            },
            tree: &self.tree,
            read: &|path| {
                self.reads.borrow_mut().push(path.to_owned());
                match self.texts.get(path).map(String::as_str) {
                    Some("secret") => Err(ReadError {
                        path: path.to_owned(),
                        cause: "Permission denied".into(),
                    }),
                    text => Ok(text.map(str::to_owned)),
                }
            },
        };
        collect(&targets, repository)
    }

    fn inputs(&self, target: Target) -> BuildInputs {
        self.collect(&[("x", target)]).remove("x").expect("x")
    }
}

fn target(context: &str, contexts: &[(&str, &str)]) -> Target {
    Target {
        context: context.into(),
        dockerfile: "Dockerfile".into(),
        contexts: contexts
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        ..Target::default()
    }
}

fn inline(text: &str, contexts: &[(&str, &str)]) -> Target {
    Target {
        inline: Some(text.into()),
        ..target(".", contexts)
    }
}

fn changes(paths: &[&str]) -> Vec<Change> {
    let change = |path: &&str| match path.strip_suffix('@') {
        Some(path) => Change {
            path: path.into(),
            kind: ChangeKind::Submodule,
        },
        None => Change {
            path: (*path).into(),
            kind: ChangeKind::File,
        },
    };
    let mut changes: Vec<Change> = paths.iter().map(change).collect();
    changes.sort();
    changes
}

/// Returns the paths that modify an input, each tested alone.
fn changing<'a>(inputs: &BuildInputs, paths: &[&'a str]) -> Vec<&'a str> {
    let modifies = |path: &&&str| inputs.changed_inputs(&changes(&[path])).is_some();
    paths.iter().filter(modifies).copied().collect()
}

#[test]
fn the_inputs_of_a_target_are_the_paths_that_its_dockerfile_reads() {
    let repository = TestRepository::new(&[
        (
            "api/Dockerfile",
            "FROM scratch\nCOPY src/ go.mod /\nCOPY docs /\n",
        ),
        ("api/.dockerignore", "**/*.md\n!src/keep.md"),
        ("api/src/main.go", ""),
        ("api/docs/index.html", ""),
        ("api/go.mod", ""),
        ("web/x", ""),
    ]);
    let inputs = repository.inputs(target("api", &[]));
    assert_eq!(inputs.uncertain_because, None);
    let all = [
        "api/Dockerfile",
        "api/dockerfile",
        "api/Dockerfile.dockerignore",
        "api/Dockerfile.rego",
        "api/.dockerignore",
        "api/src/new/deep.go",
        "api/src/keep.md",
        "api/src/other.md",
        "api/docs/a.md",
        "api/go.mod",
        "api/go.sum",
        "api/README",
        "api",
        "web/x",
        "api-2/src/main.go",
    ];
    assert_eq!(
        changing(&inputs, &all),
        [
            "api/Dockerfile",
            "api/dockerfile",
            "api/Dockerfile.dockerignore",
            "api/Dockerfile.rego",
            "api/.dockerignore",
            "api/src/new/deep.go",
            "api/src/keep.md",
            "api/go.mod",
            "api",
        ]
    );
    let changed = inputs.changed_inputs(&changes(&["api/go.mod", "api/src/a", "api/src/b", "web/x"]));
    assert_eq!(
        changed,
        Some(ChangedInputs {
            path: "api/go.mod".into(),
            role: None,
            more: 2
        })
    );
    assert_eq!(
        inputs.files(&repository.tree),
        BTreeSet::from([
            "api/.dockerignore",
            "api/Dockerfile",
            "api/docs/index.html",
            "api/go.mod",
            "api/src/main.go"
        ])
    );
}

#[test]
fn a_dockerfile_in_another_directory_has_its_own_ignore_file() {
    let repository = TestRepository::new(&[
        ("docker/api.Dockerfile", "FROM scratch\nCOPY . /\n"),
        ("docker/api.Dockerfile.dockerignore", "web"),
        (".dockerignore", "api"),
        ("api/main.go", ""),
    ]);
    let inputs = repository.inputs(Target {
        dockerfile: "docker/api.Dockerfile".into(),
        ..target(".", &[])
    });
    // The other ignore file is copied, but does not apply.
    assert_eq!(
        changing(
            &inputs,
            &[
                "api/main.go",
                "web/x",
                ".dockerignore",
                "docker/api.Dockerfile.dockerignore"
            ]
        ),
        [
            "api/main.go",
            ".dockerignore",
            "docker/api.Dockerfile.dockerignore"
        ]
    );
    let upwards = repository.inputs(Target {
        dockerfile: "../docker/api.Dockerfile".into(),
        ..target("./api", &[])
    });
    assert_eq!(
        changing(&upwards, &["api/x", "docker/api.Dockerfile", "x"]),
        ["api/x", "docker/api.Dockerfile"]
    );
}

#[test]
fn named_contexts_are_inputs_if_a_stage_uses_them() {
    let dockerfile =
        "FROM scratch\nCOPY --from=lib /src /\nFROM scratch\nCOPY --from=tools . /\nCOPY --from=0 /x /\n";
    let repository = TestRepository::new(&[
        ("Dockerfile", dockerfile),
        ("lib/src/a", ""),
        ("lib/.dockerignore", "src/*.md"),
        ("tools/x", ""),
        ("unused/x", ""),
        ("out/index.json", ""),
    ]);
    let contexts = [
        ("lib", "./lib/"),
        ("tools", "tools"),
        ("unused", "unused"),
        ("img", "docker-image://alpine"),
    ];
    let inputs = repository.inputs(target(".", &contexts));
    assert_eq!(
        changing(
            &inputs,
            &[
                "lib/src/a",
                "lib/src/a.md",
                "lib/b",
                "lib/.dockerignore",
                "tools/y",
                "unused/x"
            ]
        ),
        ["lib/src/a", "lib/.dockerignore", "tools/y"]
    );
    assert_eq!(inputs.uncertain_because, None);
    let layout = repository.inputs(inline("FROM base\n", &[("base", "oci-layout://out:v1")]));
    assert_eq!(changing(&layout, &["out/blobs/x", "lib/src/a"]), ["out/blobs/x"]);
    let image = repository.inputs(inline("FROM base\n", &[("base", "docker-image://alpine")]));
    assert_eq!((image.uncertain_because, image.contexts.len()), (None, 0));
}

#[test]
fn onbuild_instructions_of_linked_targets_read_the_context() {
    let repository = TestRepository::new(&[
        ("app/x", ""),
        ("base/Dockerfile", "FROM scratch\nONBUILD COPY . /\n"),
    ]);
    let from = |links: &[(&str, &str)]| Target {
        context: "app".into(),
        ..inline("FROM base\n", links)
    };
    let inputs = repository.collect(&[
        ("app", from(&[("base", "target:base"), ("other", "target:plain")])),
        ("base", target("base", &[])),
        ("plain", inline("FROM scratch\n", &[])),
        ("quiet", from(&[("base", "target:plain")])),
        ("lost", from(&[("base", "target:nowhere")])),
    ]);
    assert_eq!(inputs["app"].linked, BTreeSet::from(["base".to_owned()]));
    assert_eq!(changing(&inputs["app"], &["app/x", "x"]), ["app/x"]);
    assert_eq!(inputs["quiet"].linked, BTreeSet::from(["plain".to_owned()]));
    assert_eq!(changing(&inputs["quiet"], &["app/x"]), [""; 0]);
    assert!(inputs["lost"].uncertain_because.is_some());
}

#[test]
fn uncertain_inputs_have_a_reason() {
    let repository = TestRepository::new(&[
        ("Dockerfile", "FROM scratch\nCOPY target/app.jar /\n"),
        ("broken/Dockerfile", "FROM scratch\n\nCOPY --from x\n"),
        ("secret/Dockerfile", "secret"),
        ("escape/Dockerfile", "-> ../../Dockerfile"),
        ("ignored/Dockerfile", "FROM scratch\nCOPY . .\n"),
        ("ignored/.dockerignore", "secret"),
    ]);
    let lib = [("lib", "https://example.com/lib.git")];
    let at = |context: &str| target(context, &[]);
    for (target, reason) in [
        (
            at("https://github.com/acme/shop.git"),
            "its context https://github.com/acme/shop.git is outside",
        ),
        (at("../other"), "its context ../other is outside the repository"),
        (
            Target {
                dockerfile: "../x/Dockerfile".into(),
                ..at(".")
            },
            "its Dockerfile ../x/Dockerfile is outside the repository",
        ),
        (
            at("nowhere"),
            "its Dockerfile nowhere/Dockerfile is not in the repository",
        ),
        (at("secret"), "cannot read secret/Dockerfile: Permission denied"),
        (
            at("escape"),
            "escape/Dockerfile is a symbolic link to outside the repository",
        ),
        (
            at("ignored"),
            "cannot read ignored/.dockerignore: Permission denied",
        ),
        (
            at("."),
            "line 2 of its Dockerfile reads target/app.jar, which is not in the repository",
        ),
        (at("broken"), "cannot parse its Dockerfile: broken/Dockerfile:3: "),
        (
            inline("FROM scratch\nCOPY --from=lib / /\n", &lib),
            "its context https://example.com/lib.git",
        ),
        (
            inline("FROM lib\n", &[("lib", "/usr/lib")]),
            "its context /usr/lib is outside the repository",
        ),
    ] {
        let uncertain_because = repository
            .inputs(target)
            .uncertain_because
            .map(|reason| reason.to_string());
        let uncertain_because = uncertain_because.unwrap_or_default();
        assert!(
            uncertain_because.contains(reason),
            "{uncertain_because:?} has no {reason:?}"
        );
    }
    for (copy, uncertain_because) in [
        ("COPY nothing* /", true),
        ("COPY Dockerfile nothing* /", false),
        ("COPY Dockerfile target/*.jar /", true),
        ("COPY --from=made . /", true),
    ] {
        let inputs = repository.inputs(inline(&format!("FROM scratch\n{copy}\n"), &[("made", "target")]));
        assert_eq!(
            inputs.uncertain_because.is_some(),
            uncertain_because,
            "{copy}: {:?}",
            inputs.uncertain_because
        );
    }
    let fine = inline("FROM scratch\nCOPY escape /\n", &lib);
    assert_eq!(repository.inputs(fine).uncertain_because, None);
    assert!(
        repository
            .inputs(at("broken"))
            .fault
            .is_some_and(|fault| fault.to_string().starts_with("broken/Dockerfile:3: "))
    );
}

#[test]
fn symbolic_links_and_their_targets_are_inputs() {
    let repository = TestRepository::new(&[
        ("current", "-> versions/2"),
        ("versions/2/Dockerfile", "-> ../../common/Dockerfile"),
        ("versions/2/src", "-> lib"),
        ("versions/2/lib/x", ""),
        ("common/Dockerfile", "FROM scratch\nCOPY src /\n"),
    ]);
    let inputs = repository.inputs(target("current", &[]));
    assert_eq!(inputs.uncertain_because, None);
    let all = [
        "current",
        "versions/2",
        "versions/2/Dockerfile",
        "common/Dockerfile",
        "versions/2/src",
        "versions/2/lib/y",
        "versions/2/x",
        "versions/1/lib/y",
    ];
    assert_eq!(changing(&inputs, &all), all[..6]);
    assert!(inputs.files(&repository.tree).contains("current"));
}

#[test]
fn a_submodule_is_an_input_if_a_file_in_it_may_be_read() {
    let repository = TestRepository::new(&[
        ("Dockerfile", "FROM scratch\nCOPY modules/other/src /\n"),
        ("all.Dockerfile", "FROM scratch\nCOPY . /\n"),
        ("all.Dockerfile.dockerignore", "third\nfourth\n"),
        ("some.Dockerfile", "FROM scratch\nCOPY . /\n"),
        ("some.Dockerfile.dockerignore", "third\n!third/x\n"),
    ]);
    let with = |dockerfile: &str| {
        repository.inputs(Target {
            dockerfile: dockerfile.into(),
            ..target(".", &[])
        })
    };
    let all = ["modules/other@", "modules@", "third@", "second@"];
    assert_eq!(
        changing(&with("Dockerfile"), &all),
        ["modules/other@", "modules@"]
    );
    assert_eq!(with("Dockerfile").uncertain_because, None);
    assert_eq!(
        changing(&with("all.Dockerfile"), &all),
        ["modules/other@", "modules@", "second@"]
    );
    assert_eq!(changing(&with("some.Dockerfile"), &all), all);
    // A context inside a submodule.
    let within = repository.inputs(target("modules/other/app", &[]));
    assert_eq!(changing(&within, &["modules/other@"]), ["modules/other@"]);
}

#[test]
fn a_file_is_read_once_for_all_targets() {
    let repository =
        TestRepository::new(&[("Dockerfile", "FROM scratch\nCOPY . /\n"), (".dockerignore", "x")]);
    let many: Vec<(String, Target)> = (0..50).map(|n| (format!("t{n}"), target(".", &[]))).collect();
    let many: Vec<(&str, Target)> = many.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let inputs = repository.collect(&many);
    assert_eq!(inputs.len(), 50);
    let mut read = repository.reads.borrow().clone();
    read.sort();
    assert_eq!(read, [".dockerignore", "Dockerfile"]);
}

#[test]
fn changed_inputs_are_counted_up_to_a_limit() {
    let repository = TestRepository::new(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let paths: Vec<String> = (0..1000).map(|number| format!("f{number}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let changed = repository
        .inputs(target(".", &[]))
        .changed_inputs(&changes(&paths))
        .expect("changed inputs");
    assert_eq!((changed.path.as_str(), changed.more), ("f0", MAX_COUNTED));
}

proptest! {
    /// Skipping directories finds the same paths as testing each path.
    #[test]
    fn the_scan_finds_every_changed_input(
        sources in proptest::collection::vec("(a|b|\\*|a/b|a/\\*|b/\\*/a|a/c)", 1..3),
        paths in proptest::collection::btree_set("[abc](/[abc]){0,3}", 0..30),
        context in "(\\.|a|a/b)",
    ) {
        let text = format!("FROM scratch\nCOPY {} /\n", sources.join(" "));
        let repository = TestRepository::new(&[]);
        let inputs = repository.inputs(Target { context, ..inline(&text, &[]) });
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let together = inputs.changed_inputs(&changes(&paths));
        let alone = changing(&inputs, &paths);
        prop_assert_eq!(together.as_ref().map(|changed| changed.path.as_str()), alone.first().copied());
        prop_assert_eq!(together.map_or(0, |changed| changed.more + 1), alone.len());
    }
}
