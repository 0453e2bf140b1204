//! Instructions at random that read a context.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::tree::{Tree, chance, is_kept, pick};

/// An instruction, and the folder that is sure to be there after it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) line: String,
    pub(super) makes: Option<String>,
}

/// Makes the steps of one Dockerfile.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    pub(super) context: &'a Tree,
    /// Named contexts that are folders.
    pub(super) named: Vec<(String, &'a Tree)>,
    /// In every destination.
    pub(super) tag: String,
    /// Instructions so far.
    pub(super) count: usize,
}

impl Steps<'_> {
    /// What a stage has to declare to use the tag.
    pub(super) fn declared(&self) -> Vec<String> {
        let variable = self.tag.starts_with('$');
        variable.then(|| "ARG TAG".to_owned()).into_iter().collect()
    }

    fn destination(&mut self) -> String {
        self.count += 1;
        format!("/{}/{}/", self.tag, self.count)
    }

    pub(super) fn copy_from(&mut self, from: &str, folder: &str) -> Step {
        let to = self.destination();
        Step {
            line: format!("COPY --from={from} {folder} {to}"),
            makes: Some(to),
        }
    }

    /// Any that needs no shell.
    pub(super) fn any(&mut self, args: &mut BTreeMap<String, String>, rng: &mut Rng) -> Step {
        if !self.named.is_empty() && chance(rng, 40) {
            let (name, tree) = pick(rng, &self.named).clone();
            let (sources, sure) = some_sources(tree, rng);
            return self.copy(&format!("COPY --from={name} "), &sources, sure);
        }
        match rng.u8(..20) {
            0 => {
                let to = self.destination();
                let text = format!("COPY <<EOF {to}here\ntext {}\nEOF", self.count);
                Step {
                    line: text,
                    makes: Some(to),
                }
            }
            1..4 => self.variable(args, rng),
            4 | 5 => {
                let folder = pick(rng, &self.context.kept_folders()).to_string();
                let exclude = pick(
                    rng,
                    &[
                        "*.md",
                        "**/*.md",
                        "**/util.*",
                        "vendor",
                        "**/*.log --exclude=!**/main.log",
                    ],
                );
                self.copy(&format!("COPY --exclude={exclude} "), &[folder], false)
            }
            6 | 7 => self.parents(rng),
            8 => {
                let (sources, sure) = some_sources(self.context, rng);
                let flag = pick(rng, &["--chmod=0755", "--chown=7:7", "--link"]);
                self.copy(&format!("COPY {flag} "), &sources, sure)
            }
            9 => {
                let (sources, sure) = some_sources(self.context, rng);
                self.copy("ADD ", &sources, sure)
            }
            10 => self.copy("COPY ", &[".".into()], true),
            _ => {
                let (sources, sure) = some_sources(self.context, rng);
                self.copy("COPY ", &sources, sure)
            }
        }
    }

    fn copy(&mut self, start: &str, sources: &[String], sure: bool) -> Step {
        let to = self.destination();
        let line = if sources.iter().any(|source| source.contains(' ')) {
            let mut words = sources.to_vec();
            words.push(to.clone());
            format!("{start}{}", serde_json::json!(words))
        } else {
            format!("{start}{} {to}", sources.join(" "))
        };
        Step {
            line,
            makes: sure.then_some(to),
        }
    }

    /// A source by a variable: an argument's default, its value, or one of the image's environment.
    fn variable(&mut self, args: &mut BTreeMap<String, String>, rng: &mut Rng) -> Step {
        let folders = self.context.kept_folders();
        let folders: Vec<_> = folders.into_iter().filter(|f| !f.contains(' ')).collect();
        let (one, other) = (pick(rng, &folders).as_str(), pick(rng, &folders).as_str());
        let name = format!("DIR{}", self.count);
        let (declared, source) = match rng.u8(..6) {
            0 => {
                args.insert(name.clone(), other.to_owned());
                (format!("ARG {name}={one}"), format!("${{{name}}}"))
            }
            1 => {
                args.insert(name.clone(), other.to_owned());
                (format!("ARG {name}"), format!("./${name}/"))
            }
            2 => (format!("ARG {name}"), format!("${{{name}:-{one}}}")),
            3 => (format!("ARG {name}=x\nENV {name}={one}"), format!("${name}")),
            4 => (
                format!("ENV {name}={one}/deeper/still"),
                format!("${{{name}%/*/*}}"),
            ),
            _ => (format!("ARG {name}={one} AND=${name}"), "$AND".to_owned()),
        };
        let step = self.copy("COPY ", &[source], true);
        Step {
            line: format!("{declared}\n{}", step.line),
            makes: step.makes,
        }
    }

    fn parents(&mut self, rng: &mut Rng) -> Step {
        let file = pick(rng, &self.context.kept()).to_string();
        let (folder, name) = file.rsplit_once('/').unwrap_or((".", &file));
        let source = match rng.u8(..5) {
            0 => "**/*.go".to_owned(),
            1 => format!("./{folder}/./{name}"),
            2 => format!("{folder}/*.{}", name.rsplit('.').next().unwrap_or_default()),
            3 => "**/main.*".to_owned(),
            _ => file,
        };
        self.copy("COPY --parents ", &[source], false)
    }

    /// A command with something mounted; `from` is a stage with a folder that it has.
    pub(super) fn run(&mut self, from: Option<(&str, &str)>, rng: &mut Rng) -> Step {
        self.count += 1;
        let echo = format!("echo {} {}", self.tag, self.count);
        let folder = pick(rng, &self.context.kept_folders()).to_string();
        let file = pick(rng, &self.context.kept()).to_string();
        let mount = match (rng.u8(..8), from) {
            (0 | 1, Some((stage, folder))) => {
                format!("--mount=type=bind,from={stage},source={folder},target=/m ")
            }
            (2, _) => "--mount=type=bind,target=/m ".to_owned(),
            (3, _) if !file.contains(' ') => format!("--mount=target=/m,source={file} "),
            (4, _) => match self.named.first() {
                Some((name, _)) => format!("--mount=type=bind,from={name},target=/m "),
                None => String::new(),
            },
            (5, _) => String::new(),
            _ if folder.contains(' ') => String::new(),
            _ => format!("--mount=type=bind,source={folder},target=/m "),
        };
        let line = if chance(rng, 30) {
            format!("RUN {mount}<<EOF\n{echo}\nEOF")
        } else {
            format!("RUN {mount}{echo}")
        };
        Step { line, makes: None }
    }
}

