import { assert, unreachable } from '../base/assert.js';
import { toMapKey } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import { LIMITS } from '../base/limits.js';
import type { KeyValue, WriteBatch, WriteOperation, WriteResult } from '../base/operation.js';
import { packResults, unpackOperations } from '../base/operation-codec.js';
import { COMMAND_VERSION_MAX, unpackCommand } from './command.js';
import {
  type ConfigurationRecord,
  decodeConfigurationRecord,
  encodeConfigurationRecord,
} from './configuration-record.js';
import { corrupt } from './corrupt.js';
import { Keyspace } from './keyspace.js';
import { CONFIGURATION_KEY, MACHINE_KEY, SESSION_ID_BYTES } from './layout.js';
import {
  decodeMachineRecord,
  EMPTY_MACHINE,
  type MachineRecord,
  sealMachineRecord,
} from './machine-record.js';
import { type RangeLimits, readRange } from './range.js';
import type { Moment } from './session-record.js';
import { type SessionBatch, type SessionBounds, Sessions } from './sessions.js';
import type { StateStore, StateWrite } from './state-store.js';
import type { BatchAnswer, Command, RangePage, RangeQuery } from './types.js';

/** A committed log entry. */
export interface AppliedEntry {
  readonly index: number;
  readonly type: 'noop' | 'command' | 'configuration';
  readonly payload: Uint8Array;
}

/** Defaults: {@link LIMITS}. {@link SessionBounds} are for tests only: they must not differ in a cluster. */
export type StateMachineOptions = Partial<SessionBounds & RangeLimits> & {
  /** The newest version of commands that it knows; a test of rolling upgrades plays an older Balsa. */
  readonly commandVersionMax?: number;
};

/**
 * What the log means: keys with all their revisions, and the sessions that make writes count once.
 * A function of the entries applied and of nothing else: no clock, no configuration, no chance.
 */
export class StateMachine {
  readonly #store: StateStore;
  readonly #limits: RangeLimits;
  readonly #keyspace: Keyspace;
  readonly #sessions: Sessions;
  readonly #commandVersionMax: number;
  #configuration: ConfigurationRecord | null;
  /** The entry in hand brought it. */
  #isConfigurationNew = false;
  #appliedIndex: number;
  #logTimeMs: number;
  #stateHash: number;
  readonly #compactedRevision: number;

  private constructor(parts: {
    readonly store: StateStore;
    readonly limits: RangeLimits;
    readonly sessions: Sessions;
    readonly machine: MachineRecord;
    readonly commandVersionMax: number;
  }) {
    this.#store = parts.store;
    this.#limits = parts.limits;
    this.#sessions = parts.sessions;
    this.#commandVersionMax = parts.commandVersionMax;
    this.#configuration = loadConfiguration(parts.store);
    this.#keyspace = new Keyspace(parts.store, parts.machine.revision);
    this.#appliedIndex = parts.machine.appliedIndex;
    this.#logTimeMs = parts.machine.logTimeMs;
    this.#stateHash = parts.machine.stateHash;
    this.#compactedRevision = parts.machine.compactedRevision;
  }

  /**
   * The state machine as `store` holds it.
   * @throws BalsaError `STATE_CORRUPT`
   */
  static async open(store: StateStore, options: StateMachineOptions = {}): Promise<StateMachine> {
    const limits = { ...LIMITS, ...options };
    const machine = loadMachine(store);
    const sessions = await Sessions.load(store, limits, machine.forgottenThrough);
    const { commandVersionMax = COMMAND_VERSION_MAX } = options;
    return new StateMachine({ store, limits, sessions, machine, commandVersionMax });
  }

  /** The last entry applied. */
  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** Number of writes so far that changed something. */
  get revision(): number {
    return this.#keyspace.revision;
  }

  /** Reads at revisions before this one are refused; 0: all are kept. */
  get compactedRevision(): number {
    return this.#compactedRevision;
  }

  /** A checksum over all that was ever written: equal at all replicas that applied the same entries. */
  get stateHash(): number {
    return this.#stateHash;
  }

  /** The last configuration of the members that was applied; `null`: none since the cluster was formed. */
  get configuration(): ConfigurationRecord | null {
    return this.#configuration;
  }

  /** The highest time of any command so far, in milliseconds since 1970. */
  get logTimeMs(): number {
    return this.#logTimeMs;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /**
   * Applies the next entry.
   * @returns one answer for each batch of a command, in order
   * @throws BalsaError `VERSION_UNSUPPORTED`, `FRAME_INVALID`, `STATE_CORRUPT`: the replica must stop
   */
  apply(entry: AppliedEntry): readonly BatchAnswer[] {
    assert(entry.index === this.#appliedIndex + 1, 'entries are applied in order, each once');
    const answers = this.#answer(entry);
    this.#commit(entry.index);
    return answers;
  }

  #answer(entry: AppliedEntry): readonly BatchAnswer[] {
    switch (entry.type) {
      case 'noop':
        return [];
      case 'configuration':
        // A copy: the payload may be a view into a whole message.
        this.#configuration = { index: entry.index, payload: Buffer.from(entry.payload) };
        this.#isConfigurationNew = true;
        return [];
      case 'command':
        return this.#applyCommand(
          entry.index,
          unpackCommand(entry.payload, this.#commandVersionMax),
        );
      default:
        return unreachable(entry.type);
    }
  }

  #applyCommand(index: number, command: Command): readonly BatchAnswer[] {
    // The clock of a new leader may be behind that of the old one; log time never goes back.
    this.#logTimeMs = Math.max(this.#logTimeMs, command.timeMs);
    const timeMs = this.#logTimeMs;
    this.#sessions.forgetIdle(timeMs);
    return command.batches.map((batch, ordinal) =>
      this.#applyBatch(batch, { index, ordinal, timeMs }),
    );
  }

