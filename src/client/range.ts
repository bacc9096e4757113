import { compareBytes, prefixEnd } from '../base/bytes.js';
import type { KeyValue, RangeFilter } from '../base/operation.js';
import type { ReadTarget } from './consistency.js';
import { invalid, keyBytes } from './invalid.js';
import type { KeysOnlyOptions, KeysOptions, RangeOptions, SortField } from './options.js';
import type { Meta } from './pending.js';
import type { Page, PageQuery } from './pending-read.js';
import { Top } from './top.js';

/** Keys asked for at a time. The replica has limits of its own, in keys and bytes. */
const PAGE_KEYS = 1000;

/** Keys counted at a time: nothing but their number travels. */
const COUNTED_KEYS = 10_000;

/** Asks for one page; `signal` is aborted when nobody wants it any more. */
export type FetchPage = (query: PageQuery, signal: AbortSignal) => Promise<Page>;

/** Items of one page. They are handed on together: each step of an iteration takes as long as reading an item. */
export interface FoundItems {
  readonly items: readonly KeyValue[];
  readonly meta: Meta;
}

interface FoundItem {
  readonly item: KeyValue;
  readonly meta: Meta;
}

/** The range that the options describe. @throws BalsaError `INVALID_ARGUMENT` */
export function toPageQuery(
  options: RangeOptions | KeysOnlyOptions,
  target: ReadTarget,
): PageQuery {
  const { reverse = false } = options;
  const keysOnly = 'keysOnly' in options && options.keysOnly;
  const filter: RangeFilter = { ...filterOf(options), ...(keysOnly ? { keysOnly } : {}) };
  // The order of another field is made here, out of the whole range.
  const sorts = fieldOf(options) !== 'key';
  return {
    ...target,
    ...boundsOf(options),
    reverse: reverse && !sorts,
    keysMax: PAGE_KEYS,
    filter,
  };
}

/** For {@link countRange}. @throws BalsaError `INVALID_ARGUMENT` */
export function toCountQuery(options: KeysOptions, target: ReadTarget): PageQuery {
  const filter: RangeFilter = { ...filterOf(options), countOnly: true };
  return { ...target, ...boundsOf(options), reverse: false, keysMax: COUNTED_KEYS, filter };
}

function boundsOf({ prefix, from, to }: KeysOptions): Pick<PageQuery, 'from' | 'to'> {
  if (prefix !== undefined && (from !== undefined || to !== undefined)) {
    throw invalid('range takes prefix or from and to, not both');
  }
  const start = keyBytes('from', prefix ?? from ?? '');
  if (prefix !== undefined) return { from: start, to: prefixEnd(start) };
  return { from: start, to: to === undefined ? null : keyBytes('to', to) };
}

/** Without what was not asked for. */
function filterOf(options: KeysOptions): RangeFilter {
  const filter: Record<string, number> = {};
  const take = (field: keyof RangeFilter, name: keyof KeysOptions): void => {
    const revision = options[name];
    if (revision === undefined) return;
    if (!Number.isSafeInteger(revision) || (revision as number) < 0) {
      throw invalid(`${name} must be a whole number from 0, found ${String(revision)}`);
    }
    filter[field] = revision as number;
  };
  take('modRevisionMin', 'minModRevision');
  take('modRevisionMax', 'maxModRevision');
  take('createRevisionMin', 'minCreateRevision');
  take('createRevisionMax', 'maxCreateRevision');
  return filter;
}

/** @throws BalsaError `INVALID_ARGUMENT` */
export function toLimit({ limit, ...options }: RangeOptions): number {
  if (limit === undefined) {
    if (fieldOf(options) === 'key') return Number.POSITIVE_INFINITY;
    throw invalid(`sortBy: '${options.sortBy}' needs a limit: so many keys are held in memory`);
  }
  if (Number.isSafeInteger(limit) && limit >= 0) return limit;
  throw invalid(`limit must be a whole number from 0, found ${String(limit)}`);
}

const FIELDS: ReadonlySet<unknown> = new Set([
  ...['key', 'modRevision', 'createRevision', 'version'],
]);

function fieldOf({ sortBy = 'key' }: RangeOptions): SortField {
  if (FIELDS.has(sortBy)) return sortBy;
  throw invalid(`sortBy must be one of ${[...FIELDS].join(', ')}; found ${String(sortBy)}`);
}

