import { ap, appendLog, counter, escrow, read, set } from 'balsa/procedures';

/**
 * A shop that goes on selling on both sides of a cut cable, and never sells what it does not have.
 *
 *     balsa dev examples/shop.ts
 *     balsa proc call restock '{ "item": "tea", "by": 100 }' --consistency ap-local
 *     balsa proc call stock '"tea"'                                              # 100 as soon as it is merged
 *     balsa proc call buy '"tea"' --consistency ap-local --durability 1          # true then, false before
 *     balsa proc call view '"home"' --consistency ap-local
 *     balsa proc call bought --consistency ap-local
 *
 * What is restocked can be sold when it is merged into the log, which takes a moment: rights to it are split among the replicas
 * then. `stock` without a level says what is merged. `bought` at `ap-local` has what the replica at hand knows, also what is
 * not merged yet; at any other level what is merged.
 */

const viewsOf = (page: string) => counter(`views/${page}`);
const stockOf = (item: string) => escrow(`stock/${item}`);
const PAGES = set<string>('pages');
const BOUGHT = appendLog<string>('bought');

/** All views count, wherever they were. */
export const view = ap({
  handler: (ctx, page: string) => {
    const views = ctx.cell(viewsOf(page));
    views.add();
    ctx.cell(PAGES).add(page);
    return views.value();
  },
});

/** Can be bought when it is merged: the rights to it are split among the replicas then. */
export const restock = ap({
  handler: (ctx, { item, by }: { item: string; by: number }) => {
    if (!Number.isSafeInteger(by) || by < 1) ctx.abort(`${by} is no number of things`);
    ctx.cell(stockOf(item)).add(by);
  },
});

/** `false`: this replica has nothing left that it may sell; others may have. */
export const buy = ap({
  handler: (ctx, item: string) => {
    const isBought = ctx.cell(stockOf(item)).take(1);
    if (isBought) ctx.cell(BOUGHT).append(item);
    return isBought;
  },
});

/** At `ap-local` with what is not merged yet, as far as the replica at hand knows of it; at other levels, what is merged. */
export const stock = read({ handler: (ctx, item: string) => ctx.cell(stockOf(item)).value() });

export const pages = read({ handler: (ctx) => ctx.cell(PAGES).values() });

/** In the order of the times at which it was bought. */
export const bought = read({ handler: (ctx) => ctx.cell(BOUGHT).entries() });
