import { FINGERPRINT_BYTES, HASH_BYTES } from '../../base/call.js';
import type { CellWrite } from '../../base/delta.js';
import { type Random, randomBytes } from '../../base/random.js';
import type { HybridClock } from './hybrid-clock.js';
import type { PendingDeltas } from './pending-deltas.js';

export interface RightsOptions {
  readonly pending: PendingDeltas;
  readonly clock: HybridClock;
  readonly random: Random;
  readonly monotonicMs: () => number;
  /** Asks all others. */
  readonly ask: (keys: readonly string[]) => void;
}

/** Others are asked for the same cell this often at most, in milliseconds. */
const ASK_MS = 200;
/** Cells that rights are wanted of; for more others are not asked. */
const WANTED_MAX = 1000;
const KEY_BYTES = 16;

/** As it stands in logs. */
const PROCEDURE = 'rights';

/**
 * Moves rights of escrow counters to where they are used: a replica whose share is small asks the others, and each of them
 * gives half of what it has more (Balegas et al. 2015, "Extending Eventually Consistent Cloud Databases for Enforcing
 * Numeric Invariants"). What was given is gone at once, and had when it is merged: so the bound holds whoever is cut off.
 */
export class Rights {
  readonly #options: RightsOptions;
  readonly #wanted = new Set<string>();
  readonly #askedMs = new Map<string, number>();

  constructor(options: RightsOptions) {
    this.#options = options;
  }

  /** A call has looked at the cell. */
  looked(key: string): void {
    if (this.#wanted.size >= WANTED_MAX || !this.#options.pending.isShortOfRights(key)) return;
    this.#wanted.add(key);
  }

  tick(): void {
    if (this.#wanted.size === 0) return;
    const nowMs = this.#options.monotonicMs();
    const keys = [...this.#wanted].filter(
      (key) => nowMs - (this.#askedMs.get(key) ?? Number.NEGATIVE_INFINITY) >= ASK_MS,
    );
    this.#wanted.clear();
    if (keys.length === 0) return;
    if (this.#askedMs.size > WANTED_MAX) this.#askedMs.clear();
    for (const key of keys) this.#askedMs.set(key, nowMs);
    this.#options.ask(keys);
  }

  /** Another one is short of rights. */
  asked(origin: string, keys: readonly string[]): void {
    const { pending } = this.#options;
    const writes = keys.flatMap((key): CellWrite[] => {
      const by = pending.rightsToSpare(key, origin);
      return by === 0 ? [] : [{ key, change: { cell: 'escrow', type: 'give', by, to: origin } }];
    });
    if (writes.length === 0) return;
    const { clock, random } = this.#options;
    const key = randomBytes(random, KEY_BYTES);
    pending.make({
      ...clock.next(),
      ...{ key, isNamed: false, fingerprint: Buffer.alloc(FINGERPRINT_BYTES) },
      ...{ procedure: PROCEDURE, hash: '00'.repeat(HASH_BYTES), writes, result: 'null' },
    });
  }
}
