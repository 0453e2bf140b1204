//! From an instruction's line to its parts (BuildKit's parser/split_command.go, parser/line_parsers.go and
//! instructions/parse.go), as far as they say what a build reads.

mod flags;
mod words;

use serde_json::Value;

use super::SyntaxFault;
use super::lines::{self, Line};
use super::mount;
use flags::Flags;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    From {
        base: String,
        name: Option<String>,
    },
    /// Names, with their defaults.
    Arg(Vec<(String, Option<String>)>),
    Env(Vec<(String, String)>),
    Copy(Copy),
    /// The mounts of a RUN.
    Run(Vec<mount::Mount>),
    Onbuild(Box<Instruction>),
    /// One that reads nothing and sets nothing.
    Other,
}

/// COPY or ADD. Its values may hold variables, except for `from` and `excludes`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copy {
    /// ADD takes URLs too.
    pub is_add: bool,
    /// A stage, a named context or an image; "" is the build's context.
    pub from: String,
    pub parents: bool,
    pub excludes: Vec<String>,
    /// Without the here-documents.
    pub sources: Vec<String>,
}

/// A line split into its keyword, its flags and the rest.
struct Split {
    keyword: String,
    flags: Flags,
    rest: String,
}

impl Split {
    fn new(text: &str, escape: char) -> Split {
        let text = text.trim();
        let (keyword, rest) = text.split_once(words::is_space).unwrap_or((text, ""));
        let (flags, rest) = Flags::split(rest.trim_start_matches(words::is_space), escape);
        Split {
            keyword: keyword.to_ascii_lowercase(),
            flags,
            rest: rest.trim().to_owned(),
        }
    }
}

pub fn parse(line: &Line, escape: char) -> Result<Instruction, SyntaxFault> {
    parse_text(&line.text, escape).map_err(|what| SyntaxFault::new(line.number, what))
}

fn parse_text(text: &str, escape: char) -> Result<Instruction, String> {
    let Split {
        keyword,
        mut flags,
        rest,
    } = Split::new(text, escape);
    let instruction = match keyword.as_str() {
        "from" => {
            flags.one("platform")?;
            from(&rest)?
        }
        "arg" => Instruction::Arg(arguments(&rest, escape)?),
        "env" => Instruction::Env(pairs(&rest, escape)?),
        "copy" | "add" => Instruction::Copy(copy(&mut flags, &rest, keyword == "add")?),
        "run" => {
            let mounts = flags.all("mount")?;
            for name in ["network", "security"] {
                flags.one(name)?;
            }
            flags.all("device")?;
            json_words(&rest)?;
            Instruction::Run(
                mounts
                    .iter()
                    .map(|mount| mount::parse(mount))
                    .collect::<Result<_, _>>()?,
            )
        }
        "onbuild" => {
            let inner = Split::new(&rest, escape);
            if matches!(inner.keyword.as_str(), "" | "onbuild" | "from" | "maintainer") {
                return Err("ONBUILD wants another instruction after it".into());
            }
            Instruction::Onbuild(Box::new(parse_text(&rest, escape)?))
        }
        "cmd" | "entrypoint" | "expose" | "healthcheck" | "label" | "maintainer" | "shell" | "stopsignal"
        | "user" | "volume" | "workdir" => return Ok(Instruction::Other),
        _ => return Err(format!("unknown instruction: {keyword}")),
    };
    flags.finish()?;
    Ok(instruction)
}

/// Whether here-documents may follow the line.
pub fn may_have_heredocs(text: &str, escape: char) -> bool {
    let mut split = Split::new(text, escape);
    if split.keyword == "onbuild" {
        split = Split::new(&split.rest, escape);
    }
    matches!(split.keyword.as_str(), "add" | "copy" | "run")
        && !matches!(json_words(&split.rest), Ok(Some(_)))
}

/// The words of a JSON array; `None` where it is not JSON.
fn json_words(rest: &str) -> Result<Option<Vec<String>>, String> {
    if !rest.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<Value>>(rest) else {
        return Ok(None);
    };
    let word = |value| match value {
        Value::String(word) => Ok(word),
        _ => Err("an array may hold strings only".to_owned()),
    };
    values.into_iter().map(word).collect::<Result<_, _>>().map(Some)
}

fn from(rest: &str) -> Result<Instruction, String> {
    let words: Vec<&str> = words::by_spaces(rest).collect();
    match words.as_slice() {
        [base] => Ok(Instruction::From {
            base: (*base).into(),
            name: None,
        }),
        [base, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            let lower = name.to_lowercase();
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
            if !lower.starts_with(|c: char| c.is_ascii_lowercase()) || !lower.chars().all(fits) {
                return Err(format!("{name} cannot be the name of a stage"));
            }
            Ok(Instruction::From {
                base: (*base).into(),
                name: Some(lower),
            })
        }
        _ => Err("FROM wants an image, or an image, AS, and a name".into()),
    }
}

fn arguments(rest: &str, escape: char) -> Result<Vec<(String, Option<String>)>, String> {
    let argument = |word: String| match word.split_once('=') {
        Some(("", _)) => Err("ARG wants a name before =".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
        None => Ok((word, None)),
    };
    let arguments: Vec<_> = words::quoted(rest, escape)
        .into_iter()
        .map(argument)
        .collect::<Result<_, _>>()?;
    if arguments.is_empty() {
        Err("ARG wants a name".into())
    } else {
        Ok(arguments)
    }
}

/// `name=value …`, or the older `name value`.
fn pairs(rest: &str, escape: char) -> Result<Vec<(String, String)>, String> {
    let words = words::quoted(rest, escape);
    let Some(first) = words.first() else {
        return Err("ENV wants a name and a value".into());
    };
    if !first.contains('=') {
        let (name, value) = rest
            .split_once(words::is_space)
            .ok_or("ENV wants a name and a value")?;
        return Ok(vec![(
            name.to_owned(),
            value.trim_start_matches(words::is_space).to_owned(),
        )]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err("ENV wants a name before =".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(format!("ENV wants name=value instead of {word}")),
    };
    words.iter().map(pair).collect()
}

fn copy(flags: &mut Flags, rest: &str, is_add: bool) -> Result<Copy, String> {
    let keyword = if is_add { "ADD" } else { "COPY" };
    let mut copy = Copy {
        is_add,
        excludes: flags.all("exclude")?,
        ..Copy::default()
    };
    let ignored: &[&str] = if is_add {
        &["chown", "chmod", "checksum"]
    } else {
        &["chown", "chmod"]
    };
    for name in ignored {
        flags.one(name)?;
    }
    flags.switch("link")?;
    if is_add {
        flags.switch("keep-git-dir")?;
        flags.switch("unpack")?;
    } else {
        copy.from = flags.one("from")?.unwrap_or_default();
        copy.parents = flags.switch("parents")?;
    }
    let mut words = match json_words(rest)? {
        Some(words) => words,
        None => words::by_spaces(rest).map(str::to_owned).collect(),
    };
    let destination = words.pop();
    if words.is_empty() || destination.is_none_or(|word| lines::is_heredoc(&word)) {
        return Err(format!("{keyword} wants a source and a destination"));
    }
    words.retain(|word| !lines::is_heredoc(word));
    copy.sources = words;
    Ok(copy)
}
