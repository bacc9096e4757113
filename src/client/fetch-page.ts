import { BalsaError } from '../base/errors.js';
import type { KeyValue } from '../base/operation.js';
import { checkReadBounds } from '../base/operation-check.js';
import type { Engine } from './engine.js';
import type { CallOptions } from './options.js';
import type { Meta } from './pending.js';
import { type Page, type PageQuery, PendingRead } from './pending-read.js';
import { readRange } from './range.js';
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
  const pages: Page[] = [];
  const fetch = async (q: PageQuery, unwanted: AbortSignal): Promise<Page> => {
    const page = await fetchPage(engine, q, options, unwanted);
    pages.push(page);
    return page;
  };
  for await (const page of readRange(fetch, query, {})) items.push(...page.items);
  const last = pages.at(-1);
  if (last === undefined) throw new BalsaError('INTERNAL', 'a range without a page');
  return { items, revision: last.revision, meta: last.meta };
}
