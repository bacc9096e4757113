import { Cron } from 'croner';
import { BalsaError } from '../base/errors.js';

/**
 * When a cron expression is due next, behind `nowMs`: five fields (or six, with seconds first), UTC.
 * @throws BalsaError `INVALID_ARGUMENT`: it is none, or is never due again
 */
export function nextDueMs(expression: string, nowMs: number): number {
  const next = dueAgainMs(expression, nowMs);
  if (next === null) throw invalid(`${JSON.stringify(expression)} is never due again`);
  return next;
}

/**
 * As {@link nextDueMs}; `null`: it is never due again, being one of certain years.
 * @throws BalsaError `INVALID_ARGUMENT`: it is none
 */
export function dueAgainMs(expression: string, nowMs: number): number | null {
  return parsed(expression, (cron) => cron.nextRun(new Date(nowMs))?.getTime() ?? null);
}

/** @throws BalsaError `INVALID_ARGUMENT`: it is no cron expression */
export function checkCron(expression: string): void {
  parsed(expression, () => null);
}

function parsed<T>(expression: string, use: (cron: Cron) => T): T {
  try {
    return use(new Cron(expression, { timezone: 'UTC', paused: true }));
  } catch (cause) {
    throw invalid(
      `${JSON.stringify(expression)} is no cron expression: ${(cause as Error).message}`,
    );
  }
}

/** What `ctx.schedule` is given. */
export interface ScheduleRequest {
  readonly atMs?: unknown;
  readonly inMs?: unknown;
  readonly cron?: unknown;
  readonly id?: unknown;
  readonly name?: unknown;
  /** How the procedure is declared; absent: it is not known here. */
  readonly mode?: unknown;
  readonly now: number;
}

const ID = /^[\w.:@-]{1,100}$/;
/** Fifteen digits. */
const DUE_MAX = 10 ** 15 - 1;

/**
 * When it is due first.
 * @throws BalsaError `INVALID_ARGUMENT`
 */
export function dueOf(
  { atMs, inMs, cron, id, name, mode, now }: ScheduleRequest,
  logMs: number = now,
): number {
  if (typeof name !== 'string' || name === '') {
    throw invalid(
      'ctx.schedule: name the procedure as it is exported, or give one of the same file',
    );
  }
  if (mode !== undefined && mode !== 'cp') {
    throw invalid(
      `ctx.schedule: ${name} is declared as ${mode}: those that write are called later`,
    );
  }
  if (id !== undefined && (typeof id !== 'string' || !ID.test(id))) {
    throw invalid('ctx.schedule: an id has 1 to 100 letters, digits, or one of _ . : @ -');
  }
  const given = [atMs, inMs, cron].filter((value) => value !== undefined);
  if (given.length !== 1) throw invalid('ctx.schedule: one of atMs, inMs and cron');
  if (cron !== undefined) return inLogTime(nextDueMs(String(cron), now), { now, logMs });
  const due = Math.ceil(atMs === undefined ? now + numberOf(inMs) : numberOf(atMs));
  if (Number.isFinite(due) && due >= 0 && due <= DUE_MAX) return inLogTime(due, { now, logMs });
  throw invalid('ctx.schedule: atMs and inMs are milliseconds');
}

/**
 * When log time is at a time of day, in milliseconds, if both go on as they are: it is behind by as long as nobody has led so far.
 * Before it began it is taken for its begin.
 */
export function inLogTime(
  dueMs: number,
  { now, logMs }: { readonly now: number; readonly logMs: number },
): number {
  return Math.min(DUE_MAX, Math.max(0, dueMs - now + logMs));
}

/** What is no number, or none that is finite, has become `null` on its way. */
function numberOf(value: unknown): number {
  return value === null ? Number.NaN : Number(value);
}

function invalid(message: string): BalsaError {
  return new BalsaError('INVALID_ARGUMENT', message, { outcome: 'not-applied' });
}
