import type { Calls, Length, OnBegin } from '../../src/cli/bench/drive.js';
import type { Scenario } from '../../src/cli/bench/scenario.js';

/** What the servers of a subject tell of themselves. */
export interface ServerFigures {
  /** Files synced to the disk so far, all servers together. */
  readonly syncs: number;
  /** The longest time that an event loop of theirs was held up lately; `null`: they have none. */
  readonly loopDelayMs: number | null;
}

/** Someone who is measured: a store, and a client that asks it. */
export interface Subject {
  /** Of the store and its client. */
  readonly name: string;
  /** What makes its acknowledged writes last, as it was started. */
  readonly durability: string;
  readonly serverPids: readonly number[];
  /** Missing where the servers tell nothing. */
  figures?(): Promise<ServerFigures>;
  /**
   * Aborts when one of its servers ends though nobody asked it to. Its reason is a BalsaError that names the server, how it ended and
   * the last that it wrote; `fill` and `measure` fail with that at once.
   */
  readonly ended: AbortSignal;
  /** @returns why not, or `null`: the scenario can be measured */
  lacks(scenario: Scenario): string | null;
  /** So many keys have values of so many bytes behind that. */
  fill(keys: number, valueBytes: number): Promise<void>;
  /** @param onBegin is called behind the warm-up, with the process of the client */
  measure(scenario: Scenario, length: Length, onBegin: OnBegin): Promise<Calls>;
}

/** A store that was started for the measurement, and is ended with it. */
export interface Peer extends AsyncDisposable {
  /** The same store, asked by different clients. */
  readonly subjects: readonly Subject[];
}

/** A kind of store. */
export interface PeerKind {
  readonly name: string;
  /** @returns what is not installed and how to get it, or `null` */
  missing(): string | null;
  start(): Promise<Peer>;
}
