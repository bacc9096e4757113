import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BalsaError } from '../base/errors.js';
import type { WriteOperation } from '../base/operation.js';
import { unpackOperations } from '../base/operation-codec.js';
import { unpackConfiguration } from '../raft/configuration-codec.js';
import type { EntryType } from '../raft/types.js';
import { unpackCommand } from '../statemachine/command.js';
import { NodeFiles } from '../storage/node-files.js';
import { type InspectedRecord, inspectWal, type WalReport } from '../storage/wal/inspect.js';

export type { InspectedRecord, WalReport };

/**
 * Reads all of a log and changes nothing; it need not be whole, and its replica may run.
 * @param path a data folder, or the folder of the log itself
 * @throws BalsaError `FILE_UNREADABLE` when there is no log
 */
export function inspectWalFolder(
  path: string,
  onRecord: (record: InspectedRecord) => void = () => {},
): WalReport {
  const inner = join(path, 'wal');
  const folder = existsSync(inner) ? inner : path;
  const files = new NodeFiles();
  const isFolder = statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true;
  if (!isFolder || !files.list(folder).some((name) => name.endsWith('.wal'))) {
    throw new BalsaError('FILE_UNREADABLE', `${folder}: there is no log`, {
      details: { file: folder },
    });
  }
  return inspectWal({ files, folder, onRecord });
}

/** What an entry holds. Keys are those of its first operations. */
export type EntryContent =
  | { readonly type: 'noop' }
  | { readonly type: 'configuration'; readonly voters: readonly string[]; readonly text: string }
  | {
      readonly type: 'command';
      readonly batches: number;
      readonly operations: number;
      readonly first: readonly {
        readonly type: WriteOperation['type'];
        readonly key: Uint8Array;
      }[];
      readonly timeMs: number;
    }
  /** It cannot be read. */
  | { readonly type: 'unknown'; readonly problem: string };

const OPERATIONS_SHOWN = 3;

/** What an entry with this payload means. */
export function readEntryContent(type: EntryType, payload: Uint8Array): EntryContent {
  try {
    if (type === 'noop') return { type };
    if (type === 'configuration') return readConfiguration(payload);
    const command = unpackCommand(payload);
    const operations = command.batches.flatMap((batch) => unpackOperations(batch.operations));
    const first = operations
      .slice(0, OPERATIONS_SHOWN)
      .map((one) => ({ type: one.type, key: Buffer.from(keyOf(one)) }));
    const { timeMs, batches } = command;
    return { type, batches: batches.length, operations: operations.length, first, timeMs };
  } catch (error) {
    return { type: 'unknown', problem: error instanceof Error ? error.message : String(error) };
  }
}

/** What it is about: its first key, or none. */
function keyOf(operation: WriteOperation): Uint8Array {
  if ('key' in operation) return operation.key;
  if ('from' in operation) return operation.from;
  return new Uint8Array(0);
}

function readConfiguration(payload: Uint8Array): EntryContent {
  const { voters, votersOutgoing, learners } = unpackConfiguration(payload, 0);
  const parts = [`voters ${voters.join(' ')}`];
  if (votersOutgoing.length > 0) parts.push(`and those before: ${votersOutgoing.join(' ')}`);
  if (learners.length > 0) parts.push(`learners ${learners.join(' ')}`);
  return { type: 'configuration', voters, text: parts.join(', ') };
}
