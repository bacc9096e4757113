import { BalsaError } from '../../base/errors.js';
import type { TaskValue } from '../../base/job.js';
import type { Limits } from '../../base/limits.js';
import type {
  InputInfo,
  JobInfo,
  JobQuery,
  JobsAnswer,
  ResultsInfo,
  StageInfo,
  ValueInfo,
} from '../../rpc/job-protocol.js';
import type { Job } from '../../statemachine/jobs/job.js';
import { resultsOf, type Span } from '../../statemachine/jobs/job-shape.js';
import type { StateMachine } from '../../statemachine/state-machine.js';
import { bytesOf, readTaskInput } from './task-input.js';

const NO_BYTES = new Uint8Array(0);
/** Of one page of results: the first value beyond it is the last one. */
const PAGE_BYTES = 4 * 1024 * 1024;
const PAGE_VALUES = 10_000;

/** @throws BalsaError `JOB_NOT_FOUND`, `TASK_FENCED`, `JOB_STATE`, `JOB_LIMIT`, `INVALID_ARGUMENT`, and as `readTaskInput` */
export async function answerJobQuery(
  machine: () => StateMachine,
  query: JobQuery,
  { nowMs, limits }: { readonly nowMs: number; readonly limits: Pick<Limits, 'frameBytesMax'> },
): Promise<JobsAnswer> {
  switch (query.about) {
    case 'list': {
      const jobs = [...machine().jobs.all].sort((a, b) => b.bornIndex - a.bornIndex);
      return plain(jobs.map((job) => infoOf(job, nowMs)));
    }
    case 'status':
      return plain(infoOf(jobOf(machine(), query.job), nowMs));
    case 'results':
      return results(machine(), query);
    case 'chunk': {
      const bytes = machine().jobs.uploadChunk(String(query.upload), Number(query.place));
      if (bytes === null)
        throw new BalsaError('JOB_NOT_FOUND', 'there is no such chunk (any more)');
      return { info: 'null', bytes };
    }
    case 'input':
      return input(machine, query.fence, limits.frameBytesMax / 2);
    default:
      throw new BalsaError('INVALID_ARGUMENT', 'jobs are not asked about this');
  }
}

function plain(info: unknown): JobsAnswer {
  return { info: JSON.stringify(info), bytes: NO_BYTES };
}

function jobOf({ jobs }: StateMachine, id: string): Job {
  const job = jobs.get(id);
  if (job === null) throw new BalsaError('JOB_NOT_FOUND', `there is no job ${id}`);
  return job;
}

function infoOf(job: Job, nowMs: number): JobInfo {
  const { id, spec, phase, submittedMs, endedMs, items, failure } = job;
  const counts = job.stages.map(() => ({ running: 0, waiting: 0 }));
  for (const { stage, attempts } of job.tasks) {
    const count = counts[stage];
    if (count === undefined) continue;
    if (attempts.length > 0) count.running += 1;
    else count.waiting += 1;
  }
  const nameOf = (stage: number): string => job.stageSpec(stage)?.name ?? 'input';
  const stages = job.stages.map((stage, n): StageInfo => {
    const { tasks = 0, isFinal = false } = job.shapes[n] ?? {};
    const { beganMs, endedMs: stageEndedMs, failures, done } = stage;
    return {
      name: nameOf(n),
      ...{ kind: job.stageSpec(n)?.kind ?? 'cut', tasks, isFinal },
      ...{ done: done.size, ...(counts[n] ?? { running: 0, waiting: 0 }), failures },
      ...{ beganMs, endedMs: stageEndedMs },
    };
  });
  const isCut = spec.input.type === 'range' || spec.input.type === 'generator';
  return {
    job: id,
    ...{ name: spec.name, phase, priority: spec.priority, weight: spec.weight },
    ...{ submittedMs, endedMs, nowMs, items },
    stages: isCut ? stages : stages.slice(1),
    failure: failure && { ...failure, stage: nameOf(failure.stage) },
  };
}

function results(
  machine: StateMachine,
  { job: id, from }: JobQuery & { about: 'results' },
): JobsAnswer {
  const job = jobOf(machine, id);
  if (job.phase !== 'succeeded') {
    throw new BalsaError('JOB_STATE', `job ${id} is ${job.phase}: it has no result`, {
      details: { phase: job.phase },
    });
  }
  const { count, isSingle, spans } = resultsOf(job.spec, job.shapes);
  const values: TaskValue[] = [];
  let bytes = 0;
  for (const { stage, ordinal } of placesIn(spans(from, Math.min(count, from + PAGE_VALUES)))) {
    if (bytes >= PAGE_BYTES) break;
    const value = machine.jobs.value({ job: id, stage, ordinal });
    if (value === null) throw new BalsaError('INTERNAL', 'a job has no result that is done');
    values.push(value);
    bytes += bytesOf(value);
  }
  const { infos, joined } = pack(values);
  const info: ResultsInfo = { count, isSingle, values: infos };
  return { info: JSON.stringify(info), bytes: joined };
}

function* placesIn(
  spans: readonly Span[],
): Generator<{ readonly stage: number; readonly ordinal: number }, void> {
  for (const { stage, from, to } of spans) {
    for (let ordinal = from; ordinal < to; ordinal += 1) yield { stage, ordinal };
  }
}

async function input(
  machine: () => StateMachine,
  fence: number,
  bytesMax: number,
): Promise<JobsAnswer> {
  const attempt = machine().jobs.attempt(fence);
  if (attempt === null) {
    throw new BalsaError('TASK_FENCED', 'the attempt does not count any more', {
      details: { fence },
    });
  }
  const { isList, parts } = await readTaskInput(machine, attempt, {
    ...{ bytesMax, limit: 'frameBytesMax', says: 'half of frameBytesMax' },
  });
  const { infos, joined } = pack(parts);
  const info: InputInfo = { isList, values: infos };
  return { info: JSON.stringify(info), bytes: joined };
}

function pack(values: readonly TaskValue[]): { infos: ValueInfo[]; joined: Buffer } {
  const pieces: Uint8Array[] = [];
  const infos = values.map((value): ValueInfo => {
    if (value.type === 'upload') {
      const { upload, chunks, isJson } = value;
      return { type: 'upload', upload, chunks, isJson };
    }
    const bytes = value.type === 'json' ? Buffer.from(value.json) : value.bytes;
    pieces.push(bytes);
    return { type: value.type, bytes: bytes.byteLength };
  });
  return { infos, joined: Buffer.concat(pieces) };
}
