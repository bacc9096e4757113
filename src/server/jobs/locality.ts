import { crc32 } from 'node:zlib';
import type { Job } from '../../statemachine/jobs/job.js';

/** Pieces side by side that one replica is to read, rather than several. */
const PIECES_TOGETHER = 16;

/**
 * Which replica is to read which pieces of a range of keys, if it has time: as long as the same replicas are there, the same one, so that
 * a job over keys that another job has read, and a task that is run again, finds them in the caches of that replica. All replicas
 * have all keys: read elsewhere they take longer at most, and nobody waits for one replica while another one is idle.
 */
export class Locality {
  /** In order: whoever leads finds the same. */
  readonly #homes: readonly string[];
  /** By job: a number of where its range begins. */
  readonly #begins = new Map<Job, number>();

  /** @param homes of the replicas whose sandboxes can be given something */
  constructor(homes: Iterable<string>) {
    this.#homes = [...new Set(homes)].sort();
  }

  /** Tasks, beyond those that there is room for, among which it is worth while to choose. */
  ahead(job: Job): number {
    const { length } = this.#homes;
    return job.spec.input.type === 'range' && length > 1 ? 2 * PIECES_TOGETHER * length : 0;
  }

  /** `null`: it is the same wherever the task runs. */
  homeOf(
    job: Job,
    { stage, ordinal }: { readonly stage: number; readonly ordinal: number },
  ): string | null {
    const { input } = job.spec;
    const spec = job.stageSpec(stage);
    if (input.type !== 'range' || spec === null || this.#homes.length < 2) return null;
    if (spec.where !== 'sandbox' || !spec.after.includes(0)) return null;
    const place = this.#beginOf(job, input.from) + Math.floor(ordinal / PIECES_TOGETHER);
    return this.#homes[place % this.#homes.length] ?? null;
  }

  #beginOf(job: Job, from: Uint8Array): number {
    const begin = this.#begins.get(job) ?? crc32(from);
    this.#begins.set(job, begin);
    return begin;
  }
}
