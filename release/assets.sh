#!/bin/sh
# Makes the files of a release: archives, checksums, the formula for Homebrew and install.sh.
#
#   release/assets.sh VERSION OWNER/REPOSITORY BINARIES DIRECTORY
#
# BINARIES has remote-buildkit-linux-x64, -linux-arm64, -macos-x64 and -macos-arm64.
set -eu
version=$1
repository=$2
binaries=$3
out=$4
here=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$out"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
cp "$here/../LICENSE" "$stage/LICENSE"
chmod 644 "$stage/LICENSE"
for platform in linux-x64 linux-arm64 macos-x64 macos-arm64; do
  cp "$binaries/remote-buildkit-$platform" "$stage/remote-buildkit"
  chmod 755 "$stage/remote-buildkit"
  touch -t 202001010000 "$stage/remote-buildkit" "$stage/LICENSE"
  # Without owner, order and time of the machine that runs this, so that anyone gets the same archive from the same files.
  tar --owner=0 --group=0 --numeric-owner --format=ustar -C "$stage" -cf - LICENSE remote-buildkit |
    gzip -9n >"$out/remote-buildkit-$platform.tar.gz"
done

checksum() {
  sha256sum "$out/remote-buildkit-$1.tar.gz" | cut -d ' ' -f 1
}
sed -e "s|org/remote-buildkit|$repository|g" "$here/install.sh" >"$out/install.sh"
sed -e "s|org/remote-buildkit|$repository|g" -e "s|VERSION|${version#v}|g" \
  -e "s|SHA256_LINUX_X64|$(checksum linux-x64)|" -e "s|SHA256_LINUX_ARM64|$(checksum linux-arm64)|" \
  -e "s|SHA256_MACOS_X64|$(checksum macos-x64)|" -e "s|SHA256_MACOS_ARM64|$(checksum macos-arm64)|" \
  "$here/remote-buildkit.rb" >"$out/remote-buildkit.rb"
cd "$out"
sha256sum install.sh remote-buildkit* >SHA256SUMS
