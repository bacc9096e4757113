import { assert, unreachable } from '../base/assert.js';
import { check, LARGE_BYTES, packLarge, packToKeep, shownType, unpack } from '../base/codec.js';
import { BalsaError } from '../base/errors.js';
import { fromJobStep, toJobStep } from '../base/job-codec.js';
import type { WriteBatch } from '../base/operation.js';
import type { Command, MergeCommand, OriginReport, SystemOperation } from './types.js';

/**
 * Layout of a command: `[version, timeMs, [[sessionId, bornIndex, sequence, acknowledged, operations],
 * ...]]`, from version 2 on `proposerTerm` behind them, from version 3 on `system`, from version 4 on `calls` (each packed), from version 5 on `merge`, from version 6 on
 * `jobs`, from version 9 on `wallMs`. What else is new in a version: `base/command-versions.ts`. Fields are
 * appended, never reordered. A leader writes the newest version that all members can read.
 *
 * Whatever changes what a command does to the state needs a new version, a new kind of operation too:
 * an older replica must stop at what it does not understand. If it went on (as it does with
 * operations it cannot read, see {@link BatchAnswer}), it would have another state than the rest.
 */
export const COMMAND_VERSION_MIN = 1;
/** The newest version that this Balsa reads and writes. */
export const COMMAND_VERSION_MAX = 10;

/**
 * The payload of a log entry. A fraction of a millisecond in `timeMs` is dropped.
 * @param version one that all members can read
 */
export function packCommand(command: Command, version: number = COMMAND_VERSION_MIN): Buffer {
  assert(
    version >= COMMAND_VERSION_MIN && version <= COMMAND_VERSION_MAX,
    'commands are written in a version that is known',
  );
  const fields: unknown[] = [version, Math.floor(command.timeMs), command.batches.map(fromBatch)];
  if (version >= 2) fields.push(command.proposerTerm ?? 0);
  if (version >= 3) fields.push((command.system ?? []).map(fromSystem));
  if (version >= 4) fields.push(command.calls ?? []);
  if (version >= 5) fields.push(fromMerge(command.merge ?? null));
  if (version >= 6) fields.push((command.jobs ?? []).map(fromJobStep));
  if (version >= 9) fields.push(Math.floor(command.wallMs ?? 0));
  const isLarge =
    command.batches.some((batch) => batch.operations.byteLength >= LARGE_BYTES) ||
    (command.calls ?? []).some((call) => call.byteLength >= LARGE_BYTES) ||
    (command.merge?.deltas ?? []).some((delta) => delta.byteLength >= LARGE_BYTES);
  return isLarge ? Buffer.concat(packLarge(fields)) : packToKeep(fields);
}

/**
 * Byte strings are views into `payload`.
 * @param versionMax as {@link COMMAND_VERSION_MAX}; tests play an older Balsa
 * @throws BalsaError `VERSION_UNSUPPORTED`, `FRAME_INVALID`: the replica must stop applying
 */
export function unpackCommand(
  payload: Uint8Array,
  versionMax = COMMAND_VERSION_MAX,
): Command & { readonly version: number } {
  const tuple = check.tuple(unpack(payload), 'command', 1);
  const version = check.count(tuple[0], 'command version');
  checkVersion(version, versionMax);
  const command: Unpacked = {
    version,
    timeMs: check.count(tuple[1], 'command time'),
    batches: check.list(tuple[2], 'command batches').map(toBatch),
  };
  // Field by field: this is done for every entry by all members, and to copy objects costs many times as much.
  if (version >= 2) command.proposerTerm = check.count(tuple[3], 'command term');
  if (version >= 3) command.system = check.list(tuple[4], 'command system').map(toSystem);
  if (version >= 4) command.calls = check.list(tuple[5], 'command calls').map(toCall);
  if (version >= 5) command.merge = check.optional(tuple[6], toMerge);
  if (version >= 6) command.jobs = check.list(tuple[7], 'command jobs').map(toJobStep);
  if (version >= 9) command.wallMs = check.count(tuple[8], 'command time of day');
  return command;
}

type Unpacked = { -readonly [Field in keyof Command]: Command[Field] } & {
  readonly version: number;
};

const toCall = (value: unknown): Uint8Array => check.bytes(value, 'command call');

function checkVersion(version: number, versionMax: number): void {
  if (version >= COMMAND_VERSION_MIN && version <= versionMax) return;
  throw new BalsaError(
    'VERSION_UNSUPPORTED',
    `the log holds a command of version ${version}; this replica knows versions up to ${versionMax} and ` +
      'stops here rather than misread it: start it with a newer Balsa',
    { details: { version, supported: versionMax } },
  );
}

const EXPIRE = 1;
const COMPACT = 2;
const SWEEP = 3;

function fromSystem(operation: SystemOperation): unknown[] {
  switch (operation.type) {
    case 'expire':
      return [EXPIRE, operation.leases];
    case 'compact':
      return [COMPACT, operation.revision];
    case 'sweep':
      return [SWEEP, operation.records];
    default:
      return unreachable(operation);
  }
}

function toSystem(value: unknown): SystemOperation {
  const t = check.tuple(value, 'system operation', 2);
  if (t[0] === EXPIRE) {
    const leases = check.list(t[1], 'expire leases').map((v) => check.count(v, 'expire lease'));
    return { type: 'expire', leases };
  }
  if (t[0] === COMPACT) return { type: 'compact', revision: check.count(t[1], 'compact revision') };
  if (t[0] === SWEEP) return { type: 'sweep', records: check.count(t[1], 'sweep records') };
  throw new BalsaError('FRAME_INVALID', `system operation: unknown type ${shownType(t[0])}`);
}

function fromMerge(merge: MergeCommand | null): unknown[] | null {
  if (merge === null) return null;
  const { members, reports, deltas } = merge;
  const tuples = reports.map(({ origin, member, sequence, timeMs }) => [
    ...[origin, member, sequence, timeMs],
  ]);
  return [members, tuples, deltas];
}

function toMerge(value: unknown): MergeCommand {
  const t = check.tuple(value, 'merge', 3);
  return {
    members: check.list(t[0], 'merge members').map((v) => check.text(v, 'merge member')),
    reports: check.list(t[1], 'merge reports').map(toReport),
    deltas: check.list(t[2], 'merge deltas').map((v) => check.bytes(v, 'merge delta')),
  };
}

function toReport(value: unknown): OriginReport {
  const t = check.tuple(value, 'origin report', 4);
  return {
    origin: check.text(t[0], 'report origin'),
    member: check.text(t[1], 'report member'),
    sequence: check.count(t[2], 'report sequence'),
    timeMs: check.count(t[3], 'report time'),
  };
}

function fromBatch(batch: WriteBatch): unknown[] {
  const { sessionId, bornIndex, sequence, acknowledged, operations } = batch;
  return [sessionId, bornIndex, sequence, acknowledged, operations];
}

function toBatch(value: unknown): WriteBatch {
  const tuple = check.tuple(value, 'batch', 5);
  return {
    sessionId: check.bytes(tuple[0], 'batch session'),
    bornIndex: check.count(tuple[1], 'batch born index'),
    sequence: check.count(tuple[2], 'batch sequence'),
    acknowledged: check.count(tuple[3], 'batch acknowledged'),
    operations: check.bytes(tuple[4], 'batch operations'),
  };
}
