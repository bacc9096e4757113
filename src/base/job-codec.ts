import { check, pack, packToKeep, shownType, unpack } from './codec.js';
import { BalsaError } from './errors.js';
import {
  CLAIMS_PER_ENTRY_MAX,
  type InputSpec,
  JOB_ACTIONS,
  type JobOperation,
  type JobSpec,
  type JobStep,
  RANGE_VALUES,
  STAGE_KINDS,
  type StageSpec,
  TASK_PLACES,
  type TaskEnd,
  type TaskReportOperation,
  type TaskValue,
} from './job.js';

/** How jobs travel. Tuples that begin with the type; fields are appended, never reordered. */

const LIST = 0;
const UPLOAD = 1;
const RANGE = 2;
const GENERATOR = 3;

const RESULT = 0;
const CUT = 1;
const FAILED = 2;
const CRASHED = 3;
const RELEASED = 4;
const CHECKPOINT = 5;

const JSON_VALUE = 0;
const BYTES_VALUE = 1;
const UPLOADED_VALUE = 2;

export function fromJobSpec(spec: JobSpec): unknown[] {
  const { name, args, input, stages, priority, weight, retentionMs } = spec;
  return [name, args, fromInput(input), stages.map(fromStage), priority, weight, retentionMs];
}

function fromInput(input: InputSpec): unknown[] {
  switch (input.type) {
    case 'list':
      return [LIST, input.items];
    case 'upload':
      return [UPLOAD, input.upload, input.counts];
    case 'range':
      return [
        ...[RANGE, input.from, input.to, input.bytesPerTask, input.keysPerTask],
        RANGE_VALUES.indexOf(input.values),
      ];
    case 'generator':
      return [GENERATOR, input.run];
  }
}

function fromStage(s: StageSpec): unknown[] {
  return [
    ...[s.name, STAGE_KINDS.indexOf(s.kind), s.after, s.fanIn],
    ...[TASK_PLACES.indexOf(s.where), s.run, s.labels, s.memoryBytes],
    ...[s.retries, s.lostRetries, s.poisonAfter, s.timeoutMs, s.speculates],
  ];
}

/** @throws BalsaError `FRAME_INVALID` */
export function toJobSpec(value: unknown): JobSpec {
  const t = check.tuple(value, 'job', 7);
  return {
    name: check.text(t[0], 'job name'),
    args: check.text(t[1], 'job args'),
    input: toInput(t[2]),
    stages: check.list(t[3], 'job stages').map(toStage),
    priority: check.count(t[4], 'job priority'),
    weight: check.count(t[5], 'job weight'),
    retentionMs: check.count(t[6], 'job retentionMs'),
  };
}

function toInput(value: unknown): InputSpec {
  const t = check.tuple(value, 'job input', 2);
  switch (t[0]) {
    case LIST:
      return { type: 'list', items: texts(t[1], 'job items') };
    case UPLOAD:
      return {
        type: 'upload',
        upload: check.text(t[1], 'job upload'),
        counts: counts(t[2], 'job counts'),
      };
    case RANGE:
      return {
        type: 'range',
        from: check.bytes(t[1], 'job from'),
        to: check.optional(t[2], (v) => check.bytes(v, 'job to')),
        bytesPerTask: check.count(t[3], 'job bytesPerTask'),
        keysPerTask: check.count(t[4], 'job keysPerTask'),
        values: oneOf(RANGE_VALUES, t[5], 'job values'),
      };
    case GENERATOR:
      return { type: 'generator', run: check.text(t[1], 'job generator') };
    default:
      throw unknown('job input', t[0]);
  }
}

function toStage(value: unknown): StageSpec {
  const t = check.tuple(value, 'stage', 13);
  return {
    name: check.text(t[0], 'stage name'),
    kind: oneOf(STAGE_KINDS, t[1], 'stage kind'),
    after: counts(t[2], 'stage after'),
    fanIn: check.count(t[3], 'stage fanIn'),
    where: oneOf(TASK_PLACES, t[4], 'stage where'),
    run: check.text(t[5], 'stage run'),
    labels: texts(t[6], 'stage labels'),
    memoryBytes: check.count(t[7], 'stage memoryBytes'),
    retries: check.count(t[8], 'stage retries'),
    lostRetries: check.count(t[9], 'stage lostRetries'),
    poisonAfter: check.count(t[10], 'stage poisonAfter'),
    timeoutMs: check.count(t[11], 'stage timeoutMs'),
    speculates: check.flag(t[12], 'stage speculates'),
  };
}

