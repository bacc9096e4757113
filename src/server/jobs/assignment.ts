import type { StageSpec, TaskClaim, WorkerDemand } from '../../base/job.js';
import type { Job, Task } from '../../statemachine/jobs/job.js';
import { Locality } from './locality.js';

/** A worker that may be given something. */
export interface FreeWorker {
  readonly demand: WorkerDemand;
  /** Attempts that it has, or will have. */
  load: number;
  /** Declared memory of these. */
  memoryBytes: number;
  readonly claims: TaskClaim[];
}

export interface AssignmentOptions {
  /** Those that run. */
  readonly jobs: readonly Job[];
  readonly workers: readonly FreeWorker[];
  readonly nowMs: number;
  /** Attempts at most. */
  readonly max: number;
  /** Of one job: tasks that were begun and are not done, at most. */
  readonly openTasksMax: number;
  /** Attempts of each job that are under way. */
  readonly running: ReadonlyMap<string, number>;
  /** What takes much longer than others is looked for, too. */
  readonly speculates: boolean;
}

/** A second attempt of what takes so many times as long as nine of ten others did, and so long at least. */
const SLOW_FACTOR = 2;
const SLOW_MS = 1000;
const QUANTILE = 0.9;
/** So many attempts have to have ended. */
const ENDED_MIN = 3;

/** Of a stage that cuts the input. */
const CUT = { where: 'sandbox', run: '', labels: [], memoryBytes: 0 } as const;
type Needs = Pick<StageSpec, 'where' | 'run' | 'labels' | 'memoryBytes'>;

function needsOf(job: Job, stage: number): Needs {
  return job.stageSpec(stage) ?? CUT;
}

interface TaskPlace {
  readonly stage: number;
  readonly ordinal: number;
}

interface Candidates {
  readonly job: Job;
  /** Where it stands among the jobs. */
  readonly place: number;
  tasks: TaskPlace[];
  /** Its tasks are looked for when it is its turn: there may be a thousand jobs, and room for one task. */
  isNew: boolean;
  /** Of those that were not begun so many more may be given. */
  freshLeft: number;
  /** Which replica is to have a task, if there is time (`null`: any), of those that were looked at. */
  readonly homes: Map<TaskPlace, string | null>;
  /** By stage and replica: none of its tasks is for that one. */
  readonly none: Set<string>;
  running: number;
}

/**
 * Decides which tasks free workers get. Jobs of a higher priority come first; among those of one priority the next task is one of
 * the job that has the fewest attempts under way for its weight: so shares are fair in time that workers spend, whatever a task
 * takes (weighted max-min; a round robin by number would give most to who has the longest tasks), and nothing need be remembered
 * from one decision to the next, nor from one leader to the next. The worker with the least to do for its threads has it; among the
 * next pieces of a range of keys it has those that it is likely to have read before (see {@link Locality}).
 *
 * @returns how many attempts were given; they are in `claims` of the workers
 */
export function assign(options: AssignmentOptions): number {
  let left = options.max;
  const priorities = [...new Set(options.jobs.map(({ spec }) => spec.priority))];
  for (const priority of priorities.sort((a, b) => b - a)) {
    const jobs = options.jobs.filter(({ spec }) => spec.priority === priority);
    left -= assignFresh(options, jobs, left);
  }
  if (options.speculates) left -= speculate(options, left);
  return options.max - left;
}

function assignFresh(options: AssignmentOptions, jobs: readonly Job[], max: number): number {
  const { workers, nowMs, running } = options;
  const free = workers.reduce((sum, worker) => sum + Math.max(0, freeSlots(worker)), 0);
  const room = Math.min(max, free);
  if (room === 0) return 0;
  const sandboxes = workers.filter(({ demand }) => demand.where === 'sandbox');
  const locality = new Locality(sandboxes.map(({ demand }) => demand.home));
  // What the log would refuse is not asked for, again and again.
  const freshMax = (job: Job): number => Math.max(0, options.openTasksMax - job.openTasks);
  const claimable = (job: Job): TaskPlace[] => {
    const isWanted = (stage: number): boolean => idlest(workers, needsOf(job, stage)) !== null;
    return job.claimable(nowMs, room + locality.ahead(job), { freshMax: freshMax(job), isWanted });
  };
  const all = jobs.map((job, place): Candidates => {
    const facts = { homes: new Map(), none: new Set<string>(), running: running.get(job.id) ?? 0 };
    return { job, place, tasks: [], isNew: true, freshLeft: freshMax(job), ...facts };
  });
  const waiting = all.sort(byNeed);
  let given = 0;
  while (given < room) {
    const next = waiting.shift();
    if (next === undefined) break;
    if (next.isNew) next.tasks = claimable(next.job);
    next.isNew = false;
    if (!giveNext(next, workers, locality)) continue;
    next.running += 1;
    given += 1;
    const behind = waiting.findIndex((one) => byNeed(next, one) < 0);
    waiting.splice(behind < 0 ? waiting.length : behind, 0, next);
  }
  return given;
}

