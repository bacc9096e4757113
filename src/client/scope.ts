import { equalBytes, prefixEnd } from '../base/bytes.js';
import { BalsaError } from '../base/errors.js';
import type { KeyValue, WriteOperation, WriteResult } from '../base/operation.js';
import { checkOperation } from '../base/operation-check.js';
import { type Codec, decodeKeyText, decodeValue, encodeValue } from './codec.js';
import type { Engine } from './engine.js';
import { invalid, keyBytes } from './invalid.js';
import type { CallOptions, KeyForm } from './options.js';
import type { Meta } from './pending.js';
import { operationBytes, PendingWrite } from './pending-write.js';
import type { Item, Key, KeyOf } from './results.js';
import type { LeaseRef } from './write-options.js';

/** Keys with `from <= key < to`; `to` `null`: to the end. */
export interface Bounds {
  readonly from: Uint8Array;
  readonly to: Uint8Array | null;
}

/**
 * How the keys and values of a caller become those of the store and back: the codec, the form of keys,
 * and the prefix of the namespace that the caller is in (empty: none).
 */
export class Scope<In, Out, Keys extends KeyForm> {
  readonly engine: Engine;
  readonly codec: Codec<In, Out>;
  readonly keys: KeyForm;
  readonly prefix: Uint8Array;

  constructor(parts: {
    readonly engine: Engine;
    readonly codec: Codec<In, Out>;
    readonly keys: KeyForm;
    readonly prefix: Uint8Array;
  }) {
    this.engine = parts.engine;
    this.codec = parts.codec;
    this.keys = parts.keys;
    this.prefix = parts.prefix;
  }

  /** The key in the store. @throws BalsaError `KEY_EMPTY`, `INVALID_ARGUMENT` */
  key(key: Key): Uint8Array {
    const bytes = keyBytes('a key', key);
    if (this.prefix.byteLength === 0) return bytes;
    if (bytes.byteLength > 0) return this.#inside(bytes);
    throw new BalsaError('KEY_EMPTY', 'a key must have at least one byte', {
      outcome: 'not-applied',
    });
  }

  /** The keys in the store that bounds of this scope mean. */
  within({ from, to }: Bounds): Bounds {
    if (this.prefix.byteLength === 0) return { from, to };
    return {
      from: this.#inside(from),
      to: to === null ? prefixEnd(this.prefix) : this.#inside(to),
    };
  }

  /** What a caller's range means in the store. @throws BalsaError `INVALID_ARGUMENT` */
  range(range: {
    readonly prefix?: Key | undefined;
    readonly from?: Key | undefined;
    readonly to?: Key | undefined;
  }): Bounds {
    const { prefix, from, to } = range;
    if (prefix !== undefined) {
      if (from !== undefined || to !== undefined) {
        throw invalid('a range takes prefix or from and to, not both');
      }
      const start = keyBytes('prefix', prefix);
      return this.within({ from: start, to: prefixEnd(start) });
    }
    if (from === undefined && to === undefined) {
      throw invalid("a range names prefix, from or to; from: '' means all keys");
    }
    return this.within({
      from: keyBytes('from', from ?? ''),
      to: to === undefined ? null : keyBytes('to', to),
    });
  }

  /** A key of the store is in this namespace. */
  holds(key: Uint8Array): boolean {
    return equalBytes(key.subarray(0, this.prefix.byteLength), this.prefix);
  }

  /** The key without the prefix of the namespace. */
  strip(key: Uint8Array): Uint8Array {
    return this.prefix.byteLength === 0 ? key : key.subarray(this.prefix.byteLength);
  }

  /** A key of the store in the form for the caller. @throws BalsaError `VALUE_NOT_DECODABLE` */
  giveKey(key: Uint8Array): KeyOf<Keys> {
    const own = this.strip(key);
    const given = this.keys === 'text' ? decodeKeyText(own) : Buffer.from(own);
    // Keys is the type of this.keys; the compiler cannot see that.
    return given as KeyOf<Keys>;
  }

  /** @throws BalsaError `INVALID_ARGUMENT` */
  encode(value: In): Uint8Array {
    return encodeValue(this.codec, value);
  }

  /** @throws BalsaError `VALUE_NOT_DECODABLE` */
  decode({ key, value }: { readonly key: Uint8Array; readonly value: Uint8Array }): Out {
    return decodeValue(this.codec, this.strip(key), value);
  }

  /** @throws BalsaError `VALUE_NOT_DECODABLE` */
  item(item: KeyValue): Item<Out, Keys> {
    const { modRevision, createRevision, version, lease } = item;
    const key = this.giveKey(item.key);
    return { key, value: this.decode(item), modRevision, createRevision, version, lease };
  }

  /** Without the value, of which only the key was asked. @throws BalsaError `VALUE_NOT_DECODABLE` */
  bareItem(item: KeyValue): Item<undefined, Keys> {
    const { modRevision, createRevision, version, lease } = item;
    const key = this.giveKey(item.key);
    return { key, value: undefined, modRevision, createRevision, version, lease };
  }

  /** @throws BalsaError `VALUE_NOT_DECODABLE` */
  itemOrNull(item: KeyValue | null | undefined): Item<Out, Keys> | null {
    return item === null || item === undefined ? null : this.item(item);
  }

  /**
   * Sends a write on its way; `operation` and `toResult` reject the promise when they throw.
   */
  write<Type extends WriteResult['type'], Result>(
    options: CallOptions,
    type: Type,
    operation: () => WriteOperation,
    toResult: (result: WriteResult & { readonly type: Type }, meta: Meta) => Result,
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      const { engine } = this;
      const limits = engine.callLimits(options);
      const asked = operation();
      checkOperation(asked, engine.limits);
      const deliver = (result: WriteResult, meta: Meta): void => {
        if (!isOf(result, type)) throw mismatch(result, type);
        resolve(toResult(result, meta));
      };
      const call = new PendingWrite({ operation: asked, limits }, deliver, reject);
      if (asked.type === 'txn') checkTxnBytes(operationBytes(asked), engine.limits.batchBytesMax);
      engine.write(call, limits);
    });
  }

  #inside(key: Uint8Array): Uint8Array {
    return Buffer.concat([this.prefix, key]);
  }
}

function isOf<Type extends WriteResult['type']>(
  result: WriteResult,
  type: Type,
): result is WriteResult & { readonly type: Type } {
  return result.type === type;
}

function mismatch(result: WriteResult, expected: string): BalsaError {
  return new BalsaError('FRAME_INVALID', `a result of type ${result.type} for a ${expected}`);
}

/** A single put of any legal size fits into a batch; a transaction of many need not. */
function checkTxnBytes(bytes: number, limit: number): void {
  if (bytes <= limit) return;
  throw new BalsaError(
    'BATCH_TOO_LARGE',
    `the transaction has ${bytes} bytes; the limit is ${limit} (batchBytesMax): split it`,
    { outcome: 'not-applied', details: { limit, bytes } },
  );
}

/** The id of a lease. @throws BalsaError `INVALID_ARGUMENT` */
export function leaseId(lease: LeaseRef): number {
  // Code that is not typed may give anything.
  const id: unknown = typeof lease === 'object' ? (lease as { id?: number } | null)?.id : lease;
  if (Number.isSafeInteger(id) && (id as number) > 0) return id as number;
  throw invalid(
    `a lease is named by its handle or its id, a whole number from 1; found ${String(id ?? lease)}`,
  );
}
