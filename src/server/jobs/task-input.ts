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

/** Keys and values of one task, all together: they are one text. */
const INPUT_BYTES_MAX = 96 * 1024 * 1024;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * What an attempt takes, as the replica has it: items of the input, keys as of the revision of the job, or what other tasks gave.
 * @throws BalsaError `COMPACTED`, `VALUE_NOT_DECODABLE`, `JOB_LIMIT`, `INVALID_ARGUMENT` (of an upload that is not what the job says)
 */
export async function readTaskInput(
  machine: () => StateMachine,
  { job, task: { stage, ordinal } }: Attempt,
): Promise<TaskInput> {
  const { jobs } = machine();
  const { kind = 'map' } = job.stageSpec(stage) ?? {};
  const parts: TaskValue[] = [];
  for (const span of job.inputsOf(stage, ordinal)) {
    if (span.stage > 0) {
      for (let n = span.from; n < span.to; n += 1) {
        const value = jobs.value({ job: job.id, stage: span.stage, ordinal: n });
        if (value === null) throw new BalsaError('INTERNAL', 'a task has no result that is done');
        parts.push(value);
      }
      continue;
    }
    for (const item of jobs.itemsAt(job, span.from, span.to)) {
      const { input } = job.spec;
      const json =
        input.type === 'range'
          ? await readPiece(machine, { item, revision: job.revision, values: input.values })
          : item;
      parts.push({ type: 'json', json });
    }
  }
  return { isList: kind !== 'map', parts };
}

/** A piece of a range of keys, as JSON: `[{ key, value }...]`. */
async function readPiece(
  machine: () => StateMachine,
  piece: {
    readonly item: string;
    readonly revision: number;
    readonly values: 'json' | 'text';
  },
): Promise<string> {
  const { from, to } = pieceOf(piece.item);
  const texts: string[] = [];
  let bytes = 0;
  let next: Uint8Array | null = from;
  while (next !== null) {
    const { items, continueFrom }: Awaited<ReturnType<StateMachine['range']>> =
      await machine().range({
        ...{ from: next, to, reverse: false, keysMax: 10_000, revision: piece.revision },
      });
    for (const { key, value } of items) {
      bytes += key.byteLength + value.byteLength;
      texts.push(
        `{"key":${JSON.stringify(decode(key, key))},"value":${valueText(key, value, piece.values)}}`,
      );
    }
    if (bytes > INPUT_BYTES_MAX) {
      throw new BalsaError('JOB_LIMIT', `one task has more than ${INPUT_BYTES_MAX} bytes of keys`, {
        details: { limit: 'inputBytesMax', max: INPUT_BYTES_MAX },
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
 * @throws BalsaError `INVALID_ARGUMENT`: bytes, which only workers of users take
 */
export function inputText(machine: StateMachine, { isList, parts }: TaskInput): string {
  const texts = parts.map((part) => {
    if (part.type === 'json') return part.json;
    if (part.type === 'bytes' || !part.isJson) {
      throw new BalsaError(
        'INVALID_ARGUMENT',
        'the task takes bytes that a worker gave; procedures take JSON',
      );
    }
    return Buffer.concat(chunksOf(machine, part)).toString('utf8');
  });
  return isList ? `[${texts.join()}]` : (texts[0] ?? 'null');
}

function chunksOf(
  { jobs }: StateMachine,
  { upload, chunks }: TaskValue & { readonly type: 'upload' },
): Uint8Array[] {
  return Array.from({ length: chunks }, (_, place) => {
    const chunk = jobs.uploadChunk(upload, place);
    if (chunk === null) throw new BalsaError('INTERNAL', `no chunk ${place} of upload ${upload}`);
    return chunk;
  });
}
