import { BalsaError } from './errors.js';
import {
  HOME_LENGTH_MAX,
  INLINE_VALUE_BYTES_MAX,
  type InputSpec,
  isLabel,
  type JobOperation,
  type JobSpec,
  LABEL_LENGTH_MAX,
  RANGE_VALUES,
  SLOTS_MAX,
  STAGE_KINDS,
  type StageSpec,
  type TaskReportOperation,
  UPLOAD_CHUNK_BYTES_MAX,
  type WorkerDemand,
} from './job.js';
import { fromJobSpec, packedBytes } from './job-codec.js';
import type { Limits } from './limits.js';

/** What of jobs gets into the log cannot be refused any more, so all that can be said without the state is checked first. */

/** Ids of jobs and uploads: they stand in commands of a shell. */
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const NAME_LENGTH_MAX = 200;
const LABELS_MAX = 16;
/** Functions that its module exports. */
const WORKER_TASKS_MAX = 1000;
const WORKER_LABELS_MAX = 100;
/** Also of one that was given more slots before. */
const WORKER_FENCES_MAX = 10 * SLOTS_MAX;
const PRIORITY_MAX = 9;
const WEIGHT_MAX = 1000;
const FAN_IN_MAX = 10_000;
const RETRIES_MAX = 1000;
/** A year. */
const MS_MAX = 366 * 24 * 3_600_000;

