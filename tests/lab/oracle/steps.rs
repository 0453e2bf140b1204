//! Generates random instructions that read a context.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::tree::{Tree, chance, is_kept, pick};

/// An instruction, and the directory that certainly exists after it.
#[derive(Debug)]
pub(super) struct DockerfileStep {
    pub(super) line: String,
    pub(super) creates: Option<String>,
}

/// Generates the steps of one Dockerfile.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    pub(super) context: &'a Tree,
    /// The named contexts that are directories.
    pub(super) named: Vec<(String, &'a Tree)>,
    /// The first part of every destination.
    pub(super) tag: String,
    /// The number of instructions so far.
    pub(super) count: usize,
}

impl Steps<'_> {
    /// Returns the instructions that a stage needs to use the tag.
    pub(super) fn declared(&self) -> Vec<String> {
        let variable = self.tag.starts_with('$');
        variable.then(|| "ARG TAG".to_owned()).into_iter().collect()
    }

    /// Returns a new destination.
    fn destination(&mut self) -> String {
        self.count += 1;
        format!("/{}/{}/", self.tag, self.count)
    }

    pub(super) fn copy_from(&mut self, from: &str, dir: &str) -> DockerfileStep {
        let to = self.destination();
        DockerfileStep {
            line: format!("COPY --from={from} {dir} {to}"),
            creates: Some(to),
        }
    }

    /// Generates an instruction that needs no shell.
    pub(super) fn random_step(
        &mut self,
        args: &mut BTreeMap<String, String>,
        rng: &mut Rng,
    ) -> DockerfileStep {
        if !self.named.is_empty() && chance(rng, 40) {
            let (name, tree) = pick(rng, &self.named).clone();
            let (sources, certain) = random_sources(tree, rng);
            return self.copy(&format!("COPY --from={name} "), &sources, certain);
        }
        match rng.u8(..20) {
            0 => {
                let to = self.destination();
                let text = format!("COPY <<EOF {to}here\ntext {}\nEOF", self.count);
                DockerfileStep {
                    line: text,
                    creates: Some(to),
                }
            }
            1..4 => self.copy_variable(args, rng),
            4 | 5 => {
                let dir = pick(rng, &self.context.kept_dirs()).to_string();
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
                self.copy(&format!("COPY --exclude={exclude} "), &[dir], false)
            }
            6 | 7 => self.copy_parents(rng),
            8 => {
                let (sources, certain) = random_sources(self.context, rng);
                let flag = pick(rng, &["--chmod=0755", "--chown=7:7", "--link"]);
                self.copy(&format!("COPY {flag} "), &sources, certain)
            }
            9 => {
                let (sources, certain) = random_sources(self.context, rng);
                self.copy("ADD ", &sources, certain)
            }
            10 => self.copy("COPY ", &[".".into()], true),
            _ => {
                let (sources, certain) = random_sources(self.context, rng);
                self.copy("COPY ", &sources, certain)
            }
        }
    }

    /// Generates a copy. `certain`: whether the sources certainly match a file.
    fn copy(&mut self, start: &str, sources: &[String], certain: bool) -> DockerfileStep {
        let to = self.destination();
        let line = if sources.iter().any(|source| source.contains(' ')) {
            let mut words = sources.to_vec();
            words.push(to.clone());
            format!("{start}{}", serde_json::json!(words))
        } else {
            format!("{start}{} {to}", sources.join(" "))
        };
        DockerfileStep {
            line,
            creates: certain.then_some(to),
        }
    }

    /// Generates a copy whose source is a variable: the default or the value of an argument, or a variable of the
    /// image's environment.
    fn copy_variable(&mut self, args: &mut BTreeMap<String, String>, rng: &mut Rng) -> DockerfileStep {
        let dirs = self.context.kept_dirs();
        let dirs: Vec<_> = dirs.into_iter().filter(|f| !f.contains(' ')).collect();
        let (one, other) = (pick(rng, &dirs).as_str(), pick(rng, &dirs).as_str());
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
        DockerfileStep {
            line: format!("{declared}\n{}", step.line),
            creates: step.creates,
        }
    }

    /// Generates a copy with `--parents`.
    fn copy_parents(&mut self, rng: &mut Rng) -> DockerfileStep {
        let file = pick(rng, &self.context.kept()).to_string();
        let (dir, name) = file.rsplit_once('/').unwrap_or((".", &file));
        let source = match rng.u8(..5) {
            0 => "**/*.go".to_owned(),
            1 => format!("./{dir}/./{name}"),
            2 => format!("{dir}/*.{}", name.rsplit('.').next().unwrap_or_default()),
            3 => "**/main.*".to_owned(),
            _ => file,
        };
        self.copy("COPY --parents ", &[source], false)
    }

    /// Generates a command with a mount. `from` is a stage, and a directory that certainly exists in it.
    pub(super) fn run(&mut self, from: Option<(&str, &str)>, rng: &mut Rng) -> DockerfileStep {
        self.count += 1;
        let echo = format!("echo {} {}", self.tag, self.count);
        let dir = pick(rng, &self.context.kept_dirs()).to_string();
        let file = pick(rng, &self.context.kept()).to_string();
        let mount = match (rng.u8(..8), from) {
            (0 | 1, Some((stage, dir))) => {
                format!("--mount=type=bind,from={stage},source={dir},target=/m ")
            }
            (2, _) => "--mount=type=bind,target=/m ".to_owned(),
            (3, _) if !file.contains(' ') => format!("--mount=target=/m,source={file} "),
            (4, _) => match self.named.first() {
                Some((name, _)) => format!("--mount=type=bind,from={name},target=/m "),
                None => String::new(),
            },
            (5, _) => String::new(),
            _ if dir.contains(' ') => String::new(),
            _ => format!("--mount=type=bind,source={dir},target=/m "),
        };
        let line = if chance(rng, 30) {
            format!("RUN {mount}<<EOF\n{echo}\nEOF")
        } else {
            format!("RUN {mount}{echo}")
        };
        DockerfileStep { line, creates: None }
    }
}

