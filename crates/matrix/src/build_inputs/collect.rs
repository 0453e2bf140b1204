//! Collects the inputs of targets from their definitions and Dockerfiles.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{
    BuildInputs, ContextIgnore, ContextInputs, DockerfileFault, FileRole, ResolvedScope, Uncertainty,
};
use crate::dockerfile::{self, BuildParams, ContextName, ContextRead, Scope};
use crate::repo_paths::{ReadFile, RepoPaths, is_remote, oci_layout_path};
use crate::target::{Target, Targets, linked_target};
use crate::tree::{FileTree, clean, join, within};

/// The repository that inputs are collected from.
#[derive(Clone, Copy)]
pub struct RepositoryFiles<'a> {
    pub paths: RepoPaths<'a>,
    pub tree: &'a FileTree,
    pub read: ReadFile<'a>,
}

impl std::fmt::Debug for RepositoryFiles<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepositoryFiles")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

/// Returns the inputs of each target. Each file is read once, even if several targets need it.
pub fn collect(targets: &Targets, repository: RepositoryFiles<'_>) -> BTreeMap<String, BuildInputs> {
    let mut collector = Collector {
        targets,
        repository,
        texts: HashMap::new(),
        ignores: HashMap::new(),
        links: HashMap::new(),
    };
    let inputs = |(name, target): (&String, &Target)| (name.clone(), collector.inputs(target));
    targets.all.iter().map(inputs).collect()
}

type FileText = Result<Option<Arc<str>>, Uncertainty>;

struct Collector<'a> {
    targets: &'a Targets,
    repository: RepositoryFiles<'a>,
    texts: HashMap<String, FileText>,
    ignores: HashMap<String, Arc<ContextIgnore>>,
    /// By the path of a context: the symbolic links below it, by their paths relative to it.
    links: HashMap<String, BTreeMap<String, String>>,
}

/// The text of a Dockerfile.
struct DockerfileText {
    /// The path from the root; `None` for a Dockerfile that the bake definition contains.
    path: Option<String>,
    text: Arc<str>,
}

/// Where a context is.
enum ContextLocation {
    Directory(String),
    /// The result of another target.
    Target(String),
    /// An image, which is not part of the repository.
    Image,
    /// An OCI layout: a directory whose files are all inputs, regardless of what is copied from its image.
    OciLayout(String),
    Unknown(Uncertainty),
}