/** @throws BalsaError `INVALID_ARGUMENT`, `JOB_LIMIT` */
export function checkJobOperation(operation: JobOperation, limits: Limits): void {
  switch (operation.type) {
    case 'job-submit':
      checkId('job', operation.job);
      checkSpec(operation.spec, limits);
      break;
    case 'job-control':
      checkId('job', operation.job);
      break;
    case 'job-upload':
      checkId('upload', operation.upload);
      checkBytes('uploadChunkBytesMax', operation.bytes.byteLength, UPLOAD_CHUNK_BYTES_MAX);
      break;
    default:
      checkReport(operation, limits);
  }
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function checkId(what: 'job' | 'upload' | 'worker', id: string): void {
  // Code that is not typed may give anything.
  if (typeof id === 'string' && ID.test(id)) return;
  throw invalid(
    `${JSON.stringify(id)} is no id of a ${what}: letters, digits, ., _ and -, not one of these first, at most 100`,
  );
}

/**
 * What a worker of a user says of itself: it is told to the leader again and again, and its home is in the state.
 * @param fences of what it has
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function checkWorker(demand: WorkerDemand, fences: readonly number[]): void {
  const { home, where, slots, threads, tasks, labels } = demand;
  checkId('worker', demand.worker);
  // Those of the replicas are told of by the replicas.
  if (where !== 'worker') throw invalid('a worker of a user is no sandbox');
  if (home.length > HOME_LENGTH_MAX) {
    throw invalid(`the home of a worker is longer than ${HOME_LENGTH_MAX}`);
  }
  // One that leaves has no slots.
  if (slots > SLOTS_MAX || threads > SLOTS_MAX) {
    throw invalid(`slots of a worker: at most ${SLOTS_MAX}, found ${Math.max(slots, threads)}`);
  }
  if (tasks.length > WORKER_TASKS_MAX) {
    throw invalid(`tasks of a worker: at most ${WORKER_TASKS_MAX}, found ${tasks.length}`);
  }
  for (const task of tasks) checkRun(task);
  if (labels.length > WORKER_LABELS_MAX || !labels.every(isLabel)) {
    const each = `each of 1 to ${LABEL_LENGTH_MAX} characters`;
    throw invalid(`labels of a worker: at most ${WORKER_LABELS_MAX}, ${each}`);
  }
  if (fences.length > WORKER_FENCES_MAX) {
    throw invalid(`a worker has at most ${WORKER_FENCES_MAX} attempts, found ${fences.length}`);
  }
}

function checkSpec(spec: JobSpec, limits: Limits): void {
  const { name, priority, weight, retentionMs, input, stages } = spec;
  checkBytes('jobSpecBytesMax', packedBytes(fromJobSpec(spec)), limits.jobSpecBytesMax);
  if (name.length > NAME_LENGTH_MAX) throw invalid('the name of a job is longer than 200');
  checkWithin('priority', priority, 0, PRIORITY_MAX);
  checkWithin('weight', weight, 1, WEIGHT_MAX);
  checkWithin('retentionMs', retentionMs, 0, MS_MAX);
  checkInput(input);
  if (stages.length === 0) throw invalid('a job has at least one stage');
  if (stages.length > limits.jobStagesMax) {
    throw limit('jobStagesMax', stages.length, limits.jobStagesMax);
  }
  for (const [i, stage] of stages.entries()) checkStage(stage, i + 1);
  const names = new Set(stages.map((stage) => stage.name));
  if (names.size < stages.length) throw invalid('two stages have the same name');
}

function checkInput(input: InputSpec): void {
  if (input.type === 'range') {
    checkWithin('bytesPerTask', input.bytesPerTask, 1, 64 * 1024 * 1024);
    checkWithin('keysPerTask', input.keysPerTask, 1, 1_000_000);
    checkOneOf('values of the input', input.values, RANGE_VALUES);
  } else if (input.type === 'upload') {
    checkId('upload', input.upload);
    if (input.counts.length === 0) throw invalid('an upload has at least one chunk');
    if (input.counts.some((n) => n === 0)) throw invalid('a chunk of items without any');
    // All together could be more than a number can say exactly, and what is stored of the job could not be read any more.
    if (input.counts.some((n) => n > UPLOAD_CHUNK_BYTES_MAX)) {
      throw invalid('a chunk with more items than it has bytes');
    }
  } else if (input.type === 'generator') checkRun(input.run);
}

function checkStage(stage: StageSpec, place: number): void {
  const { name, kind, fanIn, after, run, labels } = stage;
  if (!ID.test(name)) throw invalid(`${JSON.stringify(name)} is no name of a stage`);
  if (after.length === 0 || after.some((n) => n >= place)) {
    throw invalid(`stage ${name}: it takes what earlier stages give, or the input`);
  }
  if (new Set(after).size < after.length) throw invalid(`stage ${name}: one is there twice`);
  checkOneOf(`kind of stage ${name}`, kind, STAGE_KINDS);
  checkWithin(`fanIn of stage ${name}`, fanIn, kind === 'map' ? 1 : 2, FAN_IN_MAX);
  checkRun(run);
  checkWithin('memoryBytes', stage.memoryBytes, 0, Number.MAX_SAFE_INTEGER);
  if (labels.length > LABELS_MAX || !labels.every(isLabel)) {
    throw invalid(
      `stage ${name}: at most ${LABELS_MAX} labels of 1 to ${LABEL_LENGTH_MAX} characters`,
    );
  }
  checkWithin('retries', stage.retries, 0, RETRIES_MAX);
  checkWithin('lostRetries', stage.lostRetries, 0, RETRIES_MAX);
  checkWithin('poisonAfter', stage.poisonAfter, 1, RETRIES_MAX);
  checkWithin('timeoutMs', stage.timeoutMs, 0, MS_MAX);
}

function checkRun(run: string): void {
  if (run.length > 0 && run.length <= NAME_LENGTH_MAX) return;
  throw invalid(`${JSON.stringify(run)} is no name of a procedure or task`);
}

function checkReport({ report }: TaskReportOperation, limits: Limits): void {
  switch (report.type) {
    case 'checkpoint':
      checkBytes('checkpointBytesMax', report.json.length, limits.checkpointBytesMax);
      break;
    case 'cut':
      throw invalid('a worker of a user does not cut inputs');
    case 'result': {
      // Only what a replica itself has run can say what was read.
      if (report.call !== null) throw invalid('a worker of a user writes through its client');
      const { value } = report;
      if (value.type === 'upload') checkId('upload', value.upload);
      else {
        const bytes = value.type === 'json' ? value.json.length : value.bytes.byteLength;
        checkBytes('inlineValueBytesMax', bytes, INLINE_VALUE_BYTES_MAX);
      }
      break;
    }
    // Workers cut both before (`cutMessage`); those that were there before that was so need not.
    case 'failed':
      checkBytes('taskCodeBytesMax', report.code.length, INLINE_VALUE_BYTES_MAX);
      checkBytes('taskMessageBytesMax', report.message.length, INLINE_VALUE_BYTES_MAX);
      break;
    case 'crashed':
      checkBytes('taskMessageBytesMax', report.message.length, INLINE_VALUE_BYTES_MAX);
      break;
    default:
      break;
  }
}

function checkWithin(what: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw invalid(`${what} of a job is a whole number from ${min} to ${max}, found ${value}`);
}

function checkOneOf(what: string, value: string, known: readonly string[]): void {
  if (known.includes(value)) return;
  throw invalid(`${what}: one of ${known.join(', ')}, found ${value}`);
}

function checkBytes(name: string, bytes: number, max: number): void {
  if (bytes > max) throw limit(name, bytes, max);
}

function limit(name: string, found: number, max: number): BalsaError {
  return new BalsaError('JOB_LIMIT', `a job has reached ${name}: ${found}, the limit is ${max}`, {
    outcome: 'not-applied',
    details: { limit: name, max },
  });
}

function invalid(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied' });
}
