import { randomBytes } from 'node:crypto';
import { assert } from '../../base/assert.js';
import { type Clock, systemClock } from '../../base/clock.js';
import type { Failpoints } from '../../base/failpoints.js';
import { noFailpoints } from '../../base/failpoints.js';
import type { Limits } from '../../base/limits.js';
import type { DiskWrite, Entry, LogIndex, LogPosition } from '../../raft/types.js';
import { LOG_START } from '../../raft/types.js';
import { toFolderError } from '../disk-error.js';
import type { Files } from '../files.js';
import type { LogStore, LogStoreStats, RestoredLog } from '../log-store.js';
import { type EntryRange, readEntries, readEntriesLater } from './entry-reader.js';
import { LogImage } from './log-image.js';
import { RecentEntries } from './recent-entries.js';
import { type RecoveredWal, recoverWal } from './recovery.js';
import { createSegment, type SegmentPlan } from './segment.js';
import type { WalRepair } from './tail.js';
import { WalWriter } from './wal-writer.js';

export interface WalOptions {
  readonly folder: string;
  readonly files: Files;
  readonly limits: Pick<Limits, 'walSegmentBytes' | 'logCacheBytesMax'>;
  readonly failpoints?: Failpoints;
  readonly clock?: Clock;
  /** Start value of a new log's checksums, 32 bits; random by default. */
  readonly salt?: number;
}

/** Memory that an entry in the tail takes beside its payload. */
const ENTRY_OVERHEAD_BYTES = 64;

/** The write-ahead log: the Raft log and the hard state in segmented files (see `format.ts`). */
export class Wal implements LogStore {
  readonly restored: RestoredLog;
  /** What had to be cut off the end when it was opened; fit for the log of the server. */
  readonly repairs: readonly WalRepair[];
  readonly #image: LogImage;
  readonly #writer: WalWriter;
  readonly #clock: Clock;
  readonly #recent = new RecentEntries();

  /**
   * Opens the log in the folder, or makes one.
   * @throws BalsaError `WAL_CORRUPT`, `VERSION_UNSUPPORTED`, `DISK_FULL`, `DISK_FAILED`,
   *   `DATA_FOLDER_UNUSABLE`
   */
  static open(options: WalOptions): Wal {
    const { files, folder } = options;
    try {
      const recovered = recoverWal(files, folder);
      const salt = recovered?.salt ?? options.salt ?? randomBytes(4).readUInt32LE();
      const plan: SegmentPlan = {
        files,
        folder,
        salt,
        failpoints: options.failpoints ?? noFailpoints,
        segmentBytes: options.limits.walSegmentBytes,
      };
      return Wal.#over(recovered ?? createWal(plan), options, plan);
    } catch (error) {
      throw toFolderError(error, folder);
    }
  }

