import { check, pack, unpack } from '../base/codec.js';
import { BalsaError } from '../base/errors.js';
import type { WriteBatch } from '../base/operation.js';
import type { Command } from './types.js';

/**
 * Layout of a command: `[version, timeMs, [[sessionId, bornIndex, sequence, acknowledged, operations],
 * ...]]`. Fields are appended, never reordered.
 *
 * Whatever changes what a command does to the state needs a new version, a new kind of operation too:
 * an older replica must stop at what it does not understand. If it went on (as it does with
 * operations it cannot read, see {@link BatchAnswer}), it would have another state than the rest.
 */
const VERSION = 1;

/** The payload of a log entry. A fraction of a millisecond in `timeMs` is dropped. */
export function packCommand(command: Command): Buffer {
  return pack([VERSION, Math.floor(command.timeMs), command.batches.map(fromBatch)]);
}

/**
 * Byte strings are views into `payload`.
 * @throws BalsaError `VERSION_UNSUPPORTED`, `FRAME_INVALID`: the replica must stop applying
 */
export function unpackCommand(payload: Uint8Array): Command {
  const tuple = check.tuple(unpack(payload), 'command', 1);
  checkVersion(check.count(tuple[0], 'command version'));
  return {
    timeMs: check.count(tuple[1], 'command time'),
    batches: check.list(tuple[2], 'command batches').map(toBatch),
  };
}

function checkVersion(version: number): void {
  if (version === VERSION) return;
  throw new BalsaError(
    'VERSION_UNSUPPORTED',
    `the log holds a command of version ${version}; this replica knows version ${VERSION} only and ` +
      'stops here rather than misread it: start it with a newer Balsa',
    { details: { version, supported: VERSION } },
  );
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
