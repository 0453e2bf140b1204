//! Programs that check GitHub workflows. The lab does not need them.

use std::path::PathBuf;

use anyhow::Result;

use crate::cache::Cache;
use crate::{go, packages};

#[derive(Debug)]
pub struct Linters {
    pub zizmor: PathBuf,
    pub actionlint: PathBuf,
}

/// Installs the linters that are not in the cache yet: half a minute the first time.
pub fn linters() -> Result<Linters> {
    let cache = Cache::from_env()?;
    let _lock = cache.lock()?;
    Ok(Linters {
        zizmor: packages::zizmor(&cache)?.join("bin/zizmor"),
        actionlint: go::actionlint(&cache)?.join("actionlint"),
    })
}
