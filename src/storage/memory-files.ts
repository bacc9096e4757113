import type { Random } from '../base/random.js';
import type { Done, File, Files } from './files.js';
import { applyChange, type Change, GrowingBytes, Inode, tornPieces } from './memory-inode.js';

/** Hands a completion over: calls `complete` later, never within the call. */
export type Schedule = (complete: () => void) => void;

export type FaultyStep = 'write' | 'sync' | 'sync-folder' | 'rename' | 'remove' | 'open' | 'read';

/** One step that the simulated disk took; the place to crash is behind it. */
export interface DiskStep {
  readonly number: number;
  readonly step: FaultyStep | 'truncate';
  readonly path: string;
}

interface Fault {
  readonly step: FaultyStep;
  readonly code: string;
  skip: number;
}

/** One name that was set or removed and whose folder was not synced since. A rename is one of two. */
export interface NameChange {
  readonly folder: string;
  readonly names: readonly { readonly path: string; readonly inode: Inode | null }[];
}

/** What a power failure leaves of the things that were not synced. Asked once for each of {@link MemoryFiles.unsynced}. */
export interface CrashChoice {
  /** `kept`, `lost`, or torn: is the 512-byte sector with this number in the file kept? */
  data(path: string, change: Change): DataFate;
  keepsName(folder: string, change: NameChange): boolean;
}

export type DataFate = 'kept' | 'lost' | ((sector: number) => boolean);

/** Changes that a power failure now could lose, each by itself. */
export interface Unsynced {
  readonly data: readonly { readonly path: string; readonly change: Change }[];
  readonly names: readonly NameChange[];
}

export const LOSE_UNSYNCED: CrashChoice = { data: () => 'lost', keepsName: () => false };
export const KEEP_UNSYNCED: CrashChoice = { data: () => 'kept', keepsName: () => true };

/** Loses, keeps and tears as the dice fall. */
export function tearUnsynced(random: Random): CrashChoice {
  return {
    data: () => {
      const dice = random.int(4);
      if (dice === 0) return 'lost';
      if (dice === 1) return 'kept';
      return () => random.int(2) === 0;
    },
    keepsName: () => random.int(2) === 0,
  };
}

export interface MemoryFilesOptions {
  /** When the `…Later` calls come back; the simulator's choice. */
  readonly schedule: Schedule;
  /** Bytes on the disk beyond which writes fail with ENOSPC; none by default. */
  readonly capacityBytes?: number;
}

/**
 * A simulated disk. It knows what was synced: {@link crash} answers with the disk as a power failure
 * would leave it. Deterministic; it never calls back within a call. Folders themselves are durable
 * when made.
 */
export class MemoryFiles implements Files {
  readonly #options: MemoryFilesOptions;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #nameChanges: NameChange[] = [];
  readonly #folders = new Set<string>();
  #faults: Fault[] = [];
  #held: (() => void)[] | null = null;
  #halted = false;
  #steps = 0;
  /** Called after each step on the disk: a test crashes here. */
  onStep: (step: DiskStep) => void = () => {};
  capacityBytes: number;

  constructor(options: MemoryFilesOptions) {
    this.#options = options;
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
  }

  // ------------------------------------------------------------------ faults

  /** The disk of a machine that is off: calls throw, what was under way never comes back. */
  halt(): void {
    this.#halted = true;
  }

  /** Halts this disk and answers with what is on it when power returns. May be asked repeatedly. */
  crash(choice: CrashChoice, schedule: Schedule = this.#options.schedule): MemoryFiles {
    this.halt();
    return this.#after(choice, schedule);
  }

  /** The same disk once more, with everything synced, or as a {@link crash} would leave it; this one goes on. */
  copy(
    schedule: Schedule = this.#options.schedule,
    choice: CrashChoice = KEEP_UNSYNCED,
  ): MemoryFiles {
    return this.#after(choice, schedule);
  }

