import fs from 'node:fs';
import { z } from 'zod';
import { BalsaError } from '../base/errors.js';

const STEPS = ['write', 'sync', 'open', 'rename', 'remove', 'read'] as const;
export type DiskFaultStep = (typeof STEPS)[number];

const faultsSchema = z.strictObject({
  /** What is written stays in memory until it is synced: a kill loses it, as a power failure would. Looked at once, at the start. */
  losesUnsynced: z.boolean().default(false),
  /** Each sync takes so much longer, in milliseconds. */
  syncDelayMs: z.number().int().nonnegative().default(0),
  errors: z
    .array(
      z.strictObject({
        /** Of two with the same id the later one counts as the same fault, gone on. */
        id: z.number().int(),
        step: z.enum(STEPS),
        code: z.enum(['EIO', 'ENOSPC']),
        /** Only files whose path has this in it. */
        path: z.string().default(''),
        /** How often; `null`: as long as it is there. */
        times: z.number().int().positive().nullable().default(1),
      }),
    )
    .default([]),
});

/** What the file of faults says. */
export type DiskFaultSettings = z.input<typeof faultsSchema>;
type Settings = z.output<typeof faultsSchema>;

/**
 * The faults of a disk as a file tells them, which a test writes anew (in one step, by a rename) while the replica runs. It
 * is looked at before each step on the disk.
 */
export class DiskFaults {
  readonly #path: string;
  readonly #used = new Map<number, number>();
  #seen = '';
  #settings: Settings = faultsSchema.parse({});

  constructor(path: string) {
    this.#path = path;
    this.#refresh();
  }

  get losesUnsynced(): boolean {
    return this.#settings.losesUnsynced;
  }

  get syncDelayMs(): number {
    this.#refresh();
    return this.#settings.syncDelayMs;
  }

  /** The error that this step fails with; `null`: it does not. */
  errorOf(step: DiskFaultStep, path: string): NodeJS.ErrnoException | null {
    this.#refresh();
    for (const error of this.#settings.errors) {
      if (error.step !== step || !path.includes(error.path)) continue;
      const used = this.#used.get(error.id) ?? 0;
      if (error.times !== null && used >= error.times) continue;
      this.#used.set(error.id, used + 1);
      const message = `${error.code}: injected into ${step} of ${path}`;
      return Object.assign(new Error(message), { code: error.code, path });
    }
    return null;
  }

  #refresh(): void {
    const stat = fs.statSync(this.#path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    const version = `${stat.ino} ${stat.mtimeMs} ${stat.size}`;
    if (version === this.#seen) return;
    try {
      this.#settings = faultsSchema.parse(JSON.parse(fs.readFileSync(this.#path, 'utf8')));
    } catch (cause) {
      throw new BalsaError('CONFIG_INVALID', `${this.#path} does not tell the faults of a disk`, {
        cause,
      });
    }
    this.#seen = version;
  }
}
