import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Failpoints } from '../../src/base/failpoints.js';
import type { Done, File, Files } from '../../src/storage/files.js';
import { NodeFiles } from '../../src/storage/node-files.js';

/**
 * The disk of this machine under `root`, for work that leans on the real LevelDB. It stops behind each step
 * that goes through the file layer, and at each failpoint; what LevelDB writes by itself happens in between.
 * At such a stop it can be written down what the machine would find after the process was killed (all that
 * was written) or after a power failure (only what was synced, of data and of names).
 */
export class WatchedDisk {
  readonly #root: string;
  readonly #real = new NodeFiles();
  /** Content when it was last synced, of files by path. A rename takes it along. */
  #syncedData = new Map<string, Buffer>();
  /** Names in a folder when it was last synced. */
  #syncedNames = new Map<string, ReadonlySet<string>>();
  onStep: (what: string) => void = () => {};

  constructor(root: string) {
    this.#root = root;
  }

  get failpoints(): Failpoints {
    return { hit: (name) => this.onStep(name) };
  }

  get files(): Files {
    const real = this.#real;
    const step = (what: string, path: string, act: () => void): void => {
      act();
      this.onStep(`${what} ${path.slice(this.#root.length + 1)}`);
    };
    const later =
      (what: string, path: string, done: Done, act: () => void = () => {}): Done =>
      (error) => {
        if (error === null) act();
        try {
          this.onStep(`${what} ${path.slice(this.#root.length + 1)}`);
        } catch (thrown) {
          return done(thrown as NodeJS.ErrnoException);
        }
        done(error);
      };
    return {
      list: (folder) => real.list(folder),
      exists: (path) => real.exists(path),
      readWhole: (path) => real.readWhole(path),
      makeFolder: (folder) =>
        step('make folder', folder, () => {
          real.makeFolder(folder);
          this.#nameSynced(folder);
        }),
      syncFolder: (folder) =>
        step('sync folder', folder, () => {
          real.syncFolder(folder);
          this.#namesSynced(folder);
        }),
      syncFolderLater: (folder, done) =>
        real.syncFolderLater(
          folder,
          later('sync folder', folder, done, () => this.#namesSynced(folder)),
        ),
      rename: (from, to) =>
        step('rename', to, () => {
          real.rename(from, to);
          this.#renamed(from, to);
        }),
      remove: (path) => step('remove', path, () => real.remove(path)),
      removeFolderLater: (folder, done) =>
        real.removeFolderLater(folder, later('remove folder', folder, done)),
      open: (path) => this.#watched(real.open(path), step, later),
    };
  }

  #watched(
    file: File,
    step: (what: string, path: string, act: () => void) => void,
    later: (what: string, path: string, done: Done, act?: () => void) => Done,
  ): File {
    const { path } = file;
    return {
      path,
      size: () => file.size(),
      readAt: (position, length) => file.readAt(position, length),
      readAtLater: (position, length, done) => file.readAtLater(position, length, done),
      writeAt: (position, chunks) => step('write', path, () => file.writeAt(position, chunks)),
      writeAtLater: (position, chunks, done) =>
        file.writeAtLater(position, chunks, later('write', path, done)),
      truncate: (size) => step('truncate', path, () => file.truncate(size)),
      sync: () =>
        step('sync', path, () => {
          file.sync();
          this.#dataSynced(path);
        }),
      syncLater: (done) => file.syncLater(later('sync', path, done, () => this.#dataSynced(path))),
      close: () => file.close(),
    };
  }

  #dataSynced(path: string): void {
    this.#syncedData.set(path, readFileSync(path));
  }

  #namesSynced(folder: string): void {
    this.#syncedNames.set(folder, new Set(readdirSync(folder)));
  }

  /** Of the folder itself, within its parent: other names there are not synced by that for sure. */
  #nameSynced(folder: string): void {
    const parent = dirname(folder);
    const known = this.#syncedNames.get(parent) ?? new Set<string>();
    this.#syncedNames.set(parent, new Set([...known, folder.slice(parent.length + 1)]));
  }

  #renamed(from: string, to: string): void {
    const move = <T>(map: Map<string, T>): Map<string, T> =>
      new Map(
        [...map].map(([path, value]) =>
          path === from || path.startsWith(`${from}/`)
            ? [to + path.slice(from.length), value]
            : [path, value],
        ),
      );
    this.#syncedData = move(this.#syncedData);
    this.#syncedNames = move(this.#syncedNames);
  }

  /** What is under `root` now goes to `target`, but for what a power failure would take. */
  copy(target: string, keeps: 'all' | 'synced'): void {
    this.#copyFolder(this.#root, target, keeps);
  }

  #copyFolder(from: string, to: string, keeps: 'all' | 'synced'): void {
    mkdirSync(to, { recursive: true });
    for (const name of readdirSync(from)) {
      const path = join(from, name);
      const isNameLost = keeps === 'synced' && this.#syncedNames.get(from)?.has(name) !== true;
      // The name of what lies under the root is what the test asks for, kept or not.
      if (isNameLost && from !== this.#root) continue;
      if (statSync(path).isDirectory()) this.#copyFolder(path, join(to, name), keeps);
      else if (keeps === 'all') copyFileSync(path, join(to, name));
      else writeFileSync(join(to, name), this.#syncedData.get(path) ?? Buffer.alloc(0));
    }
  }
}

export function emptyFolder(path: string): void {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
}
