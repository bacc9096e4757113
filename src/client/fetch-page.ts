import type { KeyValue } from '../base/operation.js';
import { checkReadBounds } from '../base/operation-check.js';
import type { Engine } from './engine.js';
import type { CallOptions } from './options.js';
import type { Meta } from './pending.js';
import { type Page, type PageQuery, PendingRead } from './pending-read.js';
import { readPages } from './range.js';
import { PageRequest } from './read-request.js';

/** Asks for one page of a range. @param unwanted aborted when nobody waits for it any more */
export function fetchPage(
  engine: Engine,
  query: PageQuery,
  options: CallOptions,
  unwanted: AbortSignal,
): Promise<Page> {
  return new Promise((resolve, reject) => {
    const limits = engine.callLimits(options);
    const call = new PendingRead<Omit<Page, 'meta'>>(
      limits,
      (page, meta) => resolve({ meta, ...page }),
      reject,
    );
    engine.ask(new PageRequest(query, call), call, { unwanted, ...limits });
  });
}

/** All items of a range that is known to be small, and what they were read from. @throws BalsaError `KEY_TOO_LARGE` */
export async function fetchAll(
  engine: Engine,
  query: PageQuery,
  options: CallOptions,
): Promise<{
  readonly items: readonly KeyValue[];
  readonly revision: number;
  readonly meta: Meta;
}> {
  checkReadBounds(query, engine.limits);
  const items: KeyValue[] = [];
  let first: Page | null = null;
  const fetch = (q: PageQuery, unwanted: AbortSignal): Promise<Page> =>
    fetchPage(engine, q, options, unwanted);
  for await (const page of readPages(fetch, query, Number.POSITIVE_INFINITY)) {
    first ??= page;
    items.push(...page.items);
  }
  // There is always a first page; all show the state that it was read from.
  const { revision, meta } = first as unknown as Page;
  return { items, revision, meta };
}
