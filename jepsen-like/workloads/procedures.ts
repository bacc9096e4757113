import { ap, appendLog, counter, escrow, procedure, read, set, trigger } from 'balsa/procedures';

/** What the workloads deploy. */

type ListStep = readonly ['append' | 'r', string, unknown];

/** Reads lists and appends to them, all in one transaction. */
export const lists = procedure({
  handler: (ctx, steps: readonly ListStep[]) =>
    steps.map(([f, key, value]) => {
      const list = ctx.get<number[]>(key) ?? [];
      if (f === 'r') return [f, key, list];
      ctx.put(key, [...list, Number(value)]);
      return [f, key, Number(value)];
    }),
});

const ACCOUNT = 'bank/';

export const open = procedure({
  handler: (ctx, balances: Record<string, number>) => {
    for (const [account, balance] of Object.entries(balances)) ctx.put(ACCOUNT + account, balance);
  },
});

export const transfer = procedure({
  handler: (ctx, { from, to, amount }: { from: string; to: string; amount: number }) => {
    const source = ctx.get<number>(ACCOUNT + from) ?? ctx.abort('no such account');
    const target = ctx.get<number>(ACCOUNT + to) ?? ctx.abort('no such account');
    if (source < amount) ctx.abort('too little money');
    ctx.put(ACCOUNT + from, source - amount);
    ctx.put(ACCOUNT + to, target + amount);
  },
});

export const balances = read({
  handler: async (ctx) => {
    const accounts = await ctx.scan({ prefix: ACCOUNT });
    return Object.fromEntries(accounts.map(({ key, value }) => [key.slice(ACCOUNT.length), value]));
  },
});

/** At most one of a pair gets in. */
export const insert = procedure({
  handler: (ctx, { pair, place, who }: { pair: string; place: string; who: string }) => {
    const others = ['a', 'b'].filter((other) => ctx.get(`${pair}/${other}`) !== null);
    if (others.length > 0) ctx.abort('taken');
    ctx.put(`${pair}/${place}`, who);
  },
});

export const increment = procedure({
  handler: (ctx, { key, by }: { key: string; by: number }) => ctx.add(key, by),
});

export const generate = procedure({
  handler: (ctx, key: string) => {
    const next = (ctx.get<number>(key) ?? 0) + 1;
    ctx.put(key, next);
    return next;
  },
});

export const enqueue = procedure({
  handler: (ctx, { key, value }: { key: string; value: number }) => {
    const tail = (ctx.get<number>(`${key}-tail`) ?? 0) + 1;
    ctx.put(`${key}-tail`, tail);
    ctx.put(`${key}/${String(tail).padStart(9, '0')}`, value);
  },
});

export const dequeue = procedure({
  handler: async (ctx, key: string) => {
    const [first] = await ctx.scan({ prefix: `${key}/`, limit: 1 });
    if (first === undefined) return null;
    ctx.delete(first.key);
    return first.value;
  },
});

/** A holder whose token is lower than one that was here is not let through. */
export const fenced = procedure({
  handler: (ctx, { key, token }: { key: string; token: number }) => {
    if ((ctx.get<number>(key) ?? 0) > token) ctx.abort('fenced off');
    ctx.put(key, token);
  },
});

/** Counts how often it is really applied under each id. */
export const once = procedure({
  handler: (ctx, { id, amount }: { id: string; amount: number }) => {
    const total = (ctx.get<number>('once-total') ?? 0) + amount;
    ctx.put('once-total', total);
    ctx.add(`once/${id}`, 1);
    return total;
  },
});

// ---------------------------------------------------------------------------------------------

const cellOf = (key: string) => counter(key);

export const apAdd = ap({
  handler: (ctx, { key, value }: { key: string; value: number }) =>
    ctx.cell(cellOf(key)).add(value),
});

export const apRestock = ap({
  handler: (ctx, { key, value }: { key: string; value: number }) =>
    ctx.cell(escrow(key)).add(value),
});

export const apTake = ap({
  handler: (ctx, { key, value }: { key: string; value: number }) =>
    ctx.cell(escrow(key)).take(value),
});

export const apInsert = ap({
  handler: (ctx, { key, value }: { key: string; value: number }) =>
    ctx.cell(set<number>(key)).add(value),
});

export const apAppend = ap({
  handler: (ctx, { key, value }: { key: string; value: number }) =>
    ctx.cell(appendLog<number>(key)).append(value),
});

export const apRead = read({
  handler: (ctx, { kind, key }: { kind: string; key: string }) => {
    if (kind === 'counter') return ctx.cell(counter(key)).value();
    if (kind === 'escrow') return ctx.cell(escrow(key)).value();
    if (kind === 'set') return ctx.cell(set<number>(key)).values();
    return ctx.cell(appendLog<number>(key)).entries();
  },
});

// ---------------------------------------------------------------------------------------------

/** Notes each write that it is called with, as often as it is. */
export const onCause = trigger({
  prefix: 'cause/',
  handler: (ctx, events) => {
    for (const { key, type } of events) {
      if (type === 'put') ctx.add(`fired/${key.slice('cause/'.length)}`, 1);
    }
  },
});

export const onDue = procedure({
  handler: (ctx, id: string) => ctx.add(`fired/${id}`, 1),
});

export const plan = procedure({
  handler: (ctx, { id, inMs }: { id: string; inMs: number }) => {
    ctx.schedule({ inMs, id }, onDue, id);
  },
});

// ---------------------------------------------------------------------------------------------
// Tasks of jobs.

/** Counts how often the task has really had its effect. */
export const noteTask = procedure({
  handler: (ctx, n: number) => {
    ctx.add(`effect/${ctx.task?.job}/${n}`, 1);
    return n;
  },
});

export const sumTasks = read({
  handler: (_ctx, numbers: readonly number[]) => numbers.reduce((sum, n) => sum + n, 0),
});

// ---------------------------------------------------------------------------------------------
// For the nemesis that costs a replica its threads.

export const spin = procedure({
  handler: () => {
    for (;;);
  },
});

export const hoard = procedure({
  handler: () => {
    const all: string[] = [];
    for (;;) all.push('x'.repeat(100_000) + all.length);
  },
});
