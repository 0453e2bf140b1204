//! Copies programs of the host and their shared libraries into an image of the lab.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::archive::Layer;
use crate::command;

/// The programs that BuildKit's official image has from Alpine: git for contexts that are repositories, with `git submodule`,
/// which is a script; flock, which is in Alpine's busybox but not in Debian's.
const TOOLS: [&str; 3] = [
    "/usr/bin/flock",
    "/usr/bin/git",
    "/usr/lib/git-core/git-sh-i18n--envsubst",
];

const SCRIPTS: [&str; 3] = [
    "/usr/lib/git-core/git-submodule",
    "/usr/lib/git-core/git-sh-setup",
    "/usr/lib/git-core/git-sh-i18n",
];

/// Adds the tools, and the libraries that they and other programs in the layer need.
pub(crate) fn put_tools(layer: &mut Layer, others: &[&Path]) -> Result<()> {
    layer.dirs(&["usr/lib", "usr/lib/git-core"])?;
    for tool in TOOLS.iter().chain(&SCRIPTS) {
        layer.program(tool.trim_start_matches('/'), Path::new(tool))?;
    }
    put_libraries(layer, &[&TOOLS.map(Path::new), others].concat())
}

/// Adds the libraries that programs need, each once.
pub(crate) fn put_libraries(layer: &mut Layer, programs: &[&Path]) -> Result<()> {
    let mut needed = BTreeSet::new();
    for program in programs {
        needed.extend(libraries(program)?);
    }
    for library in needed {
        layer.program(library.trim_start_matches('/'), Path::new(&library))?;
    }
    Ok(())
}

/// Returns the shared libraries of a program, including its loader.
fn libraries(program: &Path) -> Result<Vec<String>> {
    Ok(paths(&command::output(Command::new("ldd").arg(program))?))
}

fn paths(ldd: &str) -> Vec<String> {
    ldd.split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_the_absolute_paths_ldd_prints() {
        let ldd = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n\t/lib64/ld-linux.so.2 (0x00007f)\n";
        assert_eq!(paths(ldd), ["/lib/libc.so.6", "/lib64/ld-linux.so.2"]);
    }
}
