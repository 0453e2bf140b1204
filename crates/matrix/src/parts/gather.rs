//! From a target's definition to its parts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Folder, IgnoreFile, Parts, Role, Wanted};
use crate::dockerfile::{self, Build, Read, Source, What};
use crate::place::{Place, is_remote, oci_layout};
use crate::target::{Target, Targets, linked};
use crate::tree::{Tree, clean, join, within};

/// The text of a file by its path from the root: none where there is no such file, or why it cannot be read.
pub type Texts<'a> = &'a dyn Fn(&str) -> Result<Option<String>, String>;

/// What targets are looked for in.
#[derive(Clone, Copy)]
pub struct Repository<'a> {
    pub place: Place<'a>,
    pub tree: &'a Tree,
    pub text: Texts<'a>,
}

impl std::fmt::Debug for Repository<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// What each target is made of. A file is read once, however many targets have it.
pub fn gather(targets: &Targets, repository: Repository<'_>) -> BTreeMap<String, Parts> {
    let mut gathering = Gathering {
        targets,
        repository,
        texts: HashMap::new(),
        ignores: HashMap::new(),
        links: HashMap::new(),
    };
    let parts = |(name, target): (&String, &Target)| (name.clone(), gathering.parts(target));
    targets.all.iter().map(parts).collect()
}

type Text = Result<Option<Arc<str>>, String>;

struct Gathering<'a> {
    targets: &'a Targets,
    repository: Repository<'a>,
    texts: HashMap<String, Text>,
    ignores: HashMap<String, Arc<IgnoreFile>>,
    /// Links by their paths from a context, by that context's.
    links: HashMap<String, BTreeMap<String, String>>,
}

/// A Dockerfile, wherever it comes from.
struct Dockerfile {
    /// From the root; none for one that the definition holds.
    path: Option<String>,
    text: Arc<str>,
}

/// A context, as far as it concerns this repository.
enum Context {
    Folder(String),
    /// Of another target's making.
    Target(String),
    /// An image, which is not looked at.
    Image,
    /// A folder that is read as a whole, whatever is copied of the image in it.
    Layout(String),
    /// Why nothing is known of it.
    Unknown(String),
}

