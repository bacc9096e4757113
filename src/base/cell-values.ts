import type { ChangeStamp, ChangeTag } from './delta.js';

/** What the kinds of cells have in common: tags, the order of changes, and JSON in one form. */

/** Arrays and objects in one another, so that no replica can run out of stack where another one does not. */
export const CELL_NESTING_MAX = 100;

/** A value, and the change that has brought it. */
export interface Stamped {
  readonly stamp: TagStamp;
  /** JSON, as {@link canonicalJson} gives it. */
  readonly value: string;
}

const TAG = /^(?:~|([^~]+):)(0|[1-9]\d{0,15})$/;

/** What orders a change, and names it. */
export type TagStamp = Omit<ChangeStamp, 'origin'>;

export function tagOf({ call, place }: Pick<ChangeStamp, 'call' | 'place'>): ChangeTag {
  return call === '' ? `~${place}` : `${call}:${place}`;
}

/** @returns null: that is no tag */
export function parseTag(tag: string): Pick<ChangeStamp, 'call' | 'place'> | null {
  const parts = TAG.exec(tag);
  if (parts === null) return null;
  const [, call = '', place = '0'] = parts;
  return { call, place: Number(place) };
}

/** Tags that a change has observed, with those of its own delta as they are outside of it. */
export function resolved(observed: readonly ChangeTag[], { call }: TagStamp): ChangeTag[] {
  return observed.map((tag) =>
    tag.startsWith('~') ? tagOf({ call, place: Number(tag.slice(1)) }) : tag,
  );
}

/** Negative, zero or positive as `a` was made before, with or after `b`: one order, the same everywhere. */
export function compareStamps(a: TagStamp, b: TagStamp): number {
  return (
    a.timeMs - b.timeMs || a.count - b.count || compareTexts(a.call, b.call) || a.place - b.place
  );
}

/** By UTF-16 code units. */
export function compareTexts(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/**
 * Equal values have equal texts: without spaces, the fields of objects in order.
 * @returns null: it is no JSON, or nested too deep
 */
export function canonicalJson(text: string): string | null {
  try {
    return canonicalText(JSON.parse(text));
  } catch {
    return null;
  }
}

/** @throws whatever it does not like: it is no JSON, or nested too deep */
export function canonicalText(value: unknown): string {
  const text = JSON.stringify(ordered(value, CELL_NESTING_MAX)) as string | undefined;
  if (text === undefined) throw new TypeError('no JSON');
  return text;
}

function ordered(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) throw new RangeError(`nested deeper than ${CELL_NESTING_MAX}`);
  if (Array.isArray(value)) return value.map((item) => ordered(item, depth - 1));
  const entries = Object.entries(value).sort(([a], [b]) => compareTexts(a, b));
  // Defines own fields, also `__proto__`.
  return Object.fromEntries(entries.map(([field, inner]) => [field, ordered(inner, depth - 1)]));
}

export function stampedText({ stamp, value }: Stamped): string {
  const { timeMs, count } = stamp;
  return `{"value":${value},"at":[${timeMs},${count}],"tag":"${tagOf(stamp)}"}`;
}

/** Reads {@link stampedText}. @throws whatever it does not like */
export function toStamped(json: unknown): Stamped {
  const { value, at, tag } = fieldsOf(json);
  const [timeMs, count] = listOf(at);
  const stamp = { timeMs: countOf(timeMs), count: countOf(count), ...partsOf(tag) };
  return { stamp, value: canonicalText(value) };
}

// What was read as JSON. All of these throw whatever they do not like.

export function fieldsOf(json: unknown): Readonly<Record<string, unknown>> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new TypeError();
  return json as Record<string, unknown>;
}

export function listOf(json: unknown): readonly unknown[] {
  if (!Array.isArray(json)) throw new TypeError();
  return json;
}

export function textOf(json: unknown): string {
  if (typeof json !== 'string') throw new TypeError();
  return json;
}

function countOf(json: unknown): number {
  if (!Number.isSafeInteger(json) || (json as number) < 0) throw new TypeError();
  return json as number;
}

export function toTag(json: unknown): ChangeTag {
  partsOf(json);
  return json as ChangeTag;
}

function partsOf(json: unknown): Pick<ChangeStamp, 'call' | 'place'> {
  const parts = parseTag(textOf(json));
  if (parts === null) throw new TypeError();
  return parts;
}
