// Runs the binary built for this runner's architecture. The Actions runner can
// start JavaScript or a container, not a binary; this is all the JavaScript.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const ARCHITECTURES = ['x64', 'arm64'];
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const MESSAGES = {
  ENOENT: (binary) => `File not found: ${binary}. ` +
    'Use the action at a release tag. In a checkout of remote-buildkit, build the binary with `cargo xtask dist`.',
  EACCES: (binary) => `Cannot execute ${binary}: permission denied. ` +
    'Make the file executable (`chmod +x`), and check that its file system is not mounted with noexec.',
};

const annotate = (level, text) => {
  const escaped = text.replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A');
  console.log(`::${level} title=remote-buildkit::${escaped}`);
};
export const error = (text) => annotate('error', text);
export const warning = (text) => annotate('warning', text);

/** Runs `remote-buildkit COMMAND` and resolves to its exit code. If it cannot be started, prints the reason with `report`. */
export async function launch(command, report = error) {
  const { platform, arch } = process;
  if (platform !== 'linux' || !ARCHITECTURES.includes(arch)) {
    report(`remote-buildkit runs on Linux x64 and arm64; this runner is ${platform} ${arch}. ` +
      'Use a Linux runner for this job. It can build images for other platforms.');
    return 1;
  }
  const binary = fileURLToPath(new URL(`remote-buildkit-linux-${arch}`, import.meta.url));

  // The runner signals only this process, and kills it ten seconds later. With
  // spawnSync no handler would run, and the binary would outlive the step.
  let child;
  for (const signal of SIGNALS) process.on(signal, () => child?.kill(signal));

  return new Promise((resolve) => {
    const failed = ({ code, message }) => {
      report(MESSAGES[code]?.(binary) ?? `Cannot execute ${binary}: ${message}`);
      resolve(1);
    };
    try {
      child = spawn(binary, [command], { stdio: 'inherit' });
    } catch (cause) {
      return failed(cause);
    }
    child.on('error', failed);
    child.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}
