#!/bin/sh
# Installs remote-buildkit: downloads the archive of a release, compares its checksum and installs the program.
#
#   curl -fsSL https://github.com/org/remote-buildkit/releases/latest/download/install.sh | sh
#
# Variables:
#   VERSION       a release such as v1.2.3; the newest one if it is not set
#   INSTALL_DIR   the directory for the program: /usr/local/bin if this user can write to it, or else ~/.local/bin
#   BASE_URL      a mirror of https://github.com/org/remote-buildkit/releases with the same paths
set -eu

program=remote-buildkit
base_url=${BASE_URL:-https://github.com/org/remote-buildkit/releases}
version=${VERSION:-latest}

# Prints an error: what was tried and came back, then what to do.
fail() {
  printf 'error: %s\n%s\n' "$1" "$2" >&2
  exit 1
}

has() {
  command -v "$1" >/dev/null 2>&1
}

# Prints the name of the archive for this machine.
archive() {
  system=$(uname -s)
  machine=$(uname -m)
  case $system in
    Linux) os=linux ;;
    Darwin) os=macos ;;
    *) fail "There is no $program for the operating system $system." \
      "Use Linux, macOS, or on Windows the Windows Subsystem for Linux." ;;
  esac
  case $machine in
    x86_64 | amd64) arch=x64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) fail "There is no $program for the processor $machine." "Use a machine with an x64 or arm64 processor." ;;
  esac
  # A shell that Rosetta translates reports x86_64.
  if [ "$os-$arch" = macos-x64 ] && [ "$(sysctl -n sysctl.proc_translated 2>/dev/null || echo 0)" = 1 ]; then
    arch=arm64
  fi
  echo "$program-$os-$arch.tar.gz"
}

# Downloads the URL $1 to the file $2.
download() {
  if has curl; then
    why=$(curl -fsSL --retry 3 --connect-timeout 20 -o "$2" "$1" 2>&1) && return
  elif has wget; then
    why=$(wget -q -O "$2" "$1" 2>&1) && return
    why=${why:-wget failed}
  else
    fail "Neither curl nor wget is installed." "Install one of them."
  fi
  fail "Downloaded $1 and got: $why" \
    "Check VERSION ($version), this machine's access to the host, and its proxy; or set BASE_URL to a mirror."
}

# Prints the SHA-256 checksum of the file $1.
checksum() {
  if has sha256sum; then
    sha256sum "$1" | cut -d ' ' -f 1
  else
    shasum -a 256 "$1" | cut -d ' ' -f 1
  fi
}

main() {
  case $version in
    latest) from=$base_url/latest/download ;;
    v*) from=$base_url/download/$version ;;
    *) fail "VERSION is $version, which is not the name of a release." "Set it to a release such as v1.2.3." ;;
  esac
  archive=$(archive)
  has sha256sum || has shasum || fail "Neither sha256sum nor shasum is installed, so the archive cannot be verified." \
    "Install one of them."

  if [ -n "${INSTALL_DIR:-}" ]; then
    dir=$INSTALL_DIR
  elif [ -w /usr/local/bin ]; then
    dir=/usr/local/bin
  else
    dir=$HOME/.local/bin
  fi

  temporary=$(mktemp -d)
  trap 'rm -rf "$temporary"' EXIT
  trap 'exit 1' HUP INT TERM
  download "$from/SHA256SUMS" "$temporary/SHA256SUMS"
  download "$from/$archive" "$temporary/$archive"

  expected=$(awk -v file="$archive" '$2 == file || $2 == "*" file { print $1 }' "$temporary/SHA256SUMS")
  [ -n "$expected" ] || fail "$from/SHA256SUMS has no checksum of $archive." \
    "Set VERSION to a release with an archive for this machine."
  found=$(checksum "$temporary/$archive")
  [ "$found" = "$expected" ] || fail \
    "The checksum of $from/$archive is $found, and SHA256SUMS has $expected. Nothing was installed." \
    "Run this again. If it persists, find out what changes the file: a proxy, or the mirror of BASE_URL."

  tar -xzf "$temporary/$archive" -C "$temporary" "$program"
  mkdir -p "$dir" 2>/dev/null && [ -w "$dir" ] || fail "This user cannot write to $dir." \
    "Set INSTALL_DIR to another directory, or run this as a user who can."
  # The rename replaces a program that runs.
  cp "$temporary/$program" "$dir/.$program.new"
  chmod 755 "$dir/.$program.new"
  mv -f "$dir/.$program.new" "$dir/$program"
  echo "Installed $dir/$program: $("$dir/$program" --version | head -n 1)"
  case :$PATH: in
    *:"$dir":*) ;;
    *) echo "Add $dir to your PATH." ;;
  esac
}

# Called at the end, so that a script that was cut off does nothing.
main