  #after(choice: CrashChoice, schedule: Schedule): MemoryFiles {
    const after = new MemoryFiles({ schedule, capacityBytes: this.capacityBytes });
    const names = new Map(this.#durableNames);
    for (const change of this.#nameChanges) {
      if (choice.keepsName(change.folder, change)) applyNames(names, change);
    }
    const copies = new Map<Inode, Inode>();
    for (const [path, inode] of names) {
      const copy = copies.get(inode) ?? crashInode(path, inode, choice);
      copies.set(inode, copy);
      after.#names.set(path, copy);
    }
    after.#durableNames = new Map(after.#names);
    for (const folder of this.#folders) after.#folders.add(folder);
    return after;
  }

  /**
   * The process is killed and the machine goes on: the next process sees all that was written, synced
   * or not, and it can still be lost in a {@link crash}.
   */
  kill(schedule: Schedule = this.#options.schedule): MemoryFiles {
    this.halt();
    const after = new MemoryFiles({ schedule, capacityBytes: this.capacityBytes });
    after.#names = this.#names;
    after.#durableNames = this.#durableNames;
    after.#nameChanges = this.#nameChanges;
    for (const folder of this.#folders) after.#folders.add(folder);
    return after;
  }

  /** The step fails once, after `skip` that succeed, with an error of this code. */
  failNext(step: FaultyStep, code: 'EIO' | 'ENOSPC' | 'EACCES', skip = 0): void {
    this.#faults.push({ step, code, skip });
  }

  /** Holds back all completions until {@link release}. */
  stall(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const complete of held) this.#options.schedule(complete);
  }

  /** Bit rot: what was synced changes under its owner. */
  flipBit(path: string, offset: number, bit = 0): void {
    const inode = this.#inode(path);
    for (const bytes of [inode.current, inode.durable]) {
      if (offset < bytes.length) bytes.flipBit(offset, bit);
    }
  }

  /** In the order in which they were made, file by file. */
  unsynced(): Unsynced {
    const paths = new Map<Inode, string>();
    for (const [path, inode] of [...this.#names, ...this.#durableNames]) paths.set(inode, path);
    const data = [...paths].flatMap(([{ pending }, path]) =>
      pending.map((change) => ({ path, change })),
    );
    return { data, names: [...this.#nameChanges] };
  }

  /** Steps taken on this disk so far. */
  get steps(): number {
    return this.#steps;
  }

  // ------------------------------------------------------------------ Files

  list(folder: string): string[] {
    this.#check();
    const names = new Set<string>();
    for (const path of [...this.#names.keys(), ...this.#folders]) {
      if (!path.startsWith(`${folder}/`)) continue;
      const [name] = path.slice(folder.length + 1).split('/');
      if (name !== undefined) names.add(name);
    }
    return [...names].sort();
  }

  makeFolder(folder: string): void {
    this.#check();
    this.#folders.add(folder);
  }

  syncFolder(folder: string): void {
    this.#step('sync-folder', folder, () => this.#syncNames(folder, this.#nameChanges.length));
  }

  syncFolderLater(folder: string, done: Done): void {
    const count = this.#nameChanges.length;
    this.#later('sync-folder', folder, done, () => this.#syncNames(folder, count));
  }

  exists(path: string): boolean {
    this.#check();
    return this.#names.has(path);
  }

  readWhole(path: string): Buffer {
    this.#check();
    const { current } = this.#inode(path);
    return current.read(0, current.length);
  }

  rename(from: string, to: string): void {
    this.#step('rename', from, () => {
      if (this.#isFolder(from)) return this.#renameFolder(from, to);
      const inode = this.#inode(from);
      this.#changeNames(to, [
        { path: from, inode: null },
        { path: to, inode },
      ]);
    });
  }

  remove(path: string): void {
    this.#step('remove', path, () => {
      this.#inode(path);
      this.#changeNames(path, [{ path, inode: null }]);
    });
  }

  removeFolderLater(folder: string, done: Done): void {
    this.#later('remove', folder, done, () => {
      const paths = [...this.#names.keys()].filter((path) => path.startsWith(`${folder}/`));
      for (const path of paths) this.#changeNames(path, [{ path, inode: null }]);
      // Folders are durable when made, and gone when removed.
      for (const each of this.#folders) {
        if (each === folder || each.startsWith(`${folder}/`)) this.#folders.delete(each);
      }
    });
  }

  open(path: string): File {
    this.#check();
    if (!this.#names.has(path)) {
      this.#step('open', path, () => this.#changeNames(path, [{ path, inode: new Inode() }]));
    }
    return this.#file(path, this.#inode(path));
  }

  // ------------------------------------------------------------------ inside

