import { assert } from '../base/assert.js';
import { BalsaError } from '../base/errors.js';
import type { Failpoints } from '../base/failpoints.js';
import { toDiskError } from './disk-error.js';
import type { Files } from './files.js';
import { markerKey, markerValue } from './flush-markers.js';
import { ImportCheck } from './import-check.js';
import { type Database, openDatabase, syncDatabase } from './level-database.js';
import { toLevelError } from './level-errors.js';
import { removeFolder } from './remove-folder.js';
import type { SnapshotChunk, SnapshotEnd, SnapshotHeader, StateImport } from './snapshot.js';
import { withChecksum } from './value-checksum.js';

export interface LevelImportOptions {
  /** Empty or missing. */
  readonly folder: string;
  readonly files: Files;
  readonly failpoints: Failpoints;
}

/** A snapshot on its way into a LevelDB of its own. Calls may overlap; they are done one by one. */
export class LevelImport implements StateImport {
  readonly header: SnapshotHeader;
  readonly folder: string;
  readonly #options: LevelImportOptions;
  readonly #database: Database;
  readonly #check = new ImportCheck();
  #isGivenUp = false;
  /** The end of all that was asked for. */
  #queue: Promise<void> = Promise.resolve();
  #state: 'open' | 'finished' | 'ended' = 'open';

  static async begin(header: SnapshotHeader, options: LevelImportOptions): Promise<LevelImport> {
    return new LevelImport(header, options, await openDatabase(options.folder));
  }

  private constructor(header: SnapshotHeader, options: LevelImportOptions, database: Database) {
    this.header = header;
    this.folder = options.folder;
    this.#options = options;
    this.#database = database;
  }

  get chunks(): number {
    return this.#check.chunks;
  }

  /** All of it is durable, and the database is closed. */
  get isFinished(): boolean {
    return this.#state === 'finished';
  }

  /** Nothing more is taken in. */
  get isGivenUp(): boolean {
    return this.#isGivenUp;
  }

  write(chunk: SnapshotChunk): Promise<void> {
    return this.#enqueue(async () => {
      this.#checkOpen('open');
      const { pairs, accept } = this.#check.read(chunk);
      this.#options.failpoints.hit('snapshot.before-chunk');
      const batch = this.#database.batch();
      for (const [key, value] of pairs) batch.put(key as Buffer, withChecksum(key, value));
      await batch.write();
      accept();
      this.#options.failpoints.hit('snapshot.after-chunk');
    });
  }

  finish(end: SnapshotEnd): Promise<void> {
    return this.#enqueue(async () => {
      if (this.#state === 'finished') return this.#check.finish(end);
      this.#checkOpen('open');
      this.#check.finish(end);
      const { failpoints, files } = this.#options;
      failpoints.hit('snapshot.before-finish');
      await this.#database.put(markerKey(1), markerValue(1, this.header.position.index));
      await syncDatabase(this.#database);
      // Under its new name it must be opened anew.
      await this.#database.close();
      files.syncFolder(this.folder);
      this.#state = 'finished';
      failpoints.hit('snapshot.after-finish');
    });
  }

  abandon(): Promise<void> {
    this.#isGivenUp = true;
    return this.#enqueue(async () => {
      if (this.#state === 'ended') return;
      this.#state = 'ended';
      await this.#database.close();
      await removeFolder(this.#options.files, this.folder);
    });
  }

  /** It has become the state: it is no import any more. */
  end(): void {
    assert(this.#state === 'finished', 'only a finished import becomes the state');
    this.#state = 'ended';
  }

  #checkOpen(state: 'open'): void {
    if (this.#state === state) return;
    throw new BalsaError('SHUTTING_DOWN', 'the import was given up');
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(work).catch((error) => {
      if (error instanceof BalsaError) throw error;
      const isDisk = (error as NodeJS.ErrnoException).code?.startsWith('LEVEL_') !== true;
      throw isDisk ? toDiskError(error, this.folder) : toLevelError(error, this.folder);
    });
    this.#queue = done.catch(() => {});
    return done;
  }
}
