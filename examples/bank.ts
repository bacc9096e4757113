import { procedure, read } from 'balsa/procedures';

/**
 * Accounts that never lose a cent and never go below zero, however many move money at once.
 *
 *     balsa dev examples/bank.ts
 *     balsa proc call open '{ "account": "ada", "amount": 100 }'
 *     balsa proc call open '{ "account": "bob" }'
 *     balsa proc call transfer '{ "from": "ada", "to": "bob", "amount": 30 }'
 *     balsa proc call balance '{ "account": "ada" }'
 *     balsa proc call total
 */

export interface Transfer {
  readonly from: string;
  readonly to: string;
  readonly amount: number;
}

const PREFIX = 'account/';
const keyOf = (account: string): string => `${PREFIX}${account}`;

/** A new account; one that is there already stays as it is, and the call is aborted. */
export const open = procedure({
  handler: (ctx, { account, amount = 0 }: { account: string; amount?: number }) => {
    if (ctx.get(keyOf(account)) !== null) ctx.abort(`there is an account of ${account} already`);
    if (!isAmount(amount)) ctx.abort(`${amount} is no amount`);
    ctx.put(keyOf(account), amount);
    return { account, balance: amount };
  },
});

/** Both accounts change, or none does. */
export const transfer = procedure({
  handler: (ctx, { from, to, amount }: Transfer) => {
    if (!isAmount(amount)) ctx.abort(`${amount} is no amount`);
    if (from === to) ctx.abort('from one account to the same one');
    const source = ctx.get<number>(keyOf(from)) ?? ctx.abort(`there is no account of ${from}`);
    const target = ctx.get<number>(keyOf(to)) ?? ctx.abort(`there is no account of ${to}`);
    if (source < amount) ctx.abort(`${from} has ${source}, which is less than ${amount}`);
    ctx.put(keyOf(from), source - amount);
    ctx.put(keyOf(to), target + amount);
    ctx.log(`${from} gives ${amount} to ${to}`);
    // For whoever watches `_events/transferred/`.
    ctx.emit('transferred', { from, to, amount });
    return { from: source - amount, to: target + amount };
  },
});

export const balance = read({
  handler: (ctx, { account }: { account: string }) => ctx.get<number>(keyOf(account)),
});

/** Of all accounts, as of one moment: transfers that are under way are in it, or not. */
export const total = read({
  handler: async (ctx) => {
    const accounts = await ctx.scan({ prefix: PREFIX });
    return accounts.reduce((sum, { value }) => sum + Number(value), 0);
  },
});

function isAmount(amount: number): boolean {
  return Number.isSafeInteger(amount) && amount >= 0;
}
