import { prefixEnd } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import type { InputSpec, JobSpec, StageSpec } from '../base/job.js';
import { UPLOAD_CHUNK_BYTES_MAX } from '../base/job.js';
import { packItemChunk } from '../base/job-codec.js';
import type {
  JobDefinition,
  JobInput,
  RangeInput,
  StageDefinition,
  TaskProcedure,
} from '../base/job-definition.js';
import { invalid, keyBytes } from './invalid.js';
import { checkInputForm } from './job-form.js';

/** Makes of a definition what goes into the log. */

const DAY_MS = 24 * 3_600_000;
const INPUT = 'input';
/** A list up to here goes with the job itself; a longer one is uploaded before. */
const INLINE_BYTES_MAX = 64 * 1024;
/** Items of one chunk: whoever needs one reads all of them. */
const CHUNK_ITEMS_MAX = 1000;

/** @throws BalsaError `INVALID_ARGUMENT` */
export function toSpec(definition: JobDefinition, args: unknown, input: InputSpec): JobSpec {
  const { name = 'job', priority = 5, weight = 100, retentionMs = DAY_MS } = definition;
  const names = Object.keys(definition.stages);
  const stages = Object.entries(definition.stages).map(([stage, given], i) =>
    toStage(stage, given, names.slice(0, i)),
  );
  return {
    name,
    args: toJson('the arguments', args ?? null),
    input,
    stages,
    priority,
    weight,
    retentionMs,
  };
}

function toStage(name: string, given: StageDefinition, before: readonly string[]): StageSpec {
  const { kind = 'map', run, task, labels = [], memoryBytes = 0, speculate = true } = given;
  const { retries = 3, lostRetries = 20, poisonAfter = 3, timeoutMs = 0, fanIn = 16 } = given;
  if ((run === undefined) === (task === undefined)) {
    throw invalid(`stage ${name}: either run, a procedure, or task, something that workers run`);
  }
  const { after = before.at(-1) ?? INPUT } = given;
  const sources = typeof after === 'string' ? [after] : after;
  return {
    ...{ name, kind, fanIn: kind === 'map' ? 1 : fanIn },
    after: sources.map((source) => placeOf(source, name, before)),
    where: run === undefined ? 'worker' : 'sandbox',
    run: run === undefined ? (task ?? '') : nameOf(run),
    ...{ labels, memoryBytes, retries, lostRetries, poisonAfter, timeoutMs },
    speculates: speculate,
  };
}

function placeOf(source: string, stage: string, before: readonly string[]): number {
  if (source === INPUT) return 0;
  const place = before.indexOf(source);
  if (place >= 0) return place + 1;
  throw invalid(`stage ${stage}: there is no stage ${source} before it`);
}

function nameOf(procedure: TaskProcedure): string {
  return typeof procedure === 'string' ? procedure : procedure.name;
}

/** An input, and chunks of items that have to be uploaded first, under the id that it names. */
export interface PreparedInput {
  readonly input: InputSpec;
  readonly chunks: readonly Uint8Array[];
}

/** @throws BalsaError `INVALID_ARGUMENT`, `JOB_LIMIT` */
export function toInput(input: JobInput | undefined, upload: string): PreparedInput {
  if (input === undefined) throw invalid('the job has no input, and none was given with it');
  checkInputForm(input);
  if ('generate' in input) {
    return { input: { type: 'generator', run: nameOf(input.generate) }, chunks: [] };
  }
  if (!('list' in input)) return { input: toRange(input), chunks: [] };
  const items = [...input.list].map((item, i) => toJson(`item ${i} of the list`, item));
  const bytes = items.reduce((sum, item) => sum + item.length, 0);
  if (bytes <= INLINE_BYTES_MAX) return { input: { type: 'list', items }, chunks: [] };
  const groups = grouped(items);
  const counts = groups.map((group) => group.length);
  return { input: { type: 'upload', upload, counts }, chunks: groups.map(packItemChunk) };
}

function toRange(given: RangeInput): InputSpec {
  const { prefix, from, to, bytesPerTask = 256 * 1024, keysPerTask = 10_000 } = given;
  const begin = keyBytes('the input of the job', prefix ?? from ?? '');
  const end =
    prefix === undefined ? (to === undefined ? null : keyBytes('to', to)) : prefixEnd(begin);
  const { values = 'json' } = given;
  return { type: 'range', from: begin, to: end, bytesPerTask, keysPerTask, values };
}

function grouped(items: readonly string[]): string[][] {
  const groups: string[][] = [];
  let group: string[] = [];
  let bytes = 0;
  for (const item of items) {
    const itemBytes = Buffer.byteLength(item) + 8;
    if (itemBytes > UPLOAD_CHUNK_BYTES_MAX / 2) {
      const limit = UPLOAD_CHUNK_BYTES_MAX / 2;
      throw new BalsaError(
        'JOB_LIMIT',
        `an item of the list has ${itemBytes} bytes; the limit is ${limit}: put it into a key`,
        { outcome: 'not-applied', details: { limit: 'itemBytesMax', max: limit } },
      );
    }
    const isFull =
      bytes + itemBytes > UPLOAD_CHUNK_BYTES_MAX / 2 || group.length >= CHUNK_ITEMS_MAX;
    if (isFull && group.length > 0) {
      groups.push(group);
      group = [];
      bytes = 0;
    }
    group.push(item);
    bytes += itemBytes;
  }
  if (group.length > 0) groups.push(group);
  return groups;
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function toJson(what: string, value: unknown): string {
  try {
    const text = JSON.stringify(value) as string | undefined;
    if (text !== undefined) return text;
  } catch (cause) {
    throw invalid(`${what}: not JSON: ${(cause as Error).message}`);
  }
  throw invalid(`${what}: not JSON`);
}