/** What the options ask for, in their order. */
export function readRange(
  fetchPage: FetchPage,
  query: PageQuery,
  options: RangeOptions,
): AsyncGenerator<FoundItems, void, undefined> {
  const limit = toLimit(options);
  const field = fieldOf(options);
  if (field === 'key') return readInOrder(fetchPage, query, limit);
  return readSorted(fetchPage, query, { field, limit, reverse: options.reverse === true });
}

/** All items of a range, at most `limit`. */
async function* readInOrder(
  fetchPage: FetchPage,
  query: PageQuery,
  limit: number,
): AsyncGenerator<FoundItems, void, undefined> {
  let left = limit;
  for await (const { items, meta } of readPages(fetchPage, query, limit)) {
    yield { items: left < items.length ? items.slice(0, left) : items, meta };
    left -= items.length;
  }
}

/** The first items of a range in the order of one field, out of all of them. */
async function* readSorted(
  fetchPage: FetchPage,
  query: PageQuery,
  order: { readonly field: Exclude<SortField, 'key'>; limit: number; reverse: boolean },
): AsyncGenerator<FoundItems, void, undefined> {
  const { field, limit, reverse } = order;
  const sign = reverse ? -1 : 1;
  const top = new Top<FoundItem>(
    limit,
    ({ item: a }, { item: b }) => sign * (a[field] - b[field]) || compareBytes(a.key, b.key),
  );
  if (limit === 0) return;
  for await (const { items, meta } of readPages(fetchPage, query, Number.POSITIVE_INFINITY)) {
    for (const item of items) top.add({ item, meta });
  }
  for (const { item, meta } of top.sorted()) yield { items: [item], meta };
}

/** How many keys the range has, as of one revision. */
export async function countRange(
  fetchPage: FetchPage,
  query: PageQuery,
): Promise<{ readonly count: number; readonly revision: number; readonly meta: Meta }> {
  let total = 0;
  let first: Page | null = null;
  for await (const page of readPages(fetchPage, query, Number.POSITIVE_INFINITY)) {
    first ??= page;
    total += page.count;
  }
  // There is always a first page.
  const { revision, meta } = first as Page;
  return { count: total, revision, meta };
}

/**
 * The pages of a range. The first one fixes the revision; those behind it are read at that revision,
 * wherever they are read: together they are one consistent view. Since a state at a given revision is
 * the same at every replica that has it, they need no leader, but one that has come as far as the first.
 *
 * While the caller works on a page, the next one is under way.
 */
export async function* readPages(
  fetchPage: FetchPage,
  query: PageQuery,
  limit: number,
): AsyncGenerator<Page, void, undefined> {
  const unwanted = new AbortController();
  const fetch = (q: PageQuery, left: number): Promise<Page> =>
    fetchPage({ ...q, keysMax: Math.min(q.keysMax, left) }, unwanted.signal);
  let left = limit;
  let next: { query: PageQuery; page: Promise<Page> } | null =
    left > 0 ? { query, page: fetch(query, left) } : null;
  /** Of the state that all pages show; the replicas have gone on since. */
  let shown: Meta | null = null;
  try {
    while (next !== null) {
      const { query: asked, page } = next;
      const found = await page;
      const { items, meta, continueFrom } = found;
      left -= items.length;
      next = null;
      if (continueFrom !== null && left > 0) {
        const following = nextQuery(asked, continueFrom, found);
        next = { query: following, page: fetch(following, left) };
        // Its failure is told when the caller gets there, if he does.
        next.page.catch(() => {});
      }
      shown ??= { ...meta, level: query.consistency };
      const { replica, term } = meta;
      yield { ...found, meta: { ...shown, replica, term } };
    }
  } finally {
    unwanted.abort();
  }
}

/** At the same revision, from a replica that has it. */
function nextQuery(
  query: PageQuery,
  continueFrom: Uint8Array,
  { revision, meta }: Page,
): PageQuery {
  const rest = query.reverse ? { to: continueFrom } : { from: continueFrom };
  const bound = Math.max(meta.appliedIndex, query.consistency === 'session' ? query.bound : 0);
  return { ...query, ...rest, revision, consistency: 'session', bound };
}
