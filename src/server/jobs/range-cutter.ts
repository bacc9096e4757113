import { check } from '../../base/codec.js';
import { BalsaError } from '../../base/errors.js';
import type { InputSpec, TaskEnd } from '../../base/job.js';
import type { StateMachine } from '../../statemachine/state-machine.js';

/** Keys that one task looks at: then another one goes on, so that others have their turn. */
const KEYS_MAX = 50_000;
const BYTES_MAX = 32 * 1024 * 1024;
/** Pieces that one task gives. */
const PIECES_MAX = 2000;
const PAGE_KEYS = 1000;

interface Piece {
  readonly from: Uint8Array;
  /** `null`: to the end. */
  readonly to: Uint8Array | null;
}

/**
 * Cuts a part of a range of keys into pieces of so many bytes and keys, as of one revision.
 * @param cursor where the part begins, as an earlier one said; `null`: at the beginning
 * @throws BalsaError `COMPACTED`
 */
export async function cutRange(
  machine: () => StateMachine,
  input: InputSpec & { readonly type: 'range' },
  { cursor, revision }: { readonly cursor: string | null; readonly revision: number },
): Promise<TaskEnd> {
  const { to, bytesPerTask, keysPerTask } = input;
  const begin = cursor === null ? input.from : fromText(cursor);
  const items: string[] = [];
  let from = begin;
  let next: Uint8Array | null = begin;
  let size = { keys: 0, bytes: 0 };
  let looked = { keys: 0, bytes: 0 };
  while (next !== null) {
    const page: Awaited<ReturnType<StateMachine['range']>> = await machine().range({
      ...{ from: next, to, reverse: false, keysMax: PAGE_KEYS, revision },
    });
    for (const { key, value } of page.items) {
      const bytes = key.byteLength + value.byteLength;
      const isFull =
        size.keys > 0 && (size.bytes + bytes > bytesPerTask || size.keys >= keysPerTask);
      if (isFull) {
        items.push(toItem({ from, to: key }));
        from = key;
        size = { keys: 0, bytes: 0 };
        const isEnough =
          looked.keys >= KEYS_MAX || looked.bytes >= BYTES_MAX || items.length >= PIECES_MAX;
        if (isEnough) return cut(items, toText(key));
      }
      size = { keys: size.keys + 1, bytes: size.bytes + bytes };
      looked = { keys: looked.keys + 1, bytes: looked.bytes + bytes };
    }
    next = page.continueFrom;
  }
  if (size.keys > 0) items.push(toItem({ from, to }));
  return cut(items, null);
}

function cut(items: readonly string[], next: string | null): TaskEnd {
  return { type: 'cut', items, next, call: null };
}

function toItem({ from, to }: Piece): string {
  return JSON.stringify([base64(from), to && base64(to)]);
}

/** The piece that an item of such an input stands for. */
export function pieceOf(item: string): Piece {
  const [from, to] = check.tuple(JSON.parse(item), 'a piece of a range', 2);
  return {
    from: Buffer.from(check.text(from, 'a piece of a range'), 'base64'),
    to: check.optional(to, (v) => Buffer.from(check.text(v, 'a piece of a range'), 'base64')),
  };
}

const toText = (key: Uint8Array): string => JSON.stringify(base64(key));

function fromText(cursor: string): Uint8Array {
  const text: unknown = JSON.parse(cursor);
  if (typeof text === 'string') return Buffer.from(text, 'base64');
  throw new BalsaError('INTERNAL', 'a place in a range of keys is text');
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
