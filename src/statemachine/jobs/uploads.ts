import { ADOPTED_UPLOADS } from '../../base/command-versions.js';
import { BalsaError } from '../../base/errors.js';
import type { JobUploadOperation } from '../../base/job.js';
import { unpackItemChunk } from '../../base/job-codec.js';
import { fromNameKey, jobKeys, UPLOADS_FROM, UPLOADS_TO } from '../layout.js';
import { loadRecords } from '../load-records.js';
import { Refusal } from '../refusal.js';
import type { StateStore } from '../state-store.js';
import { decodeUpload, encodeUpload, type UploadRecord } from './job-records.js';
import type { StagedRecords } from './staged-records.js';

/** Part of what the log means, as `SessionBounds`. */
export interface UploadBounds {
  readonly uploadsMax: number;
  readonly uploadBytesMax: number;
  readonly uploadKeptMs: number;
}

/**
 * What is too large for one log entry comes in chunks, before what refers to it: a list of inputs, or the result of a task. Once
 * something refers to all of its chunks they are that one's; until then they are nobody's, and are removed when no chunk has come
 * for a while.
 */
export class Uploads {
  readonly #records: StagedRecords;
  readonly #bounds: UploadBounds;
  readonly #uploads = new Map<string, UploadRecord>();

  private constructor(records: StagedRecords, bounds: UploadBounds) {
    this.#records = records;
    this.#bounds = bounds;
  }

  static async load(
    store: StateStore,
    records: StagedRecords,
    bounds: UploadBounds,
  ): Promise<Uploads> {
    const uploads = new Uploads(records, bounds);
    await loadRecords(store, { from: UPLOADS_FROM, to: UPLOADS_TO }, (storeKey, bytes) => {
      uploads.#uploads.set(fromNameKey(storeKey), decodeUpload(bytes));
    });
    return uploads;
  }

  get size(): number {
    return this.#uploads.size;
  }

  /**
   * @throws Refusal `UPLOAD_INCOMPLETE` (a chunk before it is not there), `INVALID_ARGUMENT` (a job has chunks of that name),
   *   `OVERLOADED`, `JOB_LIMIT`
   */
  add(
    { upload, place, bytes }: JobUploadOperation,
    { timeMs, version }: { readonly timeMs: number; readonly version: number },
  ): void {
    const known = this.#uploads.get(upload);
    if (known === undefined && version >= ADOPTED_UPLOADS) this.#refuseAdopted(upload);
    const { chunks = 0, bytes: before = 0 } = known ?? {};
    if (place !== chunks) {
      throw new Refusal(
        'UPLOAD_INCOMPLETE',
        `chunk ${place} of upload ${upload} came where chunk ${chunks} is due: it is removed when nobody goes on with it`,
        { chunks },
      );
    }
    const { uploadsMax, uploadBytesMax, uploadKeptMs } = this.#bounds;
    if (known === undefined && this.#uploads.size >= uploadsMax) {
      throw new Refusal('OVERLOADED', `${uploadsMax} uploads are under way (uploadsMax)`, {
        retryAfterMs: 1000,
      });
    }
    const total = before + bytes.byteLength;
    if (total > uploadBytesMax) {
      throw new Refusal('JOB_LIMIT', `the upload has more than ${uploadBytesMax} bytes`, {
        ...{ limit: 'uploadBytesMax', max: uploadBytesMax },
      });
    }
    this.#records.set(jobKeys.uploadChunk(upload, place), Uint8Array.from(bytes));
    this.#set(upload, { chunks: chunks + 1, bytes: total, untilMs: timeMs + uploadKeptMs });
  }

  #refuseAdopted(upload: string): void {
    if (this.#records.get(jobKeys.uploadChunk(upload, 0)) === undefined) return;
    throw new Refusal(
      'INVALID_ARGUMENT',
      `the chunks of upload ${upload} belong to a job: choose another name for this one`,
      { upload },
    );
  }

  /**
   * All of its chunks belong to something else from now on.
   * @throws Refusal `UPLOAD_INCOMPLETE`
   */
  adopt(upload: string, chunks: number): void {
    const found = this.#uploads.get(upload)?.chunks ?? 0;
    if (found !== chunks || chunks === 0) {
      throw new Refusal(
        'UPLOAD_INCOMPLETE',
        `${found} chunks of upload ${upload} are there, and not ${chunks}`,
        { chunks: found },
      );
    }
    this.#uploads.delete(upload);
    this.#records.set(jobKeys.upload(upload), null);
  }

  /** Of those whose time is over at `nowMs`, the first one by name. */
  overdue(nowMs: number): string | null {
    let first: string | null = null;
    for (const [upload, { untilMs }] of this.#uploads) {
      if (untilMs <= nowMs && (first === null || upload < first)) first = upload;
    }
    return first;
  }

  /**
   * Removes chunks of one that nobody wants, the last ones first.
   * @returns how many, at most `max`
   */
  remove(upload: string, max: number): number {
    const known = this.#uploads.get(upload);
    if (known === undefined) return 0;
    const left = Math.max(0, known.chunks - max);
    this.removeChunks(upload, { from: left, to: known.chunks });
    if (left > 0) this.#set(upload, { ...known, chunks: left });
    else {
      this.#uploads.delete(upload);
      this.#records.set(jobKeys.upload(upload), null);
    }
    return known.chunks - left;
  }

  /** Of one that was adopted. */
  removeChunks(upload: string, { from, to }: { readonly from: number; readonly to: number }): void {
    for (let place = from; place < to; place += 1) {
      this.#records.set(jobKeys.uploadChunk(upload, place), null);
    }
  }

  #set(upload: string, record: UploadRecord): void {
    this.#uploads.set(upload, record);
    this.#records.set(jobKeys.upload(upload), encodeUpload(record));
  }
}

/**
 * Items of a chunk of an input, JSON of each. Nobody has looked into it before: it is as its client has made it.
 *
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function uploadedItems(
  bytes: Uint8Array,
  { upload, place, count }: { upload: string; place: number; count: number },
): readonly string[] {
  const items = itemsOrNull(bytes);
  if (items?.length === count) return items;
  const found = items === null ? 'is no list of items in msgpack' : `has ${items.length} items`;
  throw new BalsaError(
    'INVALID_ARGUMENT',
    `the input of the job was uploaded wrongly: chunk ${place} of upload ${upload} ${found}, and the job says that it has ${count}`,
    { details: { upload, place } },
  );
}

function itemsOrNull(bytes: Uint8Array): readonly string[] | null {
  try {
    return unpackItemChunk(bytes);
  } catch (error) {
    if (error instanceof BalsaError && error.code === 'FRAME_INVALID') return null;
    throw error;
  }
}
