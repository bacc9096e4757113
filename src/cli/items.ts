import type { Item } from '../client/client.js';
import { jsonBytes } from './printable.js';

/** A key and what it holds, for `-o json`; without value where there is none. */
export function itemJson(item: Item<Buffer | undefined, 'bytes'>): Record<string, unknown> {
  const { key, value, createRevision, modRevision, version, lease } = item;
  return {
    ...jsonBytes('key', key),
    ...(value === undefined ? {} : jsonBytes('value', value)),
    ...{ createRevision, modRevision, version, lease },
  };
}

const TAB = Buffer.from('\t');
const NEWLINE = Buffer.from('\n');

/** `KEY TAB VALUE` or `KEY`, with a line end: the bytes as they are. */
export function itemLine(key: Uint8Array, value: Uint8Array | undefined): Buffer {
  return value === undefined
    ? Buffer.concat([key, NEWLINE])
    : Buffer.concat([key, TAB, value, NEWLINE]);
}
