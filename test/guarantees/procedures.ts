import { ap, counter, procedure, read } from 'balsa/procedures';

/** What the rows about calls call. */

export const note = procedure({ handler: (ctx, key: string) => ctx.add(key, 1) });

export const peek = read({ handler: (ctx, key: string) => ctx.get<number>(key) });

export const count = ap({ handler: (ctx, key: string) => ctx.cell(counter(key)).add() });
