import type { BalsaError, WriteOutcome } from '../base/errors.js';
import type { Limits } from '../base/limits.js';
import type { Connection } from './connection.js';
import type { Environment } from './environment.js';
import type { Settings } from './options.js';

/** What reads and writes of one client share. */
export interface Context {
  readonly env: Environment;
  readonly settings: Settings;
  readonly connection: Connection;
  /** Of the replica that answered last. */
  readonly limits: Limits;
  /** Asks to be called to send, behind this turn of the event loop. */
  planSend(): void;
  /** Does something when all answers that came together were looked at. */
  afterAnswers(action: () => void): void;
  nextRequestId(): number;
  /** The error of a call whose time is up. */
  timedOut(call: {
    readonly startedMs: number;
    readonly deadlineMs: number;
    readonly needsLeader: boolean;
    /** How its last try failed. */
    readonly lastRefusal: BalsaError | null;
    readonly outcome?: WriteOutcome | undefined;
  }): BalsaError;
}