impl Collector<'_> {
    fn inputs(&mut self, target: &Target) -> BuildInputs {
        let mut inputs = BuildInputs::default();
        match self.dockerfile(target, &mut inputs) {
            Ok(dockerfile) => self.add_reads(target, &dockerfile, &mut inputs),
            Err(reason) => inputs.uncertain_because = Some(reason),
        }
        inputs
    }

    /// Finds the Dockerfile where buildx does (`toBuildOpt` in bake/bake.go, `loadInputs` in build/opt.go).
    fn dockerfile(
        &mut self,
        target: &Target,
        inputs: &mut BuildInputs,
    ) -> Result<DockerfileText, Uncertainty> {
        if let Some(text) = &target.inline {
            let text = Arc::from(text.as_str());
            return Ok(DockerfileText { path: None, text });
        }
        let named = &target.dockerfile;
        let path = match named.strip_prefix("cwd://") {
            Some(path) => path.to_owned(),
            None if is_remote(named) => return Err(Uncertainty::DockerfileOutside(named.clone())),
            None if named.starts_with('/') => named.clone(),
            None => match self.main_context(&target.context, inputs) {
                ContextLocation::Unknown(reason) => return Err(reason),
                _ => {
                    let context = target.context.strip_prefix("cwd://");
                    clean(&format!("{}/{named}", context.unwrap_or(&target.context)))
                }
            },
        };
        // BuildKit receives the Dockerfile's directory separately, with its symbolic links followed.
        let (dir, base) = path.rsplit_once('/').unwrap_or((".", &path));
        let dir = self.directory(dir, inputs);
        let dir = dir.ok_or_else(|| Uncertainty::DockerfileOutside(path.clone()))?;
        let path = join(&dir, base);
        // BuildKit also accepts a lower-case name (moby/moby#10858).
        let lower = (base == "Dockerfile").then(|| join(&dir, "dockerfile"));
        for path in [Some(&path), lower.as_ref()].into_iter().flatten() {
            let suffixed = |suffix: &str| format!("{path}{suffix}");
            inputs.files.insert(path.clone(), FileRole::Dockerfile);
            inputs
                .files
                .insert(suffixed(DOCKERIGNORE), FileRole::Dockerignore);
            // `loadInputs` in build/opt.go of buildx.
            inputs.files.insert(suffixed(".rego"), FileRole::Policy);
        }
        for path in [Some(&path), lower.as_ref()].into_iter().flatten() {
            if let Some(text) = self.text(path, FileRole::Dockerfile, inputs)? {
                let path = Some(path.clone());
                return Ok(DockerfileText { path, text });
            }
        }
        Err(Uncertainty::DockerfileMissing(path))
    }

    /// Adds what the Dockerfile reads.
    fn add_reads(&mut self, target: &Target, dockerfile: &DockerfileText, inputs: &mut BuildInputs) {
        let contexts: BTreeSet<String> = target.contexts.keys().cloned().collect();
        let params = BuildParams {
            stage: target.stage.as_deref(),
            args: &target.args,
            contexts: &contexts,
            platforms: &target.platforms,
        };
        let mut reads = match dockerfile::context_reads(&dockerfile.text, &params) {
            Ok(reads) => reads,
            Err(error) => {
                let path = dockerfile.path.as_deref().unwrap_or("dockerfile-inline");
                let path = path.to_owned();
                let fault = DockerfileFault { path, error };
                inputs.uncertain_because = Some(Uncertainty::DockerfileInvalid(fault.clone()));
                inputs.fault = Some(fault);
                return;
            }
        };
        // ONBUILD instructions of a linked target copy from the context of the target that is based on it.
        let triggered = reads.iter().find(|read| match &read.context {
            ContextName::Named(name) => target
                .contexts
                .get(name)
                .is_some_and(|context| self.has_onbuild(context)),
            ContextName::Main => false,
        });
        reads.extend(triggered.map(|read| ContextRead {
            context: ContextName::Main,
            scope: Scope::All("an ONBUILD instruction may copy it"),
            line: read.line,
        }));
        for read in reads {
            let context = match &read.context {
                ContextName::Main => Some(&target.context),
                ContextName::Named(name) => target.contexts.get(name),
            };
            let Some(context) = context else { continue };
            let is_main = read.context == ContextName::Main;
            let location = if is_main {
                self.main_context(context, inputs)
            } else {
                self.named_context(context, inputs)
            };
            match location {
                ContextLocation::Directory(dir) => {
                    let ignore = self.dockerignore(&dir, is_main.then_some(dockerfile), inputs);
                    self.add_read(dir, ignore, &read, inputs);
                }
                ContextLocation::OciLayout(path) => inputs.contexts.push(ContextInputs {
                    path,
                    ignore: Arc::new(ContextIgnore::parse("")),
                    scopes: vec![ResolvedScope::All],
                }),
                ContextLocation::Target(name) => drop(inputs.linked.insert(name)),
                ContextLocation::Image => {}
                ContextLocation::Unknown(reason) => drop(inputs.uncertain_because.get_or_insert(reason)),
            }
        }
    }

    fn add_read(
        &mut self,
        path: String,
        ignore: Arc<ContextIgnore>,
        read: &ContextRead,
        inputs: &mut BuildInputs,
    ) {
        let tree = self.repository.tree;
        let links = self.links.entry(path.clone());
        let links = links.or_insert_with(|| tree.links_below(&path));
        let scope = match &read.scope {
            Scope::All(_) => ResolvedScope::All,
            Scope::Paths(sources) => ResolvedScope::Paths(sources.with_links_followed(links)),
        };
        if let Some(missing) = missing_source(tree, links, &path, read, &scope) {
            inputs.uncertain_because.get_or_insert(missing);
        }
        let same =
            |context: &&mut ContextInputs| context.path == path && Arc::ptr_eq(&context.ignore, &ignore);
        match inputs.contexts.iter_mut().find(same) {
            Some(context) => context.scopes.push(scope),
            None => inputs.contexts.push(ContextInputs {
                path,
                ignore,
                scopes: vec![scope],
            }),
        }
    }

    /// Locates the build's main context.
    fn main_context(&self, context: &str, inputs: &mut BuildInputs) -> ContextLocation {
        let dir = context.strip_prefix("cwd://");
        if dir.is_none() && is_remote(context) {
            return ContextLocation::Unknown(Uncertainty::ContextOutside(context.to_owned()));
        }
        self.local_context(dir.unwrap_or(context), inputs)
    }

    fn named_context(&self, context: &str, inputs: &mut BuildInputs) -> ContextLocation {
        if let Some(target) = linked_target(context) {
            return if self.targets.all.contains_key(target) {
                ContextLocation::Target(target.to_owned())
            } else {
                ContextLocation::Unknown(Uncertainty::LinkedTargetMissing(target.to_owned()))
            };
        }
        if context.starts_with("docker-image:") {
            return ContextLocation::Image;
        }
        if let Some(path) = oci_layout_path(context) {
            return match self.local_context(path, inputs) {
                ContextLocation::Directory(dir) => ContextLocation::OciLayout(dir),
                other => other,
            };
        }
        self.main_context(context, inputs)
    }

    fn local_context(&self, path: &str, inputs: &mut BuildInputs) -> ContextLocation {
        match self.directory(path, inputs) {
            Some(dir) => ContextLocation::Directory(dir),
            None => ContextLocation::Unknown(Uncertainty::ContextOutside(path.to_owned())),
        }
    }

    /// Resolves a directory, and adds its symbolic links to the inputs. buildx's client also follows them before it sends
    /// anything (`NewFS` in tonistiigi/fsutil).
    fn directory(&self, path: &str, inputs: &mut BuildInputs) -> Option<String> {
        let resolved = self.repository.paths.resolve(path, self.repository.tree)?;
        let links = resolved.links.into_iter().map(|link| (link, FileRole::Link));
        inputs.files.extend(links);
        resolved.path
    }

    /// Returns the .dockerignore of a context. For the main context the one named after the Dockerfile takes precedence;
    /// other contexts use the one in their root (`dockerIgnorePatterns` and `NamedContext.load` in BuildKit's
    /// frontend/dockerui).
    fn dockerignore(
        &mut self,
        dir: &str,
        main: Option<&DockerfileText>,
        inputs: &mut BuildInputs,
    ) -> Arc<ContextIgnore> {
        let own = main.and_then(|dockerfile| Some(format!("{}{DOCKERIGNORE}", dockerfile.path.as_deref()?)));
        for path in own.into_iter().chain([join(dir, DOCKERIGNORE)]) {
            inputs.files.insert(path.clone(), FileRole::Dockerignore);
            match self.text(&path, FileRole::Dockerignore, inputs) {
                Ok(None) => {}
                Ok(Some(text)) => {
                    let ignore = self.ignores.entry(path);
                    return ignore
                        .or_insert_with(|| Arc::new(ContextIgnore::parse(&text)))
                        .clone();
                }
                Err(reason) => drop(inputs.uncertain_because.get_or_insert(reason)),
            }
        }
        self.ignores
            .entry(String::new())
            .or_insert_with(|| Arc::new(ContextIgnore::parse("")))
            .clone()
    }

    /// Returns whether a context is a target whose Dockerfile has ONBUILD instructions.
    fn has_onbuild(&mut self, context: &str) -> bool {
        let targets = self.targets;
        let target = linked_target(context).and_then(|name| targets.all.get(name));
        let dockerfile = target.map(|target| self.dockerfile(target, &mut BuildInputs::default()));
        matches!(dockerfile, Some(Ok(dockerfile)) if dockerfile::has_onbuild(&dockerfile.text))
    }

    /// Returns the text of a file that Git tracks. Symbolic links to it, and the file that they lead to, are inputs as
    /// well.
    fn text(&mut self, path: &str, role: FileRole, inputs: &mut BuildInputs) -> FileText {
        let RepositoryFiles { tree, read, .. } = self.repository;
        let resolved = tree.resolve(path);
        if !resolved.links.is_empty() {
            let links = resolved.links.into_iter().map(|link| (link, role));
            inputs.files.extend(links);
        }
        let file = resolved
            .path
            .ok_or_else(|| Uncertainty::LinkOutside(path.to_owned()))?;
        if !tree.has_file(&file) && !tree.is_in_submodule(&file) {
            return Ok(None);
        }
        inputs.files.insert(file.clone(), role);
        let text = || Ok(read(&file)?.map(Arc::from));
        self.texts.entry(file.clone()).or_insert_with(text).clone()
    }
}

