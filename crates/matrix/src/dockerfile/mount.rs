//! Parses the value of RUN's `--mount` (BuildKit's instructions/commands_runmount.go).

use super::error::DockerfileErrorKind;

/// A mount of a RUN instruction. The fields may contain variables, except `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMount {
    pub kind: String,
    /// "" if there is none.
    pub from: String,
    pub source: String,
}

/// Parses a mount.
pub fn parse(value: &str) -> Result<RunMount, DockerfileErrorKind> {
    let mut mount = RunMount {
        kind: "bind".into(),
        from: String::new(),
        source: String::new(),
    };
    for field in fields(value)? {
        let Some((key, value)) = field.split_once('=') else {
            continue;
        };
        match key.to_lowercase().as_str() {
            "type" => mount.kind = value.into(),
            "source" | "src" => mount.source = value.into(),
            "from" => {
                if value.find('$').is_some_and(|at| at + 1 != value.len()) {
                    return Err(DockerfileErrorKind::VariableInMountFrom);
                }
                mount.from = value.into();
            }
            _ => (),
        }
    }
    Ok(mount)
}

/// Splits a line of CSV into fields.
fn fields(line: &str) -> Result<Vec<String>, DockerfileErrorKind> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(fields),
            None => return Err(DockerfileErrorKind::TextAfterMountQuote),
        }
    }
}

/// Returns a quoted field, in which two quotes stand for one, and the text after it.
fn quoted_field(text: &str) -> Result<(String, &str), DockerfileErrorKind> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest
            .split_once('"')
            .ok_or(DockerfileErrorKind::UnterminatedMountQuote)?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, after)),
        }
    }
}
