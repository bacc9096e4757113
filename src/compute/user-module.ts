import { readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type BuildFailure, build } from 'esbuild';
import { BalsaError } from '../base/errors.js';
import { authoring } from './authoring.js';

/** A module of a user as Node can load it. */
export interface UserModule {
  readonly url: string;
  /** Takes away what was made of it. */
  remove(): void;
}

const SUFFIX = '.balsa.mjs';

/**
 * A module of TypeScript or JavaScript for this process or its children, not for the sandbox: what it imports of packages and of
 * Node is there. What is made of it lies beside it, so that packages are found from there.
 *
 * @throws BalsaError `FILE_INVALID`: it cannot be compiled; `FILE_UNREADABLE`: nothing can be written beside it
 */
export async function compileUserModule(file: string): Promise<UserModule> {
  const path = resolve(file);
  removeLeft(path);
  const outfile = join(dirname(path), `.${basename(path)}.${process.pid}${SUFFIX}`);
  const remove = (): void => rmSync(outfile, { force: true });
  try {
    await build({
      ...{ entryPoints: [path], outfile, bundle: true, packages: 'external', platform: 'node' },
      ...{ format: 'esm', target: 'node20', logLevel: 'silent', plugins: [authoring] },
      sourcemap: 'inline',
    });
  } catch (cause) {
    remove();
    const { errors } = cause as Partial<BuildFailure>;
    const [first] = errors ?? [];
    if (first === undefined) throw cause;
    const { location, text } = first;
    const where = location === null ? file : `${location.file}:${location.line}`;
    const code = /permission|read-only/i.test(text) ? 'FILE_UNREADABLE' : 'FILE_INVALID';
    throw new BalsaError(code, `${where}: ${text}`, { cause });
  }
  return { url: pathToFileURL(outfile).href, remove };
}

/** What processes have made of the same module that were killed, and could not take it away. */
function removeLeft(path: string): void {
  const begin = `.${basename(path)}.`;
  for (const name of namesIn(dirname(path))) {
    if (!name.startsWith(begin) || !name.endsWith(SUFFIX)) continue;
    const pid = name.slice(begin.length, -SUFFIX.length);
    if (/^\d+$/.test(pid) && !isAlive(Number(pid)))
      rmSync(join(dirname(path), name), { force: true });
  }
}

/** Nothing where the folder cannot be read: to compile the module says more of it. */
function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Alive, and of somebody else.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
