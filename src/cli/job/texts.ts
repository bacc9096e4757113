import { formatDuration } from '../../base/duration.js';
import type { JobInfo, StageInfo } from '../../client/client.js';
import { oneLine } from '../printable.js';
import { barText } from '../progress.js';
import { padEnd } from '../text-width.js';

const BAR_COLUMNS = 20;

/** Of the job as a whole: tasks that are done, of those that are known. */
export function doneText({ stages }: JobInfo): string {
  const done = stages.reduce((sum, stage) => sum + stage.done, 0);
  const tasks = stages.reduce((sum, stage) => sum + stage.tasks, 0);
  const isFinal = stages.every((stage) => stage.isFinal);
  return `${done}/${tasksText(tasks, isFinal)}`;
}

/** `1000`; with more to come `1000+`. */
export function tasksText(tasks: number, isFinal: boolean): string {
  return `${tasks}${isFinal ? '' : '+'}`;
}

/** How long it has run, or ran. */
export function tookText({ submittedMs, endedMs, nowMs }: JobInfo): string {
  return formatDuration((endedMs === 0 ? nowMs : endedMs) - submittedMs);
}

export function failureText({ failure }: JobInfo): string | null {
  if (failure === null) return null;
  const { code, message, stage, ordinal } = failure;
  return oneLine(`task ${ordinal} of stage ${stage} failed: ${code}: ${message}`);
}

/** `map     ████████░░░░  40%  400/1000 done, 8 running, 2 waiting, 1 failed, 120/s, 5s left` */
export function stageLine(stage: StageInfo, nowMs: number, nameColumns: number): string {
  const { name, tasks, isFinal, done, running, waiting, failures } = stage;
  const part = tasks === 0 ? (isFinal ? 1 : 0) : done / tasks;
  const counts = [
    `${done}/${tasksText(tasks, isFinal)} done`,
    ...(running > 0 ? [`${running} running`] : []),
    ...(waiting > 0 ? [`${waiting} waiting`] : []),
    ...(failures > 0 ? [`${failures} failed`] : []),
    ...rateTexts(stage, nowMs),
  ];
  const bar = barText(part, BAR_COLUMNS);
  return `${padEnd(name, nameColumns)}  ${bar}  ${counts.join(', ')}`;
}

/** How many a second, and how long the rest takes at that. */
function rateTexts({ beganMs, endedMs, done, tasks, isFinal }: StageInfo, nowMs: number): string[] {
  if (beganMs === 0 || done === 0) return [];
  const isDone = isFinal && done === tasks;
  const tookMs = Math.max(1, (isDone ? endedMs : nowMs) - beganMs);
  const perSecond = (1000 * done) / tookMs;
  const rate = `${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)}/s`;
  if (isDone) return [rate, formatDuration(tookMs)];
  return isFinal ? [rate, `${formatDuration((1000 * (tasks - done)) / perSecond)} left`] : [rate];
}
