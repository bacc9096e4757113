import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { BalsaError } from '../base/errors.js';
import type { Limits } from '../base/limits.js';
import type { Random } from '../base/random.js';
import { SNAPSHOT_FORMAT, type SnapshotHeader } from '../base/snapshot-codec.js';
import { packConfiguration } from '../raft/configuration-codec.js';
import type { Configuration, LogIndex, Term } from '../raft/types.js';
import type { DurableStateStore, StateView } from '../storage/snapshot.js';
import { OutboundSnapshot } from './outbound-snapshot.js';
import { readStateFacts } from './state-facts.js';

export interface SnapshotSourceOptions {
  readonly cluster: { readonly name: string; readonly id: string };
  /** In effect before the first entry of a configuration. */
  readonly formed: Configuration;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  /** The state as it is now. */
  readonly store: () => DurableStateStore;
  readonly termAt: (index: LogIndex) => Term | null;
  /** What is committed and on the own disk, through here. */
  readonly safeIndex: () => LogIndex;
}

/**
 * Makes snapshots of the state on disk. All that were made must be closed before the state is
 * switched: see {@link SnapshotSource.whenClosed}.
 */
export class SnapshotSource {
  readonly #options: SnapshotSourceOptions;
  /** Through where the state was synced when each view that is being opened was asked for. */
  readonly #opening = new Set<{ readonly index: LogIndex }>();
  #open = 0;
  #waiting: (() => void)[] = [];
  #paused = false;

  constructor(options: SnapshotSourceOptions) {
    this.#options = options;
  }

  /** The log must not be cut beyond this: the term of a snapshot that is being opened is read from it. */
  get pin(): LogIndex {
    let pin = Number.POSITIVE_INFINITY;
    for (const { index } of this.#opening) pin = Math.min(pin, index);
    return pin;
  }

  /** The state is about to be switched: no new snapshots. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
  }

  /** What is opened now has the effects of entries through `index`, or is refused. */
  reaches(index: LogIndex): boolean {
    return this.#paused || this.#options.store().flushedIndex() >= index;
  }

  /**
   * A snapshot of what is on disk now.
   * @throws BalsaError `OVERLOADED` while the state is being switched, or does not know its members yet
   */
  async open(format = SNAPSHOT_FORMAT): Promise<OutboundSnapshot> {
    if (this.#paused) throw busy('a snapshot is being installed here');
    this.#open += 1;
    const { store, limits } = this.#options;
    const opening = { index: store().syncedIndex() };
    this.#opening.add(opening);
    let view: StateView | null = null;
    try {
      view = this.#counted(await store().view());
      const header = this.#header(view, format);
      return new OutboundSnapshot({ view, header, chunkBytes: limits.snapshotChunkBytes });
    } catch (error) {
      if (view === null) this.#closed();
      else await view.close();
      throw error;
    } finally {
      this.#opening.delete(opening);
    }
  }

  /** Calls back when no snapshot is open. */
  whenClosed(callback: () => void): void {
    if (this.#open === 0) callback();
    else this.#waiting.push(callback);
  }

  /** Another name for the same content. */
  newId(index: LogIndex): string {
    const { random } = this.#options;
    const word = (): string => random.int(2 ** 32).toString(36);
    return `${index}-${word()}${word()}`;
  }

  #header(view: StateView, format: number): SnapshotHeader {
    const { cluster, clock, formed, safeIndex, termAt } = this.#options;
    const { index } = view;
    assert(index <= safeIndex(), 'the state on disk holds only what is committed and in the log');
    const term = termAt(index);
    assert(term !== null, 'the log is not cut beyond the state on disk');
    const facts = readStateFacts(view);
    assert(facts.appliedIndex === index, 'the state on disk is that of its index');
    const { configuration } = facts;
    if (configuration === null && formed.voters.length === 0) {
      // A member that joined later knows them from the log only, and this state ends before that.
      throw busy('the state on disk has not come as far as to know the members');
    }
    return {
      format,
      id: this.newId(index),
      clusterName: cluster.name,
      clusterId: cluster.id,
      position: { index, term },
      configuration: configuration?.payload ?? packConfiguration(formed),
      configurationIndex: configuration?.index ?? formed.index,
      revision: facts.revision,
      stateHash: facts.stateHash,
      createdMs: Math.floor(clock.wallMs()),
    };
  }

  #counted(view: StateView): StateView {
    return {
      index: view.index,
      get: (key) => view.get(key),
      next: (after, bytesMax) => view.next(after, bytesMax),
      close: async () => {
        try {
          await view.close();
        } finally {
          this.#closed();
        }
      },
    };
  }

  #closed(): void {
    this.#open -= 1;
    if (this.#open > 0) return;
    for (const callback of this.#waiting.splice(0)) callback();
  }
}

function busy(reason: string): BalsaError {
  return new BalsaError('OVERLOADED', reason, { details: { retryAfterMs: 1000 } });
}
