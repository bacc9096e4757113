import { BalsaError } from '../../base/errors.js';
import type { TaskValue } from '../../base/job.js';
import type { Attempt } from '../../statemachine/jobs/jobs.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import { pieceOf } from './range-cutter.js';

/** What one task takes. */
export interface TaskInput {
  /** Of tasks that take several: a list, also when there is one. */
  readonly isList: boolean;
  readonly parts: readonly TaskValue[];
}

/** Bytes that one task may take, all together: what is larger is not read to its end. */
export interface InputBound {
  readonly bytesMax: number;
  /** The limit that it comes of. */
  readonly limit: string;
  /** The limit in words. */
  readonly says: string;
}

/** Keys and values of one piece of a range: they are one text. */
const PIECE_BYTES_MAX = 96 * 1024 * 1024;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * What an attempt takes, as the replica has it: items of the input, keys as of the revision of the job, or what other tasks gave.
 * What was uploaded is not read, and does not count.
 * @throws BalsaError `COMPACTED`, `VALUE_NOT_DECODABLE`, `JOB_LIMIT`, `INVALID_ARGUMENT` (of an upload that is not what the job says)
 */
export async function readTaskInput(
  machine: () => StateMachine,
  { job, task: { stage, ordinal } }: Attempt,
  bound: InputBound,
): Promise<TaskInput> {
  const { jobs } = machine();
  const { kind = 'map' } = job.stageSpec(stage) ?? {};
  const { input } = job.spec;
  const room = new Room(bound);
  const parts: TaskValue[] = [];
  for (const span of job.inputsOf(stage, ordinal)) {
    for (let n = span.from; n < span.to; n += 1) {
      if (span.stage > 0) {
        const value = jobs.value({ job: job.id, stage: span.stage, ordinal: n });
        if (value === null) throw new BalsaError('INTERNAL', 'a task has no result that is done');
        room.take(bytesOf(value));
        parts.push(value);
        continue;
      }
      const [item] = jobs.itemsAt(job, n, n + 1);
      if (item === undefined) throw new BalsaError('INTERNAL', 'the input lacks an item');
      const json =
        input.type === 'range'
          ? await readPiece(machine, { item, revision: job.revision, values: input.values }, room)
          : item;
      room.take(Buffer.byteLength(json));
      parts.push({ type: 'json', json });
    }
  }
  return { isList: kind !== 'map', parts };
}

/** What goes with an answer; an upload is asked for by chunks. */
export function bytesOf(value: TaskValue): number {
  if (value.type === 'upload') return 0;
  return value.type === 'json' ? Buffer.byteLength(value.json) : value.bytes.byteLength;
}

/** What is left of a bound. A task may take thousands of parts, each of a MiB: they are not in memory before it is known to be too much. */
class Room {
  readonly #bound: InputBound;
  #bytesLeft: number;

  constructor(bound: InputBound) {
    this.#bound = bound;
    this.#bytesLeft = bound.bytesMax;
  }

  take(bytes: number): void {
    this.check(bytes);
    this.#bytesLeft -= bytes;
  }

  /** Of what is taken later. */
  check(bytes: number): void {
    if (bytes <= this.#bytesLeft) return;
    const { limit, bytesMax, says } = this.#bound;
    throw new BalsaError(
      'JOB_LIMIT',
      `the input of one task has more than ${bytesMax} bytes, the limit (${says})`,
      { details: { limit, max: bytesMax } },
    );
  }
}

/** A piece of a range of keys, as JSON: `[{ key, value }...]`. */
async function readPiece(
  machine: () => StateMachine,
  piece: {
    readonly item: string;
    readonly revision: number;
    readonly values: 'json' | 'text';
  },
  room: Room,
): Promise<string> {
  const { from, to } = pieceOf(piece.item);
  const texts: string[] = [];
  let bytes = 0;
  let textBytes = 0;
  let next: Uint8Array | null = from;
  while (next !== null) {
    const { items, continueFrom }: Awaited<ReturnType<StateMachine['range']>> =
      await machine().range({
        ...{ from: next, to, reverse: false, keysMax: 10_000, revision: piece.revision },
      });
    for (const { key, value } of items) {
      bytes += key.byteLength + value.byteLength;
      const text = `{"key":${JSON.stringify(decode(key, key))},"value":${valueText(key, value, piece.values)}}`;
      texts.push(text);
      textBytes += Buffer.byteLength(text);
    }
    room.check(textBytes);
    if (bytes > PIECE_BYTES_MAX) {
      throw new BalsaError('JOB_LIMIT', `one task has more than ${PIECE_BYTES_MAX} bytes of keys`, {
        details: { limit: 'inputBytesMax', max: PIECE_BYTES_MAX },
      });
    }
    next = continueFrom;
  }
  return `[${texts.join()}]`;
}

function valueText(key: Uint8Array, value: Uint8Array, values: 'json' | 'text'): string {
  const text = decode(value, key);
  if (values === 'text') return JSON.stringify(text);
  try {
    JSON.parse(text);
    return text;
  } catch {
    throw undecodable(key, 'JSON; the input of the job may say that values are text');
  }
}

function decode(bytes: Uint8Array, key: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw undecodable(key, 'UTF-8 text');
  }
}

function undecodable(key: Uint8Array, expected: string): BalsaError {
  const shown = JSON.stringify(Buffer.from(key).toString());
  return new BalsaError('VALUE_NOT_DECODABLE', `${shown} or its value is not ${expected}`);
}

/**
 * The input as one text, for the sandbox.
 * @throws BalsaError `JOB_LIMIT`, `INVALID_ARGUMENT`: bytes, which only workers of users take
 */
export function inputText(
  machine: StateMachine,
  { isList, parts }: TaskInput,
  bound: InputBound,
): string {
  const room = new Room(bound);
  const texts = parts.map((part) => {
    if (part.type === 'json') {
      room.take(bytesOf(part));
      return part.json;
    }
    if (part.type === 'bytes' || !part.isJson) {
      throw new BalsaError(
        'INVALID_ARGUMENT',
        'the task takes bytes that a worker gave; procedures take JSON',
      );
    }
    return Buffer.concat(chunksOf(machine, part, room)).toString('utf8');
  });
  return isList ? `[${texts.join()}]` : (texts[0] ?? 'null');
}

function chunksOf(
  { jobs }: StateMachine,
  { upload, chunks }: TaskValue & { readonly type: 'upload' },
  room: Room,
): Uint8Array[] {
  return Array.from({ length: chunks }, (_, place) => {
    const chunk = jobs.uploadChunk(upload, place);
    if (chunk === null) throw new BalsaError('INTERNAL', `no chunk ${place} of upload ${upload}`);
    room.take(chunk.byteLength);
    return chunk;
  });
}