impl Gathering<'_> {
    fn parts(&mut self, target: &Target) -> Parts {
        let mut parts = Parts::default();
        match self.dockerfile(target, &mut parts) {
            Ok(dockerfile) => self.read(target, &dockerfile, &mut parts),
            Err(why) => parts.unknown = Some(why),
        }
        parts
    }

    /// The Dockerfile, where buildx looks for it (`toBuildOpt` in bake/bake.go, `loadInputs` in build/opt.go).
    fn dockerfile(&mut self, target: &Target, parts: &mut Parts) -> Result<Dockerfile, String> {
        if let Some(text) = &target.inline {
            let text = Arc::from(text.as_str());
            return Ok(Dockerfile { path: None, text });
        }
        let named = &target.dockerfile;
        let path = match named.strip_prefix("cwd://") {
            Some(path) => path.to_owned(),
            None if is_remote(named) => {
                return Err(format!("its Dockerfile is {named}, outside of this repository"));
            }
            None if named.starts_with('/') => named.clone(),
            None => match self.context(&target.context, parts) {
                Context::Unknown(why) => return Err(why),
                _ => {
                    let context = target.context.strip_prefix("cwd://");
                    clean(&format!("{}/{named}", context.unwrap_or(&target.context)))
                }
            },
        };
        // The folder is a source of its own to BuildKit, which sees it without links.
        let (folder, base) = path.rsplit_once('/').unwrap_or((".", &path));
        let folder = self.folder(folder, parts);
        let folder = folder.ok_or_else(|| format!("its Dockerfile is {path}, outside of this repository"))?;
        let path = join(&folder, base);
        // BuildKit takes one in lower-case letters as well (moby/moby#10858).
        let lower = (base == "Dockerfile").then(|| join(&folder, "dockerfile"));
        for path in [Some(&path), lower.as_ref()].into_iter().flatten() {
            let suffixed = |suffix: &str| format!("{path}{suffix}");
            parts.files.insert(path.clone(), Role::Dockerfile);
            parts.files.insert(suffixed(IGNORE), Role::Ignore);
            // `loadInputs` in build/opt.go of buildx.
            parts.files.insert(suffixed(".rego"), Role::Policy);
        }
        for path in [Some(&path), lower.as_ref()].into_iter().flatten() {
            if let Some(text) = self.text(path, Role::Dockerfile, parts)? {
                let path = Some(path.clone());
                return Ok(Dockerfile { path, text });
            }
        }
        Err(format!("its Dockerfile {path} is not in the repository"))
    }

    /// What the Dockerfile reads.
    fn read(&mut self, target: &Target, dockerfile: &Dockerfile, parts: &mut Parts) {
        let contexts: BTreeSet<String> = target.contexts.keys().cloned().collect();
        let build = Build {
            stage: target.stage.as_deref(),
            args: &target.args,
            contexts: &contexts,
            platforms: &target.platforms,
        };
        let mut reads = match dockerfile::reads(&dockerfile.text, &build) {
            Ok(reads) => reads,
            Err(fault) => {
                let path = dockerfile.path.as_deref().unwrap_or("dockerfile-inline");
                let fault = format!("{path}:{}: {}", fault.line, fault.what);
                parts.unknown = Some(format!("its Dockerfile is not understood: {fault}"));
                parts.fault = Some(fault);
                return;
            }
        };
        // ONBUILD of a target copies from the context of whoever is based on it.
        let triggered = reads.iter().find(|read| match &read.from {
            Source::Named(name) => target
                .contexts
                .get(name)
                .is_some_and(|context| self.has_triggers(context)),
            Source::Context => false,
        });
        reads.extend(triggered.map(|read| Read {
            from: Source::Context,
            what: What::All("an ONBUILD may copy it"),
            line: read.line,
        }));
        for read in reads {
            let context = match &read.from {
                Source::Context => Some(&target.context),
                Source::Named(name) => target.contexts.get(name),
            };
            let Some(context) = context else { continue };
            let main = read.from == Source::Context;
            let context = if main {
                self.context(context, parts)
            } else {
                self.named(context, parts)
            };
            match context {
                Context::Folder(folder) => {
                    let ignore = self.ignore(&folder, main.then_some(dockerfile), parts);
                    self.take(folder, ignore, &read, parts);
                }
                Context::Layout(path) => parts.folders.push(Folder {
                    path,
                    ignore: Arc::new(IgnoreFile::of("")),
                    wanted: vec![Wanted::All],
                }),
                Context::Target(name) => drop(parts.linked.insert(name)),
                Context::Image => {}
                Context::Unknown(why) => drop(parts.unknown.get_or_insert(why)),
            }
        }
    }

    fn take(&mut self, path: String, ignore: Arc<IgnoreFile>, read: &Read, parts: &mut Parts) {
        let tree = self.repository.tree;
        let links = self.links.entry(path.clone());
        let links = links.or_insert_with(|| tree.links_below(&path));
        let wanted = match &read.what {
            What::All(_) => Wanted::All,
            What::Paths(sources) => Wanted::Paths(sources.resolved(links)),
        };
        if let Some(missing) = missing(tree, links, &path, read, &wanted) {
            let line = read.line;
            parts
                .unknown
                .get_or_insert(format!("line {line} of its Dockerfile reads {missing}"));
        }
        let same = |folder: &&mut Folder| folder.path == path && Arc::ptr_eq(&folder.ignore, &ignore);
        match parts.folders.iter_mut().find(same) {
            Some(folder) => folder.wanted.push(wanted),
            None => parts.folders.push(Folder {
                path,
                ignore,
                wanted: vec![wanted],
            }),
        }
    }

    /// The build's own context.
    fn context(&self, context: &str, parts: &mut Parts) -> Context {
        let folder = context.strip_prefix("cwd://");
        if folder.is_none() && is_remote(context) {
            return Context::Unknown(format!("its context is {context}, outside of this repository"));
        }
        self.local(folder.unwrap_or(context), parts)
    }

    fn named(&self, context: &str, parts: &mut Parts) -> Context {
        if let Some(target) = linked(context) {
            return if self.targets.all.contains_key(target) {
                Context::Target(target.to_owned())
            } else {
                Context::Unknown(format!("it links to the target {target}, which is not there"))
            };
        }
        if context.starts_with("docker-image:") {
            return Context::Image;
        }
        if let Some(path) = oci_layout(context) {
            return match self.local(path, parts) {
                Context::Folder(folder) => Context::Layout(folder),
                other => other,
            };
        }
        self.context(context, parts)
    }

    fn local(&self, path: &str, parts: &mut Parts) -> Context {
        match self.folder(path, parts) {
            Some(folder) => Context::Folder(folder),
            None => Context::Unknown(format!("its context is {path}, outside of this repository")),
        }
    }

    /// A folder without links, which are put to the parts. As buildx's client, which evaluates them before it sends
    /// anything (`NewFS` in tonistiigi/fsutil).
    fn folder(&self, path: &str, parts: &mut Parts) -> Option<String> {
        let resolved = self.repository.place.resolve(path, self.repository.tree)?;
        let links = resolved.links.into_iter().map(|link| (link, Role::Link));
        parts.files.extend(links);
        resolved.path
    }

    /// The .dockerignore of a context. The one that is called as the Dockerfile comes first, for the build's own context
    /// alone; others have the one in their root (`dockerIgnorePatterns` and `NamedContext.load` in BuildKit's
    /// frontend/dockerui).
    fn ignore(&mut self, folder: &str, main: Option<&Dockerfile>, parts: &mut Parts) -> Arc<IgnoreFile> {
        let own = main.and_then(|dockerfile| Some(format!("{}{IGNORE}", dockerfile.path.as_deref()?)));
        for path in own.into_iter().chain([join(folder, IGNORE)]) {
            parts.files.insert(path.clone(), Role::Ignore);
            match self.text(&path, Role::Ignore, parts) {
                Ok(None) => {}
                Ok(Some(text)) => {
                    let ignore = self.ignores.entry(path);
                    return ignore.or_insert_with(|| Arc::new(IgnoreFile::of(&text))).clone();
                }
                Err(why) => drop(parts.unknown.get_or_insert(why)),
            }
        }
        self.ignores
            .entry(String::new())
            .or_insert_with(|| Arc::new(IgnoreFile::of("")))
            .clone()
    }

    /// Whether a context is a target with instructions for those that are based on it.
    fn has_triggers(&mut self, context: &str) -> bool {
        let targets = self.targets;
        let target = linked(context).and_then(|name| targets.all.get(name));
        let dockerfile = target.map(|target| self.dockerfile(target, &mut Parts::default()));
        matches!(dockerfile, Some(Ok(dockerfile)) if dockerfile::has_triggers(&dockerfile.text))
    }

    /// The text of a file that Git knows. What a link to it says, and where that leads, are parts as well.
    fn text(&mut self, path: &str, role: Role, parts: &mut Parts) -> Text {
        let Repository { tree, text, .. } = self.repository;
        let resolved = tree.resolve(path);
        let outside = || format!("{path} is a link that leads out of this repository");
        if !resolved.links.is_empty() {
            let links = resolved.links.into_iter().map(|link| (link, role));
            parts.files.extend(links);
        }
        let file = resolved.path.ok_or_else(outside)?;
        if !tree.has_file(&file) && !tree.is_in_submodule(&file) {
            return Ok(None);
        }
        parts.files.insert(file.clone(), role);
        let read = || text(&file).map(|text| text.map(Arc::from));
        self.texts.entry(file.clone()).or_insert_with(read).clone()
    }
}

