import type { KeyWrite } from '../base/call.js';

/** Scheduled calls, by when they are due, in log time. */
export const SCHEDULES = '_schedules/';
const IDS = '_schedule-ids/';
const DUE_DIGITS = 15;

/** So that keys are in the order of their times. */
export function dueText(dueMs: number): string {
  return String(dueMs).padStart(DUE_DIGITS, '0');
}

export function scheduleKey(dueMs: number, id: string): string {
  return `${SCHEDULES}${dueText(dueMs)}/${id}`;
}

/** Where it is said under which key the call of an id is. */
export function pointerKey(id: string): string {
  return `${IDS}${id}`;
}

/** When it is due; no number, where somebody else has put there what is no schedule, and may sort elsewhere than its number would. */
export function dueIn(key: string): number {
  const digits = key.slice(SCHEDULES.length).slice(0, DUE_DIGITS);
  return digits.length === DUE_DIGITS && /^\d+$/.test(digits) ? Number(digits) : Number.NaN;
}

/** What a call that was scheduled writes beside what its code does. @param next when it is due again; `null`: never */
export function movedOn(
  { key, value }: { readonly key: Uint8Array; readonly value: Uint8Array },
  next: number | null,
): KeyWrite[] {
  const id = Buffer.from(key)
    .toString()
    .slice(SCHEDULES.length + DUE_DIGITS + 1);
  const gone = { key, value: null };
  const pointer = Buffer.from(pointerKey(id));
  if (next === null) return [gone, { key: pointer, value: null }];
  const nextKey = scheduleKey(next, id);
  return [
    gone,
    { key: Buffer.from(nextKey), value },
    { key: pointer, value: Buffer.from(JSON.stringify(nextKey)) },
  ];
}
