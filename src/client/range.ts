import { prefixEnd, toBytes } from '../base/bytes.js';
import type { KeyValue } from '../base/operation.js';
import type { Consistency } from '../rpc/protocol.js';
import { checkRevision, invalid, type RangeOptions } from './options.js';
import type { Meta } from './pending.js';
import type { Page, PageQuery } from './pending-read.js';

/** Keys asked for at a time. The replica has limits of its own, in keys and bytes. */
const PAGE_KEYS = 1000;

/** Asks for one page; `signal` is aborted when nobody wants it any more. */
export type FetchPage = (query: PageQuery, signal: AbortSignal) => Promise<Page>;

export interface FoundItem {
  readonly item: KeyValue;
  readonly meta: Meta;
}

/** The range that the options describe. @throws BalsaError `INVALID_ARGUMENT` */
export function toPageQuery(options: RangeOptions, consistency: Consistency): PageQuery {
  const { prefix, from, to, reverse = false, revision } = options;
  if (prefix !== undefined && (from !== undefined || to !== undefined)) {
    throw invalid('range takes prefix or from and to, not both');
  }
  if (revision !== undefined) checkRevision(revision);
  const start = keyBytes('from', prefix ?? from ?? '');
  const end =
    prefix === undefined ? (to === undefined ? null : keyBytes('to', to)) : prefixEnd(start);
  return {
    consistency,
    bound: 0,
    from: start,
    to: end,
    reverse,
    keysMax: PAGE_KEYS,
    revision: revision ?? null,
    filter: {},
  };
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function toLimit(limit: number | undefined): number {
  if (limit === undefined) return Number.POSITIVE_INFINITY;
  if (Number.isSafeInteger(limit) && limit >= 0) return limit;
  throw invalid(`limit must be a whole number from 0, found ${String(limit)}`);
}

function keyBytes(name: string, key: unknown): Uint8Array {
  if (typeof key === 'string' || key instanceof Uint8Array) return toBytes(key);
  throw invalid(`${name} must be a string or a Uint8Array, found ${typeof key}`);
}

/**
 * All items of a range, at most `limit`. The first page fixes the revision; those behind it are read at
 * that revision, wherever they are read: together they are one consistent view. Since a state at a
 * given revision is the same at every replica that has it, they need no leader.
 *
 * While the caller works on a page, the next one is under way.
 */
export async function* readRange(
  fetchPage: FetchPage,
  query: PageQuery,
  limit: number,
): AsyncGenerator<FoundItem, void, undefined> {
  const unwanted = new AbortController();
  const fetch = (q: PageQuery, left: number): Promise<Page> =>
    fetchPage({ ...q, keysMax: Math.min(PAGE_KEYS, left) }, unwanted.signal);
  let left = limit;
  let next: { query: PageQuery; page: Promise<Page> } | null =
    left > 0 ? { query, page: fetch(query, left) } : null;
  try {
    while (next !== null) {
      const { query: asked, page } = next;
      const { items, meta, revision, continueFrom } = await page;
      left -= items.length;
      next = null;
      if (continueFrom !== null && left > 0) {
        const following = nextQuery(asked, continueFrom, revision);
        next = { query: following, page: fetch(following, left) };
        // Its failure is told when the caller gets there, if he does.
        next.page.catch(() => {});
      }
      const given = { ...meta, consistency: query.consistency };
      for (const item of left < 0 ? items.slice(0, left) : items) yield { item, meta: given };
    }
  } finally {
    unwanted.abort();
  }
}

function nextQuery(query: PageQuery, continueFrom: Uint8Array, revision: number): PageQuery {
  const rest = query.reverse ? { to: continueFrom } : { from: continueFrom };
  return { ...query, ...rest, revision, consistency: 'any' };
}