  #file(path: string, inode: Inode): File {
    const write = (position: number, chunks: readonly Uint8Array[]): void => {
      const bytes = Buffer.concat(chunks);
      const growth = position + bytes.length - inode.current.length;
      if (growth > 0 && this.usedBytes() + growth > this.capacityBytes) {
        throw failure('ENOSPC', path);
      }
      inode.change({ position, bytes });
    };
    return {
      path,
      size: () => inode.current.length,
      readAt: (position, length) => {
        this.#check();
        this.#takeFault('read', path);
        return inode.current.read(position, length);
      },
      readAtLater: (position, length, done) => {
        let bytes: Buffer = Buffer.alloc(0);
        const read = (): void => {
          bytes = inode.current.read(position, length);
        };
        this.#complete(() => done(this.#attempt('read', path, read), bytes));
      },
      writeAt: (position, chunks) => this.#step('write', path, () => write(position, chunks)),
      writeAtLater: (position, chunks, done) => {
        if (this.#halted) return;
        // In the cache at once: a crash before the completion may keep it, lose it or tear it.
        const error = this.#attempt('write', path, () => write(position, chunks));
        this.#complete(() => done(error));
      },
      truncate: (size) => this.#step('truncate', path, () => inode.change({ size })),
      sync: () => this.#step('sync', path, () => this.#sync(path, inode, inode.pending.length)),
      syncLater: (done) => {
        const { pending } = inode;
        const last = pending.at(-1);
        this.#later('sync', path, done, () => {
          // Only what was written before the call; another sync may have taken some of it already.
          this.#sync(path, inode, last === undefined ? 0 : inode.pending.indexOf(last) + 1);
        });
      },
      close: () => {},
    };
  }

  #sync(path: string, inode: Inode, count: number): void {
    try {
      this.#takeFault('sync', path);
    } catch (error) {
      inode.failSync(count);
      throw error;
    }
    inode.sync(count);
  }

  #check(): void {
    if (this.#halted) throw failure('EHALTED', 'the simulated machine is off');
  }

  #step(step: DiskStep['step'], path: string, act: () => void): void {
    this.#check();
    // What a sync that fails does to a file is said where it is begun.
    if (step !== 'truncate' && step !== 'sync') this.#takeFault(step, path);
    act();
    this.#steps += 1;
    this.onStep({ number: this.#steps, step, path });
  }

  /** As {@link #step}, with the failure as a value. */
  #attempt(step: FaultyStep, path: string, act: () => void): NodeJS.ErrnoException | null {
    try {
      if (step === 'read') {
        this.#takeFault(step, path);
        act();
      } else {
        this.#step(step, path, act);
      }
      return null;
    } catch (error) {
      return error as NodeJS.ErrnoException;
    }
  }

  #later(step: FaultyStep, path: string, done: Done, act: () => void): void {
    this.#complete(() => {
      const error = this.#attempt(step, path, act);
      // The step itself may have been the place of the crash.
      if (!this.#halted) done(error);
    });
  }

  #complete(complete: () => void): void {
    const unlessHalted = (): void => {
      if (!this.#halted) complete();
    };
    if (this.#held === null) this.#options.schedule(unlessHalted);
    else this.#held.push(unlessHalted);
  }

  #takeFault(step: FaultyStep, path: string): void {
    const fault = this.#faults.find((candidate) => candidate.step === step);
    if (fault === undefined) return;
    if (fault.skip > 0) {
      fault.skip -= 1;
      return;
    }
    this.#faults = this.#faults.filter((other) => other !== fault);
    throw failure(fault.code, path);
  }

  #isFolder(path: string): boolean {
    const hasFiles = (): boolean =>
      [...this.#names.keys()].some((name) => name.startsWith(`${path}/`));
    return !this.#names.has(path) && (this.#folders.has(path) || hasFiles());
  }

  /** One change of its names: after a crash all of it is under the old name, or all under the new one. */
  #renameFolder(from: string, to: string): void {
    const names: { path: string; inode: Inode | null }[] = [];
    for (const [path, inode] of this.#names) {
      if (!path.startsWith(`${from}/`)) continue;
      names.push({ path, inode: null }, { path: to + path.slice(from.length), inode });
    }
    this.#changeNames(to, names);
    // Empty ones are where they were last; others are where their files are.
    for (const each of [...this.#folders]) {
      if (each !== from && !each.startsWith(`${from}/`)) continue;
      this.#folders.delete(each);
      this.#folders.add(to + each.slice(from.length));
    }
  }

  #changeNames(path: string, names: NameChange['names']): void {
    const change = { folder: folderOf(path), names };
    applyNames(this.#names, change);
    this.#nameChanges.push(change);
  }

  #syncNames(folder: string, count: number): void {
    const left: NameChange[] = [];
    this.#nameChanges.forEach((change, index) => {
      if (index < count && change.folder === folder) applyNames(this.#durableNames, change);
      else left.push(change);
    });
    this.#nameChanges = left;
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw failure('ENOENT', path);
    return inode;
  }

  /** Of all files. */
  usedBytes(): number {
    let bytes = 0;
    for (const inode of this.#names.values()) bytes += inode.current.length;
    return bytes;
  }
}

function applyNames(names: Map<string, Inode>, change: NameChange): void {
  for (const { path, inode } of change.names) {
    if (inode === null) names.delete(path);
    else names.set(path, inode);
  }
}

function crashInode(path: string, inode: Inode, choice: CrashChoice): Inode {
  const bytes = GrowingBytes.copyOf(inode.durable);
  for (const change of inode.pending) {
    for (const piece of survivors(path, change, choice)) applyChange(bytes, piece);
  }
  return new Inode(bytes);
}

function survivors(path: string, change: Change, choice: CrashChoice): Change[] {
  const fate = choice.data(path, change);
  if (fate === 'lost') return [];
  if (fate === 'kept') return [change];
  // A change of size is one piece of metadata: there or not.
  if ('size' in change) return fate(0) ? [change] : [];
  return tornPieces(change, fate);
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

function failure(code: string, what: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