  #applyBatch(batch: WriteBatch, now: Moment): BatchAnswer {
    if (batch.sessionId.byteLength !== SESSION_ID_BYTES || batch.sequence === 0) {
      return { ok: false, error: invalid('batch: the session id or the sequence is not one') };
    }
    const { bornIndex, sequence, acknowledged } = batch;
    const turn = { id: toMapKey(batch.sessionId), bornIndex, sequence, acknowledged };
    const verdict = this.#sessions.judge(turn, now.index);
    switch (verdict.type) {
      case 'refuse':
        return { ok: false, error: verdict.error };
      case 'repeat':
        this.#sessions.recordRepeated(turn, now);
        return { ok: true, results: verdict.results, repeated: true };
      case 'apply':
        return this.#applyNew(batch.operations, turn, now);
      default:
        return unreachable(verdict);
    }
  }

  #applyNew(bytes: Uint8Array, turn: SessionBatch, now: Moment): BatchAnswer {
    const operations = readOperations(bytes);
    if (operations instanceof BalsaError) return { ok: false, error: operations };
    const results = packResults(operations.map((operation) => this.#write(operation)));
    this.#sessions.recordApplied(turn, results, now);
    return { ok: true, results, repeated: false };
  }

  #write(operation: WriteOperation): WriteResult {
    switch (operation.type) {
      case 'put':
        if (operation.value === null) throw unsupported(operation);
        return { type: 'put', revision: this.#keyspace.put(operation.key, operation.value) };
      case 'delete':
        return { type: 'delete', ...this.#keyspace.delete(operation.key) };
      default:
        throw unsupported(operation);
    }
  }

  /** Gives the store all that the entry changed, and the new index, at once. */
  #commit(index: number): void {
    const writes: StateWrite[] = [];
    this.#keyspace.flushInto(writes);
    this.#sessions.flushInto(writes);
    if (this.#isConfigurationNew && this.#configuration !== null) {
      writes.push({
        key: CONFIGURATION_KEY,
        value: encodeConfigurationRecord(this.#configuration),
      });
      this.#isConfigurationNew = false;
    }
    const machine: MachineRecord = {
      appliedIndex: index,
      revision: this.#keyspace.revision,
      compactedRevision: this.#compactedRevision,
      logTimeMs: this.#logTimeMs,
      forgottenThrough: this.#sessions.forgottenThrough,
      stateHash: this.#stateHash,
    };
    const { bytes, stateHash } = sealMachineRecord(machine, writes);
    writes.push({ key: MACHINE_KEY, value: bytes });
    this.#store.apply(index, writes);
    this.#stateHash = stateHash;
    this.#appliedIndex = index;
  }

  /**
   * What `key` holds, or held at `revision` (`null`: the latest).
   * @throws BalsaError `FUTURE_REVISION`, `COMPACTED`, `INVALID_ARGUMENT`
   */
  get(key: Uint8Array, revision: number | null): KeyValue | null {
    return this.#keyspace.get(key, this.#readable(revision));
  }

  /**
   * One page of a range, as of one revision: what is applied meanwhile does not show.
   * @throws BalsaError `FUTURE_REVISION`, `COMPACTED`, `INVALID_ARGUMENT`
   */
  async range(query: RangeQuery): Promise<RangePage> {
    const revision = this.#readable(query.revision);
    if (!(query.keysMax >= 1)) {
      throw new BalsaError('INVALID_ARGUMENT', 'keysMax of a range must be at least 1');
    }
    return readRange(
      { store: this.#store, keyspace: this.#keyspace, limits: this.#limits },
      { ...query, revision },
    );
  }

  #readable(revision: number | null): number {
    const current = this.revision;
    if (revision === null) return current;
    if (!Number.isSafeInteger(revision) || revision < 0) {
      throw new BalsaError('INVALID_ARGUMENT', `${revision} is not a revision`);
    }
    if (revision > current) {
      throw new BalsaError(
        'FUTURE_REVISION',
        `revision ${revision} does not exist here yet; the latest is ${current}`,
        { details: { revision, current } },
      );
    }
    if (revision < this.#compactedRevision) {
      throw new BalsaError(
        'COMPACTED',
        `revision ${revision} is no longer kept; the oldest is ${this.#compactedRevision}`,
        { details: { revision, oldest: this.#compactedRevision } },
      );
    }
    return revision;
  }
}

function unsupported(operation: WriteOperation): BalsaError {
  return new BalsaError('INTERNAL', `${operation.type}: not yet`);
}

function loadMachine(store: StateStore): MachineRecord {
  const bytes = store.get(MACHINE_KEY);
  const machine = bytes === undefined ? EMPTY_MACHINE : decodeMachineRecord(bytes);
  if (machine.appliedIndex !== store.restoredIndex) {
    throw corrupt(
      `the state after entry ${machine.appliedIndex} where that after ${store.restoredIndex} is due`,
    );
  }
  return machine;
}

function loadConfiguration(store: StateStore): ConfigurationRecord | null {
  const bytes = store.get(CONFIGURATION_KEY);
  return bytes === undefined ? null : decodeConfigurationRecord(bytes);
}

/** The operations of a batch, or the error that every replica answers alike. */
function readOperations(bytes: Uint8Array): WriteOperation[] | BalsaError {
  try {
    return unpackOperations(bytes);
  } catch (error) {
    if (error instanceof BalsaError && error.code === 'FRAME_INVALID') {
      return error.withOutcome('not-applied');
    }
    throw error;
  }
}

function invalid(message: string): BalsaError {
  return new BalsaError('FRAME_INVALID', message, { outcome: 'not-applied' });
}
