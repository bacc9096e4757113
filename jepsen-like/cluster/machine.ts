import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** What this machine has for faults that go beyond signals and proxies. */
export interface Machine {
  readonly isRoot: boolean;
  /** The library that lies about the time; `null`: it is not there. */
  readonly fakeTimeLibrary: string | null;
  readonly strace: boolean;
  readonly ip: boolean;
  readonly iptables: boolean;
  /** File systems of a bounded size can be mounted. */
  readonly tmpfs: boolean;
}

const FAKE_TIME = /^libfaketime\.so\.1$/;
const LIBRARY_FOLDERS = ['/usr/lib', '/usr/lib64', '/usr/local/lib'];

export function lookAtMachine(): Machine {
  const isRoot = process.getuid?.() === 0;
  return {
    isRoot,
    fakeTimeLibrary: findFakeTime(),
    strace: has('strace', '-V'),
    ip: has('ip', '-V'),
    iptables: has('iptables', '--version'),
    tmpfs: isRoot && process.platform === 'linux' && has('mount', '--version'),
  };
}

function findFakeTime(): string | null {
  if (process.platform !== 'linux') return null;
  const folders = LIBRARY_FOLDERS.filter((folder) => existsSync(folder)).flatMap((folder) => [
    `${folder}/faketime`,
    ...readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name.includes('linux-gnu'))
      .map((entry) => `${folder}/${entry.name}/faketime`),
  ]);
  for (const folder of folders.filter((path) => existsSync(path))) {
    const found = readdirSync(folder).find((name) => FAKE_TIME.test(name));
    if (found !== undefined) return `${folder}/${found}`;
  }
  return null;
}

function has(command: string, argument: string): boolean {
  try {
    execFileSync(command, [argument], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Whether a library is in the memory of a process. */
export function hasLoaded(pid: number, library: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/maps`, 'utf8').includes(library);
  } catch {
    // It has ended meanwhile.
    return false;
  }
}
