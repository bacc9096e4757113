import { type Call, callsOf } from './calls.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { fieldsOf, listOf, seconds, show, valueText } from './values.js';

interface Job {
  submit: Call | null;
  tasks: ReadonlySet<string>;
  expected: Call | null;
  isCancelled: boolean;
  mayFail: boolean;
  readonly results: Call[];
  readonly effects: Call[];
}

/**
 * Jobs: tasks may run more than once, their effects are there once (twice), and none of a task that nobody submitted, or that was refused
 * (of nobody), or before it was submitted (too early). A job that is done has the effect of every task (lost) and the result that it must
 * have (wrong result); what it has come to does not change any more (two results). None fails, unless it was submitted as one that may
 * (failed). Every job that was acknowledged and not cancelled comes to an end, and of each it is told last what its tasks have done.
 */
export function jobChecker(): Checker {
  return {
    name: 'jobs',
    check: async (history) => {
      const findings = new Findings('jobs');
      const jobs = new Map<string, Job>();
      for await (const call of callsOf(history)) {
        if (!FUNCTIONS.has(call.f)) continue;
        findings.operations += 1;
        const job = jobs.get(call.key) ?? newJob();
        jobs.set(call.key, job);
        take(job, call);
      }
      let unfinished = 0;
      for (const [key, job] of jobs) {
        if (job.submit?.outcome === 'ok' && job.results.length === 0 && !job.isCancelled) {
          unfinished += 1;
        }
        judgeResults(findings, key, job);
        judgeEffects(findings, key, job);
      }
      const unseen = [...jobs.values()].filter((job) => !isSeen(job)).length;
      const shown = `${jobs.size} jobs: each task has its effect once`;
      const details = { jobs: jobs.size, unfinished, unseen };
      return findings.verdict(shown, { doubt: doubtOf(details), details });
    },
  };
}

const FUNCTIONS: ReadonlySet<string> = new Set([
  'submit',
  'cancel',
  'result',
  'effects',
  'expected',
]);

function newJob(): Job {
  return {
    submit: null,
    tasks: new Set(),
    expected: null,
    isCancelled: false,
    mayFail: false,
    results: [],
    effects: [],
  };
}

function take(job: Job, call: Call): void {
  if (call.f === 'submit') {
    job.submit = call;
    const asked = fieldsOf(call, call.asked);
    job.tasks = new Set(listOf(call, asked.tasks).map(valueText));
    job.mayFail = asked.mayFail === true;
  } else if (call.f === 'expected') job.expected = call;
  else if (call.f === 'cancel') job.isCancelled ||= call.outcome !== 'fail';
  else if (call.outcome !== 'ok') return;
  else if (call.f === 'result') job.results.push(call);
  else job.effects.push(call);
}

function doubtOf({ unfinished, unseen }: { unfinished: number; unseen: number }): string | null {
  if (unseen > 0) return `of ${unseen} jobs nothing tells in the end what their tasks have done`;
  return unfinished > 0 ? `of ${unfinished} jobs it is not told what they have come to` : null;
}

/** Its effects were looked for when all that is known of it was over. */
function isSeen({ submit, results, effects }: Job): boolean {
  if (submit === null && results.length === 0) return true;
  const ends = results.map(({ end }) => end);
  if (submit !== null && submit.outcome !== 'info') ends.push(submit.end);
  const last = Math.max(submit?.begin ?? 0, ...ends);
  return effects.some(({ begin }) => begin >= last);
}

function judgeResults(findings: Findings, key: string, job: Job): void {
  const [first] = job.results;
  if (first === undefined) return;
  const other = job.results.find(({ answer }) => valueText(answer) !== valueText(first.answer));
  if (other !== undefined) {
    const text = `job ${key} came to ${show(first.answer)}, and then to ${show(other.answer)}`;
    findings.note('two results', text, [first, other]);
  }
  judgeOrigin(findings, key, job, first);
  const { status, value } = fieldsOf(first, first.answer);
  if (status === 'failed' && !job.mayFail) {
    findings.note('failed', `job ${key} failed, and none of its tasks does`, [first]);
  }
  if (status === 'cancelled' && !job.isCancelled) {
    findings.note('of nobody', `job ${key} was cancelled by nobody`, [first]);
  }
  if (status !== 'done' || job.expected === null) return;
  const expected = job.expected.answer;
  if (valueText(value) === valueText(expected)) return;
  const text = `job ${key} came to ${show(value)}, and must come to ${show(expected)}`;
  findings.note('wrong result', text, [job.expected, first]);
}

function judgeOrigin(findings: Findings, key: string, { submit }: Job, result: Call): void {
  if (submit === null) return;
  const text = `job ${key} came to ${show(result.answer)} at ${seconds(result.end)}`;
  if (submit.outcome === 'fail') {
    findings.note('of nobody', `${text}, and was not submitted`, [submit, result]);
  } else if (result.end < submit.begin) {
    const when = seconds(submit.begin);
    findings.note('too early', `${text}, and was submitted from ${when} on`, [result, submit]);
  }
}

function judgeEffects(findings: Findings, key: string, job: Job): void {
  const submitted = job.submit === null ? [] : [job.submit];
  const done = job.results.find((call) => fieldsOf(call, call.answer).status === 'done');
  for (const call of job.effects) {
    const tasks = listOf(call, call.answer).map(valueText);
    const there = new Set(tasks);
    if (there.size < tasks.length) {
      const twice = tasks.find((task, at) => tasks.indexOf(task) !== at);
      const text = `the effect of task ${twice} of job ${key} is there twice at ${seconds(call.end)}`;
      findings.note('twice', text, [...submitted, call]);
    }
    const stranger = [...there].find((task) => !job.tasks.has(task));
    if (stranger !== undefined || (job.submit?.outcome === 'fail' && there.size > 0)) {
      const text = `job ${key} has an effect of task ${stranger ?? [...there][0]}, which nobody submitted`;
      findings.note('of nobody', text, [...submitted, call]);
    }
    if (there.size > 0 && job.submit !== null && call.end < job.submit.begin) {
      const text = `task ${[...there][0]} of job ${key} had its effect by ${seconds(call.end)}, and was submitted from ${seconds(job.submit.begin)} on`;
      findings.note('too early', text, [call, job.submit]);
    }
    if (done === undefined || done.end >= call.begin) continue;
    const missing = [...job.tasks].find((task) => !there.has(task));
    if (missing === undefined) continue;
    const text = `job ${key} was done at ${seconds(done.end)}, without the effect of task ${missing}`;
    findings.note('lost', text, [...submitted, done, call]);
  }
}
