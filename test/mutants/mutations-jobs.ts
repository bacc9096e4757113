import type { Mutation } from './mutation.js';

const RULES = ['test/statemachine/jobs.test.ts'];
const ASSIGNMENT_RULES = ['test/server/jobs/assignment.test.ts'];
const EXECUTOR = 'src/statemachine/jobs/job-executor.ts';
const JOBS = 'src/statemachine/jobs/jobs.ts';

/** Only in these there are jobs; see `hasJobs` of the simulator. */
const WITH_JOBS = { from: 4, step: 8 };

/** Jobs: each task's effects once, whoever is lost, late, or told to end. */
export const JOB_MUTATIONS: readonly Mutation[] = [
  {
    name: 'task-result-without-fence',
    bug: 'An attempt whose worker was taken for lost still counts: its late result is written beside that of the next one.',
    history: 'Kleppmann 2016, How to do distributed locking: a lock without a fencing token',
    edits: [{ file: JOBS, find: '    this.#attempts.delete(fence);\n', replace: '' }],
    rules: RULES,
    seeds: WITH_JOBS,
    seedsMax: 6,
  },
  {
    name: 'speculation-commits-twice',
    bug: 'When one of two attempts of a task has ended well, the other one may end as well, and has its effects, too.',
    history: 'Hadoop MAPREDUCE-4819: a task whose output is committed by two attempts',
    edits: [
      {
        file: JOBS,
        find: '    this.endAttempts(job, task);\n    job.finish(task, times);',
        replace: '    job.finish(task, times);',
      },
    ],
    rules: RULES,
    seeds: WITH_JOBS,
    seedsMax: 6,
  },
  {
    name: 'worker-lost-before-its-lease-is-over',
    bug: 'Whoever takes a worker for lost by its own clock is believed: its lease in log time is not looked at.',
    history: 'Burrows 2006, Chubby; leases that expire by a local clock',
    edits: [
      {
        file: EXECUTOR,
        find: '(!isGone && state.deadlineMs > this.#now.timeMs)',
        replace: '(!isGone && this.#now.timeMs < 0)',
      },
    ],
    rules: RULES,
    seedsMax: 0,
  },
  {
    name: 'result-before-its-chunks',
    bug: 'A task is done whose result was uploaded in part: whoever reads it finds chunks that are not there.',
    history: 'S3 multipart uploads that were completed without their last part',
    edits: [
      {
        file: 'src/statemachine/jobs/uploads.ts',
        find: 'if (found !== chunks || chunks === 0) {',
        replace: 'if (chunks === 0) {',
      },
    ],
    rules: RULES,
    seedsMax: 0,
  },
  {
    name: 'cancelled-job-goes-on',
    bug: 'Attempts that are under way when a job is cancelled are not ended: what they write comes into being behind the answer.',
    history: 'celery#2727 and the like: a revoked task that is run all the same',
    edits: [
      {
        file: EXECUTOR,
        find: '    for (const task of [...job.tasks]) jobs.endAttempts(job, task);\n',
        replace: '',
      },
    ],
    rules: RULES,
    seeds: WITH_JOBS,
    seedsMax: 10,
  },
  {
    name: 'task-done-without-its-writes',
    bug: 'The result of a task is kept, and what it wrote is not: the two do not come into being together.',
    history: 'exactly-once sinks that commit offsets and output apart',
    edits: [
      {
        file: EXECUTOR,
        find: 'if (call !== null) calls.commit(call);',
        replace: 'if (call !== null) calls.beginEntry();',
      },
    ],
    rules: RULES,
    seeds: WITH_JOBS,
    seedsMax: 4,
  },
  {
    name: 'conflict-taken-for-a-failure',
    bug: 'A task that others were quicker than is charged with a failure: a job that is in its own way fails.',
    history: 'a plausible slip in our own code',
    edits: [
      {
        file: EXECUTOR,
        find: "if (error.code === 'TXN_CONFLICT') this.#conflict(attempt);",
        replace: "if (error.code === 'JOB_STATE') this.#conflict(attempt);",
      },
    ],
    rules: RULES,
    seedsMax: 0,
  },
  {
    name: 'input-compacted-under-a-job',
    bug: 'The revision at which a job reads its keys is compacted while it runs.',
    history: 'CockroachDB: protected timestamps, which backups lacked at first',
    edits: [
      {
        file: JOBS,
        find: 'pinned = Math.min(pinned ?? revision, revision);',
        replace: 'pinned = null;',
      },
    ],
    rules: RULES,
    seedsMax: 0,
  },
  {
    name: 'combine-before-its-inputs',
    bug: 'A task of a later stage begins when the first of its inputs is there.',
    history: 'a plausible slip in our own code',
    edits: [
      {
        file: 'src/statemachine/jobs/job.ts',
        find: '.done.hasAll(span.from, span.to)',
        replace: '.done.has(span.from)',
      },
    ],
    rules: RULES,
    seeds: WITH_JOBS,
    seedsMax: 6,
  },
  {
    name: 'claim-that-a-restart-forgets',
    bug: 'What is claimed is known in memory alone: a replica that starts anew has another state than the others.',
    history: 'our own rule: what decides is in the state, and in its snapshots',
    edits: [
      {
        file: JOBS,
        find: '    this.#note({ job, task, record });\n    this.changeTask(job, task);',
        replace: '    this.#note({ job, task, record });',
      },
    ],
    rules: RULES,
    seeds: WITH_JOBS,
    seedsMax: 10,
  },
  {
    name: 'worker-given-more-than-it-has-room-for',
    bug: 'The leader does not count what a worker has already: it is given more at each look.',
    history: 'schedulers without backpressure: push instead of pull',
    edits: [
      {
        file: 'src/server/jobs/assignment.ts',
        find: 'demand.slots - load;',
        replace: 'demand.slots - load * 0;',
      },
    ],
    rules: ASSIGNMENT_RULES,
    seedsMax: 0,
  },
  {
    name: 'share-of-a-job-by-tasks-alone',
    bug: 'Weights are not looked at: each job gets as much as any other.',
    history: 'Ghodsi et al. 2011, Dominant resource fairness; Hadoop before its fair scheduler',
    edits: [
      {
        file: 'src/server/jobs/assignment.ts',
        find: '(running + 1) / job.spec.weight',
        replace: '(running + 1) / Math.max(1, 0 * job.spec.weight)',
      },
    ],
    rules: ASSIGNMENT_RULES,
    seedsMax: 0,
  },
  {
    name: 'lease-extended-for-who-was-heard-long-ago',
    bug: 'The lease of a worker that has died a moment ago is extended once more: its tasks wait for as much longer.',
    history: 'a plausible slip in our own code, and it was there',
    edits: [
      {
        file: 'src/server/jobs/dispatcher.ts',
        find: '(left < 1 / 3 ? isPresent : isFresh)',
        replace: '(left < 1 / 3 ? isFresh : isPresent)',
      },
    ],
    rules: ['test/server/jobs/dispatcher.test.ts'],
    seedsMax: 0,
  },
];