  /** The files are closed if it cannot be read any more. */
  static #over(recovered: RecoveredWal, options: WalOptions, plan: SegmentPlan): Wal {
    try {
      return new Wal(options, plan, recovered);
    } catch (error) {
      for (const segment of [...recovered.segments, ...recovered.spares]) segment.drop();
      throw error;
    }
  }

  private constructor(options: WalOptions, plan: SegmentPlan, recovered: RecoveredWal) {
    this.#clock = options.clock ?? systemClock;
    this.#image = recovered.image;
    this.#image.salt = recovered.salt;
    this.repairs = recovered.repairs;
    this.restored = {
      hardState: this.#image.hardState,
      logStart: this.#image.logStart,
      terms: [...this.#image.terms],
      lastIndex: this.#image.last.index,
      tail: readTail(this.#image, options.limits.logCacheBytesMax),
      configurationEntries: recovered.configurationEntries,
    };
    this.#writer = new WalWriter({
      plan,
      recovered,
      clock: this.#clock,
      onWritten: (jobs) => this.#recent.forgetJobs(jobs),
    });
  }

  append(write: DiskWrite, done: (error: Error | null) => void): void {
    const [first] = write.entries;
    if (first !== undefined) {
      assert(first.index > this.#start.index, 'entries are appended behind the start of the log');
      assert(first.index <= this.#lastIndex + 1, 'entries are appended without gaps');
    }
    this.#recent.addJob(write.entries);
    this.#writer.submit({ write, logStart: null, isReset: false, done });
  }

  read(range: EntryRange, done: (error: Error | null, entries: readonly Entry[]) => void): void {
    const { fromIndex } = range;
    assert(fromIndex <= range.toIndex, 'at least one entry is asked for');
    const toIndex = Math.min(range.toIndex, this.#lastIndex);
    if (fromIndex <= this.#start.index || fromIndex > toIndex) {
      this.#clock.defer(() => done(null, []));
      return;
    }
    const recentFirst = this.#recent.first;
    // As they are now: what is appended or cut while the disk reads is not seen.
    const recent = this.#recent.slice(fromIndex, toIndex);
    if (recentFirst !== null && fromIndex >= recentFirst) {
      this.#clock.defer(() => done(null, withinBytes([], recent, range.bytesMax)));
      return;
    }
    const diskTo = recentFirst === null ? toIndex : Math.min(toIndex, recentFirst - 1);
    const onDisk = { fromIndex, toIndex: diskTo, bytesMax: range.bytesMax };
    readEntriesLater(this.#image, onDisk, (error, entries) => {
      const isWhole = entries.at(-1)?.index === diskTo;
      const more = error === null && isWhole ? recent : [];
      done(error, withinBytes(entries, more, range.bytesMax));
    });
  }

  /** Whole segments before `position` are deleted. The state before it must be synced elsewhere. */
  compactTo(position: LogPosition, done: (error: Error | null) => void): void {
    assert(position.index >= this.#start.index, 'the start of the log only grows');
    assert(position.index <= this.#writer.durableIndex, 'the log is cut behind what is durable');
    this.#recent.addStart(position);
    this.#writer.submit({ write: null, logStart: position, isReset: false, done });
  }

  resetTo(position: LogPosition, done: (error: Error | null) => void): void {
    const isBehindStart = position.index > this.#start.index;
    const isReset = isBehindStart && !this.#holds(position);
    if (isReset) this.#recent.addReset(position);
    else if (isBehindStart) this.#recent.addStart(position);
    else this.#recent.addJob([]);
    this.#writer.submit({ write: null, logStart: isBehindStart ? position : null, isReset, done });
  }

  stats(): LogStoreStats {
    const { segments, durableIndex, syncs, lastSyncMs, maxSyncMs } = this.#writer;
    return {
      lastIndex: this.#lastIndex,
      durableIndex,
      bytes: segments.reduce((sum, segment) => sum + segment.end, 0),
      segments: segments.length,
      syncs,
      lastSyncMs,
      maxSyncMs,
    };
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#writer.close(resolve));
  }

  /** With what was submitted and is not yet written. */
  get #lastIndex(): LogIndex {
    return this.#recent.last ?? this.#image.last.index;
  }

  get #start(): LogPosition {
    return this.#recent.start ?? this.#image.logStart;
  }

  #holds(position: LogPosition): boolean {
    const { first, isReset } = this.#recent;
    if (position.index > this.#lastIndex) return false;
    if (first !== null && position.index >= first) {
      return this.#recent.termAt(position.index) === position.term;
    }
    return !isReset && this.#image.holds(position);
  }
}

function createWal(plan: SegmentPlan): RecoveredWal {
  plan.files.makeFolder(plan.folder);
  return {
    salt: plan.salt,
    image: new LogImage(LOG_START),
    segments: [createSegment(plan, 1)],
    spares: [],
    nextSequence: 1,
    configurationEntries: [],
    repairs: [],
  };
}

/** The newest entries, as many as fit. */
function readTail(image: LogImage, bytesMax: number): Entry[] {
  const lastIndex = image.last.index;
  let fromIndex = lastIndex + 1;
  let bytes = 0;
  while (fromIndex - 1 > image.floor.index) {
    bytes += image.placeOf(fromIndex - 1).byteLength + ENTRY_OVERHEAD_BYTES;
    if (bytes > bytesMax) break;
    fromIndex -= 1;
  }
  return fromIndex > lastIndex ? [] : readEntries(image, fromIndex, lastIndex);
}

/** `entries`, and as many of `more` as fit; at least one in all. */
function withinBytes(
  entries: readonly Entry[],
  more: readonly Entry[],
  bytesMax: number,
): readonly Entry[] {
  let bytes = entries.reduce((sum, entry) => sum + entry.payload.byteLength, 0);
  let count = 0;
  for (const entry of more) {
    bytes += entry.payload.byteLength;
    if (bytes > bytesMax && entries.length + count > 0) break;
    count += 1;
  }
  return count === 0 ? entries : [...entries, ...more.slice(0, count)];
}
