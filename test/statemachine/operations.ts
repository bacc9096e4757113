import type {
  Compare,
  KeyValue,
  PutOperation,
  ReadOperation,
  ReadResult,
  TxnOperation,
  TxnStep,
  WriteOperation,
  WriteResult,
} from '../../src/base/operation.js';
import { bytes } from './replica.js';

/** Operations and answers in few words, for tests that need many. */

export function putWith(
  key: string,
  value: string | null,
  more: Omit<Partial<PutOperation>, 'type' | 'key' | 'value'> = {},
): PutOperation {
  return { type: 'put', key: bytes(key), value: value === null ? null : bytes(value), ...more };
}

export function delRange(from: string, to: string | null, returnPrevious = false) {
  return {
    type: 'delete-range' as const,
    from: bytes(from),
    to: to === null ? null : bytes(to),
    returnPrevious,
  };
}

export function readKey(key: string, more: Partial<ReadOperation> = {}): ReadOperation {
  return { type: 'read', from: bytes(key), ...more };
}

export function readRange(
  from: string,
  to: string | null,
  more: Partial<ReadOperation> = {},
): ReadOperation {
  return { type: 'read', from: bytes(from), to: to === null ? null : bytes(to), ...more };
}

export function txn(
  compares: readonly Compare[],
  success: readonly TxnStep[],
  failure: readonly TxnStep[] = [],
): TxnOperation {
  return { type: 'txn', compares, success, failure };
}

/** `when('a', 'version', '=', 1)`; with `to` a range. */
export function when(
  from: string,
  target: Compare['target'],
  operator: Compare['operator'],
  value: number | string,
  to?: string | null,
): Compare {
  const place = { from: bytes(from), operator };
  const range = to === undefined ? place : { ...place, to: to === null ? null : bytes(to) };
  return target === 'value'
    ? { ...range, target, value: bytes(String(value)) }
    : { ...range, target, value: Number(value) };
}

export function compact(revision: number): WriteOperation {
  return { type: 'compact', revision };
}

export function grant(lease: number, ttlMs = 1000): WriteOperation {
  return { type: 'lease-grant', lease, ttlMs };
}

export function text(data: Uint8Array): string {
  return Buffer.from(data).toString();
}

export function itemText({ key, value, modRevision }: KeyValue): string {
  return `${text(key)}=${text(value)}@${modRevision}`;
}

/** An answer in a few words. */
export function say(result: WriteResult | ReadResult | undefined): string {
  if (result === undefined) return 'none';
  switch (result.type) {
    case 'put': {
      const { previous } = result;
      if (previous === undefined) return `put@${result.revision}`;
      return `put@${result.revision} was ${previous === null ? 'nothing' : itemText(previous)}`;
    }
    case 'delete': {
      const was = result.previous?.map(itemText).join(' ');
      const said = `delete@${result.revision}:${result.deleted}`;
      return was === undefined ? said : `${said} was [${was}]`;
    }
    case 'txn':
      return `${result.succeeded ? 'then' : 'else'}@${result.revision}(${result.results.map(say).join(', ')})`;
    case 'read':
      return `read[${result.items.map(itemText).join(' ')}]:${result.count}${result.more ? '+' : ''}`;
    case 'lease':
      return `lease ${result.lease} ${result.ttlMs}`;
    case 'done':
      return `done@${result.revision}`;
    case 'error':
      return result.code;
  }
}

export function sayAll(results: readonly WriteResult[]): string[] {
  return results.map(say);
}
