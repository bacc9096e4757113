import { HistoryError } from '../history/history-error.js';
import type { Call } from './calls.js';

/** A text that is the same for equal JSON values, whatever the order of their fields is. */
export function valueText(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/**
 * 53 bits of a text (cyrb53, two rounds of multiplications as in MurmurHash3): for comparing values without holding them. Of a
 * million different values two are taken for equal with a chance of one in 18,000, and only matter if they meet at one key.
 */
export function hashText(text: string): number {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return 4294967296 * (2097151 & b) + (a >>> 0);
}

/** Short enough for a line of a message. */
export function show(value: unknown): string {
  const text = valueText(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** The value of a call is not what its `f` needs. */
export function badValue(call: Call, found: unknown, expected: string): HistoryError {
  const where = `operation at ${call.begin} ns of process ${call.process}`;
  return new HistoryError(where, `value of ${call.f} must be ${expected}, found ${show(found)}`);
}

/** @throws HistoryError */
export function numberOf(call: Call, found: unknown): number {
  if (typeof found === 'number' && Number.isFinite(found)) return found;
  throw badValue(call, found, 'a number');
}

/** @throws HistoryError */
export function listOf(call: Call, found: unknown): readonly unknown[] {
  if (Array.isArray(found)) return found as unknown[];
  throw badValue(call, found, 'a list');
}

/** @throws HistoryError */
export function fieldsOf(call: Call, found: unknown): Readonly<Record<string, unknown>> {
  if (typeof found === 'object' && found !== null && !Array.isArray(found)) {
    return found as Record<string, unknown>;
  }
  throw badValue(call, found, 'an object');
}

export function seconds(ns: number): string {
  return ns === Number.POSITIVE_INFINITY ? '?' : `${(ns / 1e9).toFixed(3)} s`;
}