/// Returns a source that the repository does not have. An earlier step of the job must create it, and Git does not report
/// changes in it.
fn missing_source(
    tree: &FileTree,
    links: &BTreeMap<String, String>,
    context: &str,
    read: &ContextRead,
    scope: &ResolvedScope,
) -> Option<Uncertainty> {
    let line = read.line;
    if let Scope::Paths(sources) = &read.scope {
        let missing = sources.root_paths().find(|root| {
            let root = ResolvedScope::Paths(root.with_links_followed(links));
            !has_match(tree, context, &root)
        });
        if let Some(missing) = missing {
            let source_path = join(context, &missing.to_string());
            return Some(Uncertainty::SourceMissing { line, source_path });
        }
    }
    if has_match(tree, context, scope) {
        return None;
    }
    let in_context = match context {
        "" => String::new(),
        context => format!(" in {context}"),
    };
    let sources = match &read.scope {
        Scope::Paths(sources) => sources.to_string(),
        Scope::All(_) => ".".to_owned(),
    };
    let sources = format!("{sources}{in_context}");
    Some(Uncertainty::NoFileMatches { line, sources })
}

/// Returns whether a scope matches any file of a context, or may match one inside a submodule.
fn has_match(tree: &FileTree, dir: &str, scope: &ResolvedScope) -> bool {
    let mut found = false;
    super::scan::for_each_candidate(tree.files(), dir, String::as_str, scope, |_, path| {
        found = match scope {
            ResolvedScope::All => true,
            ResolvedScope::Paths(sources) => sources.matches(path),
        };
        !found
    });
    let may_have = |module: &str| match (within(dir, module), scope) {
        (None, _) => false,
        (Some(_), ResolvedScope::All) => true,
        (Some(module), ResolvedScope::Paths(sources)) => {
            sources.matches(module) || sources.may_match_below(module)
        }
    };
    found || tree.is_in_submodule(dir) || tree.submodules().any(may_have)
}

/// The file name in a context's root, and the suffix after a Dockerfile's name.
const DOCKERIGNORE: &str = ".dockerignore";
