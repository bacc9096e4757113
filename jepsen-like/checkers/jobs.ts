import { type Call, callsOf } from './calls.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { fieldsOf, listOf, seconds, show, valueText } from './values.js';

interface Job {
  submit: Call | null;
  tasks: ReadonlySet<string>;
  expected: Call | null;
  isCancelled: boolean;
  readonly results: Call[];
  readonly effects: Call[];
}

/**
 * Jobs: tasks may run more than once, their effects are there once (twice), and none of a task that nobody submitted. A job that is done has
 * the effect of every task (lost) and the result that it must have (wrong result); what it has come to does not change any more
 * (two results). Every job that was acknowledged and not cancelled comes to an end.
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
      const effects = [...jobs.values()].some((job) => job.effects.length > 0);
      const doubt = effects
        ? unfinished > 0
          ? `of ${unfinished} jobs it is not told what they have come to`
          : null
        : 'nothing tells what the tasks have done';
      const shown = `${jobs.size} jobs: each task has its effect once`;
      return findings.verdict(shown, { doubt, details: { jobs: jobs.size, unfinished } });
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
    results: [],
    effects: [],
  };
}

function take(job: Job, call: Call): void {
  if (call.f === 'submit') {
    job.submit = call;
    job.tasks = new Set(listOf(call, fieldsOf(call, call.asked).tasks).map(valueText));
  } else if (call.f === 'expected') job.expected = call;
  else if (call.f === 'cancel') job.isCancelled ||= call.outcome !== 'fail';
  else if (call.outcome !== 'ok') return;
  else if (call.f === 'result') job.results.push(call);
  else job.effects.push(call);
}

function judgeResults(findings: Findings, key: string, job: Job): void {
  const [first] = job.results;
  if (first === undefined) return;
  const other = job.results.find(({ answer }) => valueText(answer) !== valueText(first.answer));
  if (other !== undefined) {
    const text = `job ${key} came to ${show(first.answer)}, and then to ${show(other.answer)}`;
    findings.note('two results', text, [first, other]);
  }
  const { status, value } = fieldsOf(first, first.answer);
  if (status === 'cancelled' && !job.isCancelled) {
    findings.note('of nobody', `job ${key} was cancelled by nobody`, [first]);
  }
  if (status !== 'done' || job.expected === null) return;
  const expected = job.expected.answer;
  if (valueText(value) === valueText(expected)) return;
  const text = `job ${key} came to ${show(value)}, and must come to ${show(expected)}`;
  findings.note('wrong result', text, [job.expected, first]);
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
    if (done === undefined || done.end >= call.begin) continue;
    const missing = [...job.tasks].find((task) => !there.has(task));
    if (missing === undefined) continue;
    const text = `job ${key} was done at ${seconds(done.end)}, without the effect of task ${missing}`;
    findings.note('lost', text, [...submitted, done, call]);
  }
}
