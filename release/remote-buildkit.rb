# The release fills in the version and the checksums. Copy the file of a release into a tap.
class RemoteBuildkit < Formula
  desc "Builds container images on BuildKit agents in your own Kubernetes cluster"
  homepage "https://github.com/org/remote-buildkit"
  version "VERSION"
  license "Apache-2.0"

  on_macos do
    on_arm do
      url "https://github.com/org/remote-buildkit/releases/download/vVERSION/remote-buildkit-macos-arm64.tar.gz"
      sha256 "SHA256_MACOS_ARM64"
    end
    on_intel do
      url "https://github.com/org/remote-buildkit/releases/download/vVERSION/remote-buildkit-macos-x64.tar.gz"
      sha256 "SHA256_MACOS_X64"
    end
  end

  on_linux do
    on_arm do
      url "https://github.com/org/remote-buildkit/releases/download/vVERSION/remote-buildkit-linux-arm64.tar.gz"
      sha256 "SHA256_LINUX_ARM64"
    end
    on_intel do
      url "https://github.com/org/remote-buildkit/releases/download/vVERSION/remote-buildkit-linux-x64.tar.gz"
      sha256 "SHA256_LINUX_X64"
    end
  end

  def install
    bin.install "remote-buildkit"
    generate_completions_from_executable(bin/"remote-buildkit", "completions")
    man1.mkpath
    system bin/"remote-buildkit", "man", man1
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/remote-buildkit --version")
  end
end
