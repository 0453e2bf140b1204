//! Programs: buildx where there is none that is good enough, and this one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::buildx::release;
use crate::buildx::{Installed, PLUGIN};
use crate::commands::guard;
use crate::diagnosis::versions;
use crate::docker::PROGRAM;
use crate::download::{Source, download};
use crate::error_code::ErrorCode;
use crate::inputs::Programs;
use crate::machine::{Change, Places, Record, User};
use crate::problem::Problem;
use crate::report::{Report, say};
use crate::retry::Retrier;
use crate::{env, files, github};

/// Where programs are looked for whatever the PATH of whoever runs this is.
const USUAL: &str = "/usr/local/bin:/usr/bin:/bin";

/// What the user finds afterwards. Returns where this program is then.
pub(super) fn install(places: &Places, user: &User, wanted: &Programs) -> anyhow::Result<PathBuf> {
    let mut record = Record::read(&places.record)?;
    let is_new = record.add_user(&user.name)?;
    let installed =
        buildx(&mut record, places, user, wanted).and_then(|()| this_program(&mut record, places));
    if installed.is_err()
        && is_new
        && let Err(error) = forget(record, user)
    {
        say(&format!("could not clean up: {error:#}"));
    }
    installed
}

/// Takes away what nobody but this user has a use for. Whether that was anything.
pub(super) fn forget(mut record: Record, user: &User) -> anyhow::Result<bool> {
    let is_last = record.remove_user(&user.name)?;
    if is_last {
        record.undo()?;
    }
    Ok(is_last)
}

/// What is wrong with the user's own buildx, which comes before the machine's, only that user can mend.
pub(super) fn buildx_in_the_way(places: &Places, user: &User, wanted: &Programs) -> anyhow::Result<()> {
    let installed = Installed::look(Some(&user.docker_folder()), path(places).as_ref());
    let own = installed
        .plugin
        .filter(|plugin| plugin.starts_with(&places.plugins));
    match own {
        Some(own) if !printed(user, &own).is_ok_and(|printed| versions::is_recent_enough(&printed)) => {
            let mut record = Record::read(&places.record)?;
            buildx(&mut record, places, user, wanted)
        }
        _ => Ok(()),
    }
}

/// Brings back what [`buildx_in_the_way`] replaced.
pub(super) fn remove_in_the_way(user: &User) -> anyhow::Result<()> {
    let record = Record::read(&Places::of_user(user).record)?;
    // What the first half installed for this user it removes itself.
    if record.is_of_nobody() {
        record.undo()
    } else {
        Ok(())
    }
}

