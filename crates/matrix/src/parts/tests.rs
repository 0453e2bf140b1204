use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::place::Place;
use crate::target::{Target, Targets};

/// A repository in memory: files with their texts, links with what they say after an arrow.
struct World {
    texts: BTreeMap<String, String>,
    tree: Tree,
    read: RefCell<Vec<String>>,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let link = |text: &str| text.strip_prefix("-> ").map(str::to_owned);
        let links = files
            .iter()
            .filter_map(|(path, text)| Some(((*path).to_owned(), link(text)?)));
        let paths = files.iter().map(|(path, _)| (*path).to_owned());
        let modules = BTreeSet::from(["modules/other".to_owned()]);
        Self {
            tree: Tree::new(paths.collect(), links.collect(), modules),
            texts: files
                .iter()
                .map(|(p, t)| ((*p).to_owned(), (*t).to_owned()))
                .collect(),
            read: RefCell::default(),
        }
    }

    fn gather(&self, targets: &[(&str, Target)]) -> BTreeMap<String, Parts> {
        let targets = Targets {
            all: targets
                .iter()
                .map(|(name, target)| ((*name).to_owned(), target.clone()))
                .collect(),
            selected: BTreeSet::new(),
        };
        let repository = Repository {
            place: Place {
                root: "/work/shop",
                workdir: "",
            },
            tree: &self.tree,
            text: &|path| {
                self.read.borrow_mut().push(path.to_owned());
                match self.texts.get(path).map(String::as_str) {
                    Some("secret") => Err(format!("{path} cannot be read: Permission denied")),
                    text => Ok(text.map(str::to_owned)),
                }
            },
        };
        gather(&targets, repository)
    }

    fn parts(&self, target: Target) -> Parts {
        self.gather(&[("x", target)]).remove("x").expect("x")
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
            kind: Kind::Submodule,
        },
        None => Change {
            path: (*path).into(),
            kind: Kind::File,
        },
    };
    let mut changes: Vec<Change> = paths.iter().map(change).collect();
    changes.sort();
    changes
}

/// Which of the paths touch it, each by itself.
fn touching<'a>(parts: &Parts, paths: &[&'a str]) -> Vec<&'a str> {
    let touches = |path: &&&str| parts.touched(&changes(&[path])).is_some();
    paths.iter().filter(touches).copied().collect()
}

