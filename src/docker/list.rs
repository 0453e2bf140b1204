//! Edits a list of strings in docker's `config.json` as text, so that all other entries keep their bytes.

use std::ops::Range;

use serde_json::value::RawValue;

use super::entries::{Entries, InvalidConfig, quoted, with_entry, without_entry};

/// Returns the text with the item at the beginning of a list; `None` if the list has it already.
pub(super) fn with_item(text: &str, list: &str, item: &str) -> Result<Option<String>, InvalidConfig> {
    let item_text = quoted(item);
    let new_list = format!("[{item_text}]");
    // docker accepts an empty file as one without entries.
    if text.trim().is_empty() {
        return Ok(Some(format!("{{\"{list}\": {new_list}}}\n")));
    }
    let Some(at) = find(text, list)? else {
        let start = text.len() - text.trim_start().len();
        return Ok(Some(with_entry(
            text,
            &(start..text.trim_end().len()),
            list,
            &new_list,
        )));
    };
    if &text[at.clone()] == "null" {
        return Ok(Some(format!(
            "{}{new_list}{}",
            &text[..at.start],
            &text[at.end..]
        )));
    }
    let items = parse(text, &at, list)?;
    if items.iter().any(|existing| is(existing, item)) {
        return Ok(None);
    }
    let comma = if items.is_empty() { "" } else { ", " };
    let (before, after) = text.split_at(at.start + 1);
    Ok(Some(format!("{before}{item_text}{comma}{after}")))
}

/// Returns the text without the item. `list_existed`: whether the list existed before the item was added; it then
/// stays, even if it is empty.
pub(super) fn without_item(
    text: &str,
    list: &str,
    item: &str,
    list_existed: bool,
) -> Result<String, InvalidConfig> {
    let unchanged = || text.to_owned();
    let Some(at) = find(text, list)?.filter(|at| text[at.clone()].starts_with('[')) else {
        return Ok(unchanged());
    };
    let items = parse(text, &at, list)?;
    let Some(existing) = items.iter().find(|existing| is(existing, item)) else {
        return Ok(unchanged());
    };
    if items.len() == 1 && !list_existed {
        return Ok(without_entry(text, list, &at).unwrap_or_else(unchanged));
    }
    let start = existing.get().as_ptr() as usize - text.as_ptr() as usize;
    let (before, after) = (&text[..start], &text[start + existing.get().len()..]);
    Ok(match after.trim_start().strip_prefix(',') {
        // `with_item` wrote one space.
        Some(rest) => format!(
            "{before}{}",
            rest.strip_prefix(' ').unwrap_or_else(|| rest.trim_start())
        ),
        None => {
            let kept = before.trim_end();
            format!("{}{after}", kept.strip_suffix(',').unwrap_or(before))
        }
    })
}

/// Returns the position of the list.
fn find(text: &str, list: &str) -> Result<Option<Range<usize>>, InvalidConfig> {
    let entries = Entries::parse(text)?;
    Ok(entries.find(text, |name| name.eq_ignore_ascii_case(list)))
}

/// Parses the items of the list at `at`.
fn parse<'a>(text: &'a str, at: &Range<usize>, list: &str) -> Result<Vec<&'a RawValue>, InvalidConfig> {
    let items: Vec<&RawValue> =
        serde_json::from_str(&text[at.clone()]).map_err(|_| InvalidConfig::NotAList(list.into()))?;
    let is_string = |item: &&RawValue| item.get().starts_with('"') || item.get() == "null";
    if items.iter().all(is_string) {
        Ok(items)
    } else {
        Err(InvalidConfig::NotAList(list.into()))
    }
}

/// Returns whether an item of a list is this string. docker escapes other characters than serde does.
fn is(existing: &RawValue, item: &str) -> bool {
    serde_json::from_str::<String>(existing.get()).is_ok_and(|existing| existing == item)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "cliPluginsExtraDirs";

    #[test]
    fn other_items_keep_their_bytes() {
        for (text, expected) in [
            ("", "{\"cliPluginsExtraDirs\": [\"/job\"]}\n"),
            ("{}", "{\"cliPluginsExtraDirs\": [\"/job\"]}"),
            (
                "{ \"x\": 1e2 }\n",
                "{\"cliPluginsExtraDirs\": [\"/job\"],  \"x\": 1e2 }\n",
            ),
            (
                "{\"cliPluginsExtraDirs\": null}",
                "{\"cliPluginsExtraDirs\": [\"/job\"]}",
            ),
            (
                "{\"cliPluginsExtraDirs\": [ ]}",
                "{\"cliPluginsExtraDirs\": [\"/job\" ]}",
            ),
            (
                "{\"CliPluginsExtraDirs\": [\n\t\"/opt\" , \"/a\"] }",
                "{\"CliPluginsExtraDirs\": [\"/job\", \n\t\"/opt\" , \"/a\"] }",
            ),
        ] {
            let after = with_item(text, LIST, "/job")
                .expect("a config")
                .expect("a change");
            assert_eq!(after, expected, "{text:?}");
            assert_eq!(with_item(&after, LIST, "/job").expect("a config"), None);
            if !text.is_empty() && !text.contains("null") {
                let existed = text.contains('[');
                assert_eq!(
                    without_item(&after, LIST, "/job", existed).expect("a config"),
                    text
                );
            }
        }
    }

    #[test]
    fn an_item_is_removed_wherever_docker_writes_it() {
        for (text, expected) in [
            (
                "{\"cliPluginsExtraDirs\": [\"/a\", \"/job\"]}",
                "{\"cliPluginsExtraDirs\": [\"/a\"]}",
            ),
            (
                "{\"cliPluginsExtraDirs\": [\n\t\"/a\",\n\t\"/job\",\n\t\"/b\"\n]}",
                "{\"cliPluginsExtraDirs\": [\n\t\"/a\",\n\t\"/b\"\n]}",
            ),
            (
                "{\"cliPluginsExtraDirs\": [\"\\u002fjob\"], \"x\": 1}",
                "{\"x\": 1}",
            ),
            (
                "{\"cliPluginsExtraDirs\": [\"/other\"]}",
                "{\"cliPluginsExtraDirs\": [\"/other\"]}",
            ),
            (
                "{\"cliPluginsExtraDirs\": null}",
                "{\"cliPluginsExtraDirs\": null}",
            ),
            ("{}", "{}"),
        ] {
            assert_eq!(
                without_item(text, LIST, "/job", false).expect("a config"),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_value_that_is_not_a_list_is_an_error() {
        for text in [
            "{\"cliPluginsExtraDirs\": {}}",
            "{\"cliPluginsExtraDirs\": [1]}",
            "{\"cliPluginsExtraDirs\": \"/a\"}",
        ] {
            let error = with_item(text, LIST, "/job").expect_err(text).to_string();
            assert_eq!(error, "its `cliPluginsExtraDirs` is not a list of strings");
        }
    }
}
