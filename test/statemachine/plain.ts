import { isDeepStrictEqual } from 'node:util';
import { expect } from 'vitest';
import { toMapKey } from '../../src/base/bytes.js';
import type { KeyValue, ReadResult, WriteResult } from '../../src/base/operation.js';
import { unpackResults } from '../../src/base/operation-codec.js';
import type { BatchAnswer, WriteEvent } from '../../src/statemachine/types.js';
import type { ModelAnswer } from './naive-model.js';
import type { Item, ModelEvent, ModelResult } from './naive-store.js';

/** What the state machine says in the words of the model: all fields, with text for bytes. */

export function plainItem(item: KeyValue): Item {
  const { createRevision, modRevision, version, lease } = item;
  const [key, value] = [toMapKey(item.key), toMapKey(item.value)];
  return { key, value, createRevision, modRevision, version, lease };
}

export function plainAnswer(answer: BatchAnswer): ModelAnswer {
  if (!answer.ok) {
    const { code, outcome } = answer.error;
    return { ok: false, code, outcome: outcome ?? 'none' };
  }
  const { repeated, results } = answer;
  return { ok: true, repeated, results: unpackResults(results).map(plainResult) };
}

export function plainResult(result: WriteResult | ReadResult): ModelResult {
  switch (result.type) {
    case 'put': {
      const { type, revision, previous } = result;
      if (previous === undefined) return { type, revision };
      return { type, revision, previous: previous === null ? null : plainItem(previous) };
    }
    case 'delete': {
      const { type, revision, deleted, previous } = result;
      if (previous === undefined) return { type, revision, deleted };
      return { type, revision, deleted, previous: previous.map(plainItem) };
    }
    case 'txn': {
      const { type, revision, succeeded, results } = result;
      return { type, revision, succeeded, results: results.map(plainResult) };
    }
    case 'read': {
      const { type, count, more } = result;
      const items = result.items.map(plainItem);
      return more === true ? { type, items, count, more } : { type, items, count };
    }
    case 'error':
      return { type: 'error', code: result.code };
    default:
      return result;
  }
}

export type PlainEvent = Omit<ModelEvent, 'previous'>;

export function plainEvent(event: WriteEvent): PlainEvent {
  return {
    type: event.type,
    sub: event.sub,
    item: plainItem({ ...event, modRevision: event.revision }),
  };
}

/** As `expect(actual).toEqual(expected)`, which takes too long to be asked a million times. */
export function same(actual: unknown, expected: unknown, what?: string): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual, what).toEqual(expected);
}

/** None is less than the one before it. */
export function inOrder(numbers: readonly number[]): void {
  const sorted = [...numbers].sort((a, b) => a - b);
  same(numbers, sorted);
}