#[test]
fn a_target_is_made_of_what_its_dockerfile_reads() {
    let world = World::new(&[
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
    let parts = world.parts(target("api", &[]));
    assert_eq!(parts.unknown, None);
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
        touching(&parts, &all),
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
    let touch = parts.touched(&changes(&["api/go.mod", "api/src/a", "api/src/b", "web/x"]));
    assert_eq!(
        touch,
        Some(Touch {
            path: "api/go.mod".into(),
            role: None,
            more: 2
        })
    );
    assert_eq!(
        parts.list(&world.tree),
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
fn the_dockerfile_of_another_folder_brings_its_own_ignore_file() {
    let world = World::new(&[
        ("docker/api.Dockerfile", "FROM scratch\nCOPY . /\n"),
        ("docker/api.Dockerfile.dockerignore", "web"),
        (".dockerignore", "api"),
        ("api/main.go", ""),
    ]);
    let parts = world.parts(Target {
        dockerfile: "docker/api.Dockerfile".into(),
        ..target(".", &[])
    });
    // The other one is copied, but says nothing.
    assert_eq!(
        touching(
            &parts,
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
    let upwards = world.parts(Target {
        dockerfile: "../docker/api.Dockerfile".into(),
        ..target("./api", &[])
    });
    assert_eq!(
        touching(&upwards, &["api/x", "docker/api.Dockerfile", "x"]),
        ["api/x", "docker/api.Dockerfile"]
    );
}

#[test]
fn named_contexts_count_when_a_stage_uses_them() {
    let dockerfile =
        "FROM scratch\nCOPY --from=lib /src /\nFROM scratch\nCOPY --from=tools . /\nCOPY --from=0 /x /\n";
    let world = World::new(&[
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
    let parts = world.parts(target(".", &contexts));
    assert_eq!(
        touching(
            &parts,
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
    assert_eq!(parts.unknown, None);
    let layout = world.parts(inline("FROM base\n", &[("base", "oci-layout://out:v1")]));
    assert_eq!(touching(&layout, &["out/blobs/x", "lib/src/a"]), ["out/blobs/x"]);
    let image = world.parts(inline("FROM base\n", &[("base", "docker-image://alpine")]));
    assert_eq!((image.unknown, image.folders.len()), (None, 0));
}

#[test]
fn linked_targets_are_named_and_their_onbuild_is_run_over_the_context() {
    let world = World::new(&[
        ("app/x", ""),
        ("base/Dockerfile", "FROM scratch\nONBUILD COPY . /\n"),
    ]);
    let from = |links: &[(&str, &str)]| Target {
        context: "app".into(),
        ..inline("FROM base\n", links)
    };
    let parts = world.gather(&[
        ("app", from(&[("base", "target:base"), ("other", "target:plain")])),
        ("base", target("base", &[])),
        ("plain", inline("FROM scratch\n", &[])),
        ("quiet", from(&[("base", "target:plain")])),
        ("lost", from(&[("base", "target:nowhere")])),
    ]);
    assert_eq!(parts["app"].linked, BTreeSet::from(["base".to_owned()]));
    assert_eq!(touching(&parts["app"], &["app/x", "x"]), ["app/x"]);
    assert_eq!(parts["quiet"].linked, BTreeSet::from(["plain".to_owned()]));
    assert_eq!(touching(&parts["quiet"], &["app/x"]), [""; 0]);
    assert!(parts["lost"].unknown.is_some());
}

#[test]
fn what_cannot_be_known_says_why() {
    let world = World::new(&[
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
            "its context is https://github.com/acme/shop.git, outside",
        ),
        (
            at("../other"),
            "its context is ../other, outside of this repository",
        ),
        (
            Target {
                dockerfile: "../x/Dockerfile".into(),
                ..at(".")
            },
            "its Dockerfile is ../x/Dockerfile, outside of this repository",
        ),
        (
            at("nowhere"),
            "its Dockerfile nowhere/Dockerfile is not in the repository",
        ),
        (
            at("secret"),
            "secret/Dockerfile cannot be read: Permission denied",
        ),
        (
            at("escape"),
            "escape/Dockerfile is a link that leads out of this repository",
        ),
        (
            at("ignored"),
            "ignored/.dockerignore cannot be read: Permission denied",
        ),
        (
            at("."),
            "line 2 of its Dockerfile reads target/app.jar, which is not in the repository",
        ),
        (
            at("broken"),
            "its Dockerfile is not understood: broken/Dockerfile:3: ",
        ),
        (
            inline("FROM scratch\nCOPY --from=lib / /\n", &lib),
            "its context is https://example.com/lib.git",
        ),
        (
            inline("FROM lib\n", &[("lib", "/usr/lib")]),
            "its context is /usr/lib, outside of this repository",
        ),
    ] {
        let unknown = world.parts(target).unknown.unwrap_or_default();
        assert!(unknown.contains(reason), "{unknown:?} has no {reason:?}");
    }
    for (copy, unknown) in [
        ("COPY nothing* /", true),
        ("COPY Dockerfile nothing* /", false),
        ("COPY Dockerfile target/*.jar /", true),
        ("COPY --from=made . /", true),
    ] {
        let parts = world.parts(inline(&format!("FROM scratch\n{copy}\n"), &[("made", "target")]));
        assert_eq!(parts.unknown.is_some(), unknown, "{copy}: {:?}", parts.unknown);
    }
    let fine = inline("FROM scratch\nCOPY escape /\n", &lib);
    assert_eq!(world.parts(fine).unknown, None);
    assert!(
        world
            .parts(at("broken"))
            .fault
            .is_some_and(|fault| fault.starts_with("broken/Dockerfile:3: "))
    );
}

#[test]
fn links_on_the_way_count_with_what_they_lead_to() {
    let world = World::new(&[
        ("current", "-> versions/2"),
        ("versions/2/Dockerfile", "-> ../../common/Dockerfile"),
        ("versions/2/src", "-> lib"),
        ("versions/2/lib/x", ""),
        ("common/Dockerfile", "FROM scratch\nCOPY src /\n"),
    ]);
    let parts = world.parts(target("current", &[]));
    assert_eq!(parts.unknown, None);
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
    assert_eq!(touching(&parts, &all), all[..6]);
    assert!(parts.list(&world.tree).contains("current"));
}

#[test]
fn a_submodule_counts_for_what_may_be_in_it() {
    let world = World::new(&[
        ("Dockerfile", "FROM scratch\nCOPY modules/other/src /\n"),
        ("all.Dockerfile", "FROM scratch\nCOPY . /\n"),
        ("all.Dockerfile.dockerignore", "third\nfourth\n"),
        ("some.Dockerfile", "FROM scratch\nCOPY . /\n"),
        ("some.Dockerfile.dockerignore", "third\n!third/x\n"),
    ]);
    let with = |dockerfile: &str| {
        world.parts(Target {
            dockerfile: dockerfile.into(),
            ..target(".", &[])
        })
    };
    let all = ["modules/other@", "modules@", "third@", "second@"];
    assert_eq!(
        touching(&with("Dockerfile"), &all),
        ["modules/other@", "modules@"]
    );
    assert_eq!(with("Dockerfile").unknown, None);
    assert_eq!(
        touching(&with("all.Dockerfile"), &all),
        ["modules/other@", "modules@", "second@"]
    );
    assert_eq!(touching(&with("some.Dockerfile"), &all), all);
    // A context within one.
    let within = world.parts(target("modules/other/app", &[]));
    assert_eq!(touching(&within, &["modules/other@"]), ["modules/other@"]);
}

#[test]
fn a_file_is_read_once_for_all_targets() {
    let world = World::new(&[("Dockerfile", "FROM scratch\nCOPY . /\n"), (".dockerignore", "x")]);
    let many: Vec<(String, Target)> = (0..50).map(|n| (format!("t{n}"), target(".", &[]))).collect();
    let many: Vec<(&str, Target)> = many.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    let parts = world.gather(&many);
    assert_eq!(parts.len(), 50);
    let mut read = world.read.borrow().clone();
    read.sort();
    assert_eq!(read, [".dockerignore", "Dockerfile"]);
}

#[test]
fn many_changes_are_not_all_counted() {
    let world = World::new(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let paths: Vec<String> = (0..1000).map(|number| format!("f{number}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let touch = world
        .parts(target(".", &[]))
        .touched(&changes(&paths))
        .expect("touched");
    assert_eq!((touch.path.as_str(), touch.more), ("f0", MANY));
}

proptest! {
    /// Passing folders over finds what asking for each path finds.
    #[test]
    fn looking_through_changes_misses_none(
        sources in proptest::collection::vec("(a|b|\\*|a/b|a/\\*|b/\\*/a|a/c)", 1..3),
        paths in proptest::collection::btree_set("[abc](/[abc]){0,3}", 0..30),
        context in "(\\.|a|a/b)",
    ) {
        let text = format!("FROM scratch\nCOPY {} /\n", sources.join(" "));
        let world = World::new(&[]);
        let parts = world.parts(Target { context, ..inline(&text, &[]) });
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let together = parts.touched(&changes(&paths));
        let alone = touching(&parts, &paths);
        prop_assert_eq!(together.as_ref().map(|touch| touch.path.as_str()), alone.first().copied());
        prop_assert_eq!(together.map_or(0, |touch| touch.more + 1), alone.len());
    }
}