/// Sources of a copy, and whether something is copied for sure.
fn some_sources(tree: &Tree, rng: &mut Rng) -> (Vec<String>, bool) {
    let (files, folders) = (tree.kept(), tree.kept_folders());
    let links: Vec<&String> = tree.links.iter().filter(|link| is_kept(link)).collect();
    let file = pick(rng, &files).to_string();
    let source = match rng.u8(..12) {
        0..3 => plain(file),
        3..6 => pick(rng, &folders).to_string(),
        6 if !links.is_empty() => pick(rng, &links).to_string(),
        7 => {
            let two = [file, pick(rng, &folders).to_string()];
            return (two.map(plain).to_vec(), true);
        }
        _ => return (vec![pattern(&file, rng)], false),
    };
    (vec![source], true)
}

/// Brackets would be a pattern's.
fn plain(path: String) -> String {
    path.replace('[', "\\[")
}

/// A pattern that a file matches, with others perhaps.
fn pattern(file: &str, rng: &mut Rng) -> String {
    let (folder, name) = file.rsplit_once('/').unwrap_or((".", file));
    let (stem, kind) = name.rsplit_once('.').unwrap_or((name, "txt"));
    let first = stem.chars().next().filter(|c| *c != '[').unwrap_or('?');
    let folder = plain(folder.to_owned());
    match rng.u8(..7) {
        0 => format!("{folder}/*.{kind}"),
        1 => format!("{folder}/{first}*"),
        2 if !folder.contains('/') && folder != "." => format!("*/{}.*", plain(stem.to_owned())),
        3 if first != '?' => format!("{folder}/[{first}q-t]*"),
        4 => format!("{folder}/[^0-9]*.{kind}"),
        5 => format!("{folder}/*"),
        _ => "*".to_owned(),
    }
}