/** Who is to have the next task is first. */
function byNeed(a: Candidates, b: Candidates): number {
  const shareOf = ({ job, running }: Candidates): number => (running + 1) / job.spec.weight;
  return shareOf(a) - shareOf(b) || a.job.bornIndex - b.job.bornIndex || a.place - b.place;
}

/** The first of its tasks for which there is a worker, or one behind it that is nearer to that. @returns whether there was one */
function giveNext(
  candidates: Candidates,
  workers: readonly FreeWorker[],
  locality: Locality,
): boolean {
  const { job, tasks } = candidates;
  const unfit = new Set<number>();
  for (let i = 0; i < tasks.length; i += 1) {
    const { stage, ordinal } = tasks[i] as TaskPlace;
    if (unfit.has(stage)) continue;
    const isFresh = job.task(stage, ordinal) === null;
    // Those of a stage that were not begun are behind all others of it.
    const isOver = isFresh && candidates.freshLeft === 0;
    const worker = isOver ? null : idlest(workers, needsOf(job, stage));
    if (worker === null) unfit.add(stage);
    else {
      const place = nearest(candidates, { from: i, home: worker.demand.home, locality });
      give(worker, job, { ...(tasks[place] as TaskPlace), speculative: false });
      if (isFresh) candidates.freshLeft -= 1;
      if (place === 0) tasks.shift();
      else tasks.splice(place, 1);
      return true;
    }
  }
  return false;
}

/** Where the one is that a worker is to have: the first of the stage, at `from`, unless there is one for it behind that. */
function nearest(
  candidates: Candidates,
  { from, home, locality }: { from: number; home: string; locality: Locality },
): number {
  const { job, tasks, none } = candidates;
  const first = tasks[from] as TaskPlace;
  const { stage, ordinal } = first;
  const own = homeOf(candidates, first, locality);
  if (own === null || own === home) return from;
  // Tasks are only taken away: what was not found once is not looked for among all of them again and again.
  const name = `${stage} ${home}`;
  // What was begun before waits no longer.
  if (none.has(name) || job.task(stage, ordinal) !== null) return from;
  const place = tasks.findIndex(
    (task, n) => n > from && task.stage === stage && homeOf(candidates, task, locality) === home,
  );
  if (place >= 0) return place;
  none.add(name);
  return from;
}

function homeOf({ job, homes }: Candidates, task: TaskPlace, locality: Locality): string | null {
  const known = homes.get(task);
  if (known !== undefined) return known;
  const home = locality.homeOf(job, task);
  homes.set(task, home);
  return home;
}

function idlest(
  workers: readonly FreeWorker[],
  needs: Needs,
  isAllowed: (worker: FreeWorker) => boolean = () => true,
): FreeWorker | null {
  let best: FreeWorker | null = null;
  for (const worker of workers) {
    if (freeSlots(worker) <= 0 || !fits(worker, needs) || !isAllowed(worker)) continue;
    if (best === null || fullness(worker) < fullness(best)) best = worker;
  }
  return best;
}

const freeSlots = ({ demand, load }: FreeWorker): number => demand.slots - load;
const fullness = ({ demand, load }: FreeWorker): number => load / Math.max(1, demand.threads);

function fits({ demand, memoryBytes }: FreeWorker, needs: Needs): boolean {
  if (demand.where !== needs.where) return false;
  if (needs.where === 'worker' && !demand.tasks.includes(needs.run)) return false;
  if (!needs.labels.every((label) => demand.labels.includes(label))) return false;
  return demand.memoryBytes === 0 || memoryBytes + needs.memoryBytes <= demand.memoryBytes;
}

function give(
  worker: FreeWorker,
  job: Job,
  task: { readonly stage: number; readonly ordinal: number; readonly speculative: boolean },
): void {
  const { stage, ordinal, speculative } = task;
  worker.claims.push({ job: job.id, stage, ordinal, speculative });
  worker.load += 1;
  worker.memoryBytes += job.stageSpec(stage)?.memoryBytes ?? 0;
}

/** Second attempts beside what takes too long, at workers that have nothing else to do. */
function speculate({ jobs, workers, nowMs }: AssignmentOptions, max: number): number {
  let given = 0;
  for (const job of jobs) {
    for (const task of job.tasks) {
      if (given >= max) return given;
      if (!isSlow(job, task, nowMs)) continue;
      const [first] = task.attempts;
      const needs = needsOf(job, task.stage);
      const elsewhere = (worker: FreeWorker): boolean =>
        worker.demand.worker !== first?.worker && worker.load < worker.demand.threads;
      const worker = idlest(workers, needs, elsewhere);
      if (worker === null) continue;
      give(worker, job, { stage: task.stage, ordinal: task.ordinal, speculative: true });
      given += 1;
    }
  }
  return given;
}

function isSlow(job: Job, { stage, attempts }: Task, nowMs: number): boolean {
  const [first] = attempts;
  if (first === undefined || attempts.length > 1) return false;
  if (job.stageSpec(stage)?.speculates === false) return false;
  const usualMs = job.usualMs(stage, QUANTILE, ENDED_MIN);
  return usualMs !== null && nowMs - first.sinceMs > Math.max(SLOW_MS, SLOW_FACTOR * usualMs);
}