/// Returns random sources of a copy, and whether they certainly match a file.
fn random_sources(tree: &Tree, rng: &mut Rng) -> (Vec<String>, bool) {
    let (files, dirs) = (tree.kept(), tree.kept_dirs());
    let links: Vec<&String> = tree.links.iter().filter(|link| is_kept(link)).collect();
    let file = pick(rng, &files).to_string();
    let source = match rng.u8(..12) {
        0..3 => escape_brackets(file),
        3..6 => pick(rng, &dirs).to_string(),
        6 if !links.is_empty() => pick(rng, &links).to_string(),
        7 => {
            let two = [file, pick(rng, &dirs).to_string()];
            return (two.map(escape_brackets).to_vec(), true);
        }
        _ => return (vec![pattern(&file, rng)], false),
    };
    (vec![source], true)
}

/// Escapes brackets, which would be read as a pattern.
fn escape_brackets(path: String) -> String {
    path.replace('[', "\\[")
}

/// Returns a pattern that matches the file, and may match others.
fn pattern(file: &str, rng: &mut Rng) -> String {
    let (dir, name) = file.rsplit_once('/').unwrap_or((".", file));
    let (stem, kind) = name.rsplit_once('.').unwrap_or((name, "txt"));
    let first = stem.chars().next().filter(|c| *c != '[').unwrap_or('?');
    let dir = escape_brackets(dir.to_owned());
    match rng.u8(..7) {
        0 => format!("{dir}/*.{kind}"),
        1 => format!("{dir}/{first}*"),
        2 if !dir.contains('/') && dir != "." => format!("*/{}.*", escape_brackets(stem.to_owned())),
        3 if first != '?' => format!("{dir}/[{first}q-t]*"),
        4 => format!("{dir}/[^0-9]*.{kind}"),
        5 => format!("{dir}/*"),
        _ => "*".to_owned(),
    }
}