// ---------------------------------------------------------------------------------------------
// Ends of attempts

export function fromTaskEnd(end: TaskReportOperation['report']): unknown[] {
  switch (end.type) {
    case 'result':
      return [RESULT, fromTaskValue(end.value), end.call];
    case 'cut':
      return [CUT, end.items, end.next, end.call];
    case 'failed':
      return [FAILED, end.code, end.message];
    case 'crashed':
      return [CRASHED, end.message];
    case 'released':
      return [RELEASED];
    case 'checkpoint':
      return [CHECKPOINT, end.json];
  }
}

/** @throws BalsaError `FRAME_INVALID` */
export function toTaskReport(value: unknown): TaskReportOperation['report'] {
  const t = check.tuple(value, 'task report', 1);
  if (t[0] === CHECKPOINT) return { type: 'checkpoint', json: check.text(t[1], 'checkpoint') };
  return toTaskEnd(t);
}

/** @throws BalsaError `FRAME_INVALID` */
export function toTaskEnd(value: unknown): TaskEnd {
  const t = check.tuple(value, 'task end', 1);
  const call = (v: unknown): Uint8Array | null => check.optional(v, (b) => check.bytes(b, 'call'));
  switch (t[0]) {
    case RESULT:
      return { type: 'result', value: toTaskValue(t[1]), call: call(t[2]) };
    case CUT:
      return {
        type: 'cut',
        items: texts(t[1], 'cut items'),
        next: check.optional(t[2], (v) => check.text(v, 'cut next')),
        call: call(t[3]),
      };
    case FAILED:
      return {
        type: 'failed',
        code: check.text(t[1], 'task code'),
        message: check.text(t[2], 'task message'),
      };
    case CRASHED:
      return { type: 'crashed', message: check.text(t[1], 'task message') };
    case RELEASED:
      return { type: 'released' };
    default:
      throw unknown('task end', t[0]);
  }
}

export function fromTaskValue(value: TaskValue): unknown[] {
  if (value.type === 'json') return [JSON_VALUE, value.json];
  if (value.type === 'bytes') return [BYTES_VALUE, value.bytes];
  const { upload, chunks, bytes, isJson } = value;
  return [UPLOADED_VALUE, upload, chunks, bytes, isJson];
}

/** @throws BalsaError `FRAME_INVALID` */
export function toTaskValue(value: unknown): TaskValue {
  const t = check.tuple(value, 'task value', 2);
  if (t[0] === JSON_VALUE) return { type: 'json', json: check.text(t[1], 'task value') };
  if (t[0] === BYTES_VALUE) return { type: 'bytes', bytes: check.bytes(t[1], 'task value') };
  if (t[0] !== UPLOADED_VALUE) throw unknown('task value', t[0]);
  return {
    type: 'upload',
    upload: check.text(t[1], 'task value'),
    chunks: check.count(t[2], 'task value chunks'),
    bytes: check.count(t[3], 'task value bytes'),
    isJson: check.flag(t[4], 'task value isJson'),
  };
}

// ---------------------------------------------------------------------------------------------
// Steps of the leader

const CLAIMS = 1;
const END = 2;
const STEP_CHECKPOINT = 3;
const EXTEND = 4;
const LOST = 5;
const TIDY = 6;

export function fromJobStep(step: JobStep): unknown[] {
  switch (step.type) {
    case 'claims': {
      const { worker, home, leaseMs, tasks } = step;
      const flat = tasks.flatMap((t) => [t.job, t.stage, t.ordinal, t.speculative]);
      return [CLAIMS, worker, home, leaseMs, flat];
    }
    case 'end':
      return [END, step.fence, fromTaskEnd(step.end)];
    case 'checkpoint':
      return [STEP_CHECKPOINT, step.fence, step.json];
    case 'extend':
      return [EXTEND, step.workers];
    case 'lost':
      return [LOST, step.worker, step.isGone];
    case 'tidy':
      return [TIDY, step.records];
  }
}

/** @throws BalsaError `FRAME_INVALID` */
export function toJobStep(value: unknown): JobStep {
  const t = check.tuple(value, 'job step', 2);
  switch (t[0]) {
    case CLAIMS:
      return toClaims(t);
    case END:
      return { type: 'end', fence: check.count(t[1], 'fence'), end: toTaskEnd(t[2]) };
    case STEP_CHECKPOINT:
      return {
        type: 'checkpoint',
        fence: check.count(t[1], 'fence'),
        json: check.text(t[2], 'checkpoint'),
      };
    case EXTEND:
      return { type: 'extend', workers: texts(t[1], 'extend workers') };
    case LOST:
      return {
        type: 'lost',
        worker: check.text(t[1], 'lost worker'),
        isGone: check.flag(t[2], 'lost isGone'),
      };
    case TIDY:
      return { type: 'tidy', records: check.count(t[1], 'tidy records') };
    default:
      throw unknown('job step', t[0]);
  }
}