/// The plugin, and where there is no docker to call it, buildx by itself as well.
fn buildx(record: &mut Record, places: &Places, user: &User, wanted: &Programs) -> anyhow::Result<()> {
    // root reads no config of another user's, and looks at that user's plugin only where the machine has none.
    let own = user.is_current().then(|| user.docker_folder());
    let installed = Installed::look(own.as_deref(), path(places).as_ref());
    let users = user.docker_folder().join("cli-plugins").join(PLUGIN);
    let users = Some(&*users).filter(|plugin| own.is_none() && plugin.exists());
    let mut missing = Vec::new();
    if !there_already(user, installed.plugin.as_deref()) && !there_already(user, users) {
        missing.push(places.plugins.join(PLUGIN));
    }
    if installed.docker.is_none() && !there_already(user, installed.standalone.as_deref()) {
        missing.push(places.programs.join("buildx"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    let source = release::source(std::env::consts::ARCH, wanted.mirror.as_ref())?;
    let mut file = downloaded(&source, wanted.timeout)?;
    let works = |new: &Path| {
        version(user, new)
            .map(drop)
            .map_err(|error| not_buildx(&source, &error))
    };
    for path in missing {
        record.program(&path, &mut file, works)?;
        let version = version(user, &path)?;
        say(&format!("buildx {version}: installed as {}", path.display()));
    }
    Ok(())
}

fn there_already(user: &User, program: Option<&Path>) -> bool {
    let Some(program) = program else {
        return false;
    };
    let Ok(printed) = printed(user, program) else {
        // Of another architecture, or half of one.
        say(&format!("buildx: does not run, {}", program.display()));
        return false;
    };
    let version = printed.split_whitespace().nth(1).unwrap_or("of no version");
    let stays = versions::is_recent_enough(&printed);
    let judged = if stays { "was there already" } else { "is too old" };
    say(&format!("buildx {version}: {judged}, {}", program.display()));
    stays
}

fn version(user: &User, program: &Path) -> anyhow::Result<String> {
    let printed = printed(user, program)?;
    let version = printed.split_whitespace().nth(1);
    Ok(version.unwrap_or("of no version").to_owned())
}

/// As the user: whose it may be.
fn printed(user: &User, program: &Path) -> anyhow::Result<String> {
    let mut command = user.command(program);
    let output = user.output(command.arg("version"));
    let output = output.with_context(|| format!("running {} version", program.display()))?;
    ensure!(
        output.status.success(),
        "{} version: {}",
        program.display(),
        output.status
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The release, in a file without a name.
fn downloaded(source: &Source, within: Duration) -> anyhow::Result<File> {
    say(&format!("{}: downloading from {}", source.name, source.url));
    let file = nameless()?;
    let written = file.try_clone().context("sharing a temporary file")?;
    guard::block_on(async move {
        let retrier = Retrier::new(Instant::now() + within, Report::detail);
        download(source, &written, &retrier).await
    })?;
    Ok(file)
}

/// Its checksum is right: of what is for another architecture, say.
fn not_buildx(source: &Source, error: &anyhow::Error) -> anyhow::Error {
    let what = format!(
        "Downloaded {} from {}, ran it, and got: {error:#}.",
        source.name, source.url
    );
    Problem::new(ErrorCode::InstallFailed, what, source.remedy).into()
}

/// Made and unlinked: not every file system can make one without a name.
fn nameless() -> anyhow::Result<File> {
    let path = std::env::temp_dir().join(format!(".remote-buildkit-{}", files::random_hex()?));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options
        .open(&path)
        .with_context(|| format!("making {}", path.display()))?;
    std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    Ok(file)
}

/// This program, and docker's credential helper, which is a link to it. Where an image or a package has put both on the
/// PATH, they stay there.
fn this_program(record: &mut Record, places: &Places) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program's own path")?;
    let version = env!("CARGO_PKG_VERSION");
    let said = |how: &str, path: &Path| say(&format!("remote-buildkit {version}: {how}, {}", path.display()));
    if own.parent().is_some_and(on_path) && own.with_file_name(PROGRAM).exists() {
        said("was there already", &own);
        return Ok(own);
    }
    let mut content = File::open(&own).with_context(|| format!("opening {}", own.display()))?;
    let program = places.program();
    let change = record.program(&program, &mut content, |_| Ok(()))?;
    let link = record.link(&places.helper(), Path::new("remote-buildkit"))?;
    said(words(change), &program);
    if link != Change::AlreadyThere {
        say(&format!("{PROGRAM}: installed beside it"));
    }
    if !on_path(&places.programs) {
        // For the rest of a job that is the boot.
        github::add_path(&places.programs.to_string_lossy())?;
        say(&format!(
            "{} is not on the PATH here; docker looks for {PROGRAM} on that of a job",
            places.programs.display()
        ));
    }
    Ok(program)
}

fn on_path(folder: &Path) -> bool {
    std::env::split_paths(&path_of_environment()).any(|on_path| on_path == folder)
}

fn words(change: Change) -> &'static str {
    match change {
        Change::Made => "installed",
        Change::Renewed => "brought up to date",
        Change::AlreadyThere => "was there already",
    }
}

fn path_of_environment() -> std::ffi::OsString {
    env::raw(env::PATH).unwrap_or_else(|| USUAL.into())
}

/// The PATH, with what is usual on one and where programs are put.
pub(super) fn path(places: &Places) -> std::ffi::OsString {
    let own = path_of_environment();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&own).collect();
    folders.push(places.programs.clone());
    folders.extend(std::env::split_paths(USUAL));
    std::env::join_paths(folders).unwrap_or(own)
}
