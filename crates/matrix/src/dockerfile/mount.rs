//! The value of RUN's `--mount` (BuildKit's instructions/commands_runmount.go).

/// Its fields may hold variables, except for `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub kind: String,
    /// "" where it is not there.
    pub from: String,
    pub source: String,
}

pub fn parse(value: &str) -> Result<Mount, String> {
    let mut mount = Mount {
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
                    return Err("from of a mount takes no variable".into());
                }
                mount.from = value.into();
            }
            _ => (),
        }
    }
    Ok(mount)
}

/// The fields of a line of CSV.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => in_quotes(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(fields),
            None => return Err("a quote of a mount ends inside a field".into()),
        }
    }
}

/// A quoted field, where a pair of quotes is one, and what is after it.
fn in_quotes(text: &str) -> Result<(String, &str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or("a quote of a mount does not end")?;
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