function toClaims(t: readonly unknown[]): JobStep {
  const flat = check.list(t[4], 'claims');
  const tasks = [];
  if (flat.length % 4 !== 0 || flat.length > 4 * CLAIMS_PER_ENTRY_MAX) {
    throw new BalsaError('FRAME_INVALID', 'claims: not whole, or too many');
  }
  for (let i = 0; i < flat.length; i += 4) {
    tasks.push({
      job: check.text(flat[i], 'claim job'),
      stage: check.count(flat[i + 1], 'claim stage'),
      ordinal: check.count(flat[i + 2], 'claim ordinal'),
      speculative: check.flag(flat[i + 3], 'claim speculative'),
    });
  }
  return {
    type: 'claims',
    worker: check.text(t[1], 'claims worker'),
    ...{ home: check.text(t[2], 'claims home'), leaseMs: check.count(t[3], 'claims leaseMs') },
    tasks,
  };
}

/** As in a frame between members. */
export function packJobStep(step: JobStep): Buffer {
  return packToKeep(fromJobStep(step));
}

/** @throws BalsaError `FRAME_INVALID` */
export function unpackJobStep(bytes: Uint8Array): JobStep {
  return toJobStep(unpack(bytes));
}

/** Items of a chunk of an input: JSON of each. */
export function packItemChunk(items: readonly string[]): Buffer {
  return packToKeep(items);
}

/** @throws BalsaError `FRAME_INVALID` */
export function unpackItemChunk(bytes: Uint8Array): readonly string[] {
  return texts(unpack(bytes), 'items');
}

// ---------------------------------------------------------------------------------------------
// Operations of clients

/** The types of job operations among all: see `operation-codec`. */
const SUBMIT = 18;
const CONTROL = 19;
const JOB_UPLOAD = 20;
const REPORT = 21;

export function fromJobOperation(operation: JobOperation): unknown[] {
  switch (operation.type) {
    case 'job-submit':
      return [SUBMIT, operation.job, fromJobSpec(operation.spec)];
    case 'job-control':
      return [CONTROL, operation.job, JOB_ACTIONS.indexOf(operation.action)];
    case 'job-upload':
      return [JOB_UPLOAD, operation.upload, operation.place, operation.bytes];
    case 'task-report':
      return [REPORT, operation.fence, fromTaskEnd(operation.report)];
  }
}

/** @throws BalsaError `FRAME_INVALID` */
export function toJobOperation(t: readonly unknown[]): JobOperation {
  switch (t[0]) {
    case SUBMIT:
      return { type: 'job-submit', job: check.text(t[1], 'job id'), spec: toJobSpec(t[2]) };
    case CONTROL:
      return {
        type: 'job-control',
        job: check.text(t[1], 'job id'),
        action: oneOf(JOB_ACTIONS, t[2], 'job action'),
      };
    case JOB_UPLOAD:
      return {
        type: 'job-upload',
        upload: check.text(t[1], 'upload id'),
        place: check.count(t[2], 'upload place'),
        bytes: check.bytes(t[3], 'upload bytes'),
      };
    case REPORT:
      return {
        type: 'task-report',
        fence: check.count(t[1], 'fence'),
        report: toTaskReport(t[2]),
      };
    default:
      throw new BalsaError('FRAME_INVALID', `operation: unknown type ${shownType(t[0])}`);
  }
}

// ---------------------------------------------------------------------------------------------

/** Bytes that a tuple takes, roughly: for bounds. */
export function packedBytes(value: unknown): number {
  return pack(value).byteLength;
}

function oneOf<T>(values: readonly T[], place: unknown, what: string): T {
  const value = typeof place === 'number' ? values[place] : undefined;
  if (value === undefined) throw unknown(what, place);
  return value;
}

function texts(value: unknown, what: string): string[] {
  return check.list(value, what).map((one) => check.text(one, what));
}

function counts(value: unknown, what: string): number[] {
  return check.list(value, what).map((one) => check.count(one, what));
}

function unknown(what: string, found: unknown): BalsaError {
  return new BalsaError('FRAME_INVALID', `${what}: unknown type ${shownType(found)}`);
}