/// What an earlier step of the job has to make: it is not in the repository, and neither are changes in it.
fn missing(
    tree: &Tree,
    links: &BTreeMap<String, String>,
    context: &str,
    read: &Read,
    wanted: &Wanted,
) -> Option<String> {
    if let What::Paths(sources) = &read.what {
        let gone = sources.places().find(|place| {
            let place = Wanted::Paths(place.resolved(links));
            !is_there(tree, context, &place)
        });
        if let Some(gone) = gone {
            let path = join(context, &gone.to_string());
            return Some(format!("{path}, which is not in the repository"));
        }
    }
    let of = match context {
        "" => String::new(),
        context => format!(" of {context}"),
    };
    let all = match &read.what {
        What::Paths(sources) => sources.to_string(),
        What::All(_) => ".".to_owned(),
    };
    (!is_there(tree, context, wanted)).then(|| format!("{all}{of}, of which the repository has nothing"))
}

/// Whether something of a context is taken at all, or may be within a submodule.
fn is_there(tree: &Tree, folder: &str, wanted: &Wanted) -> bool {
    let mut there = false;
    super::scan::each(tree.files(), folder, String::as_str, wanted, |_, path| {
        there = match wanted {
            Wanted::All => true,
            Wanted::Paths(sources) => sources.takes(path),
        };
        !there
    });
    let may_have = |module: &str| match (within(folder, module), wanted) {
        (None, _) => false,
        (Some(_), Wanted::All) => true,
        (Some(module), Wanted::Paths(sources)) => sources.takes(module) || sources.may_take_below(module),
    };
    there || tree.is_in_submodule(folder) || tree.submodules().any(may_have)
}

/// In the root of a context, and behind the name of a Dockerfile.
const IGNORE: &str = ".dockerignore";
