import { type Call, callsOf } from './calls.js';
import { type Change, ChangeBounds } from './change-bounds.js';
import type { Checker } from './checker.js';
import { Findings } from './findings.js';
import { judgeLedger } from './ledger/judge.js';
import { changeOf, type Ledger } from './ledger/ledger.js';
import { ToldInTheEnd } from './told-in-the-end.js';
import { badValue, fieldsOf, numberOf, seconds, show } from './values.js';

export interface BankOptions {
  /** The key of an account in the watch is its name behind this. Default: `bank/`. */
  readonly prefix?: string;
}

/**
 * Accounts between which money is moved: every read of all of them has the same sum (money is neither made nor lost, so no read sees half
 * of a transfer), no account is below 0, the accounts are always the same, and the balance of each is within what was
 * certainly and what was possibly moved (so that a transfer that was lost as a whole is found, too). `open` tells the first balances.
 * A transfer of unknown outcome that was seen counts from then on ({@link judgeLedger}).
 */
export function bankChecker({ prefix = 'bank/' }: BankOptions = {}): Checker {
  return {
    name: 'bank',
    check: async (history, watch) => {
      const findings = new Findings('bank');
      let open: Call | null = null;
      const transfers: Call[] = [];
      const reads: Call[] = [];
      const told = new ToldInTheEnd();
      for await (const call of callsOf(history)) {
        if (call.f === 'open' && call.outcome === 'ok') open = call;
        else if (call.f === 'transfer' && call.outcome !== 'fail') transfers.push(call);
        else if (call.f === 'read' && call.outcome === 'ok') reads.push(call);
        if (!['open', 'transfer', 'read'].includes(call.f)) continue;
        findings.operations += 1;
        if (call.f === 'read') told.read(call);
        else told.wrote(call);
      }
      if (open === null) return findings.verdict('', { doubt: 'no open tells the first balances' });
      judge(findings, { open, transfers, reads });
      const ledger = ledgerOf(prefix, { open, transfers, reads });
      const { isSettled, doubt: unsettled } = await judgeLedger(findings, ledger, watch);
      const untold = isSettled ? null : told.doubt('the accounts');
      const doubt = reads.length === 0 ? 'no read tells the balances' : (untold ?? unsettled);
      const shown = `${reads.length} reads beside ${transfers.length} transfers: the sum is always the same, and no transfer is lost`;
      return findings.verdict(shown, { doubt, details: { reads: reads.length } });
    },
  };
}

interface Bank {
  readonly open: Call;
  readonly transfers: readonly Call[];
  readonly reads: readonly Call[];
}

/** The first balances are a change like any other. */
function ledgerOf(prefix: string, { open, transfers, reads }: Bank): Ledger {
  const keyed = (by: ReadonlyMap<string, number>): Map<string, number> =>
    new Map([...by].map(([account, number]) => [prefix + account, number]));
  const moved = transfers.filter((call) => partiesOf(call).from !== partiesOf(call).to);
  const changes = moved.map((call) => {
    const { from, to, by } = partiesOf(call);
    return changeOf(call, keyed(new Map([[from, -by] as const, [to, by] as const])));
  });
  const first = changeOf(open, keyed(balancesOf(open, open.asked)));
  return {
    changes: [first, ...changes],
    reads: reads.map((call) => ({ call, values: keyed(balancesOf(call, call.answer)) })),
  };
}

function judge(findings: Findings, { open, transfers, reads }: Bank): void {
  const first = balancesOf(open, open.asked);
  const accounts = [...first.keys()].sort().join();
  const total = sum(first);
  const bounds = boundsOf(first, transfers);
  for (const call of reads) {
    const balances = balancesOf(call, call.answer);
    const when = `read at ${seconds(call.end)}`;
    if (sum(balances) !== total) {
      const text = `the accounts ${when} have ${sum(balances)} together, and must have ${total}: ${show(call.answer)}`;
      findings.note('money was made or lost', text, [call]);
    }
    if ([...balances.keys()].sort().join() !== accounts) {
      findings.note('other accounts', `${when}: ${[...balances.keys()].join()}`, [call]);
      continue;
    }
    for (const [account, balance] of balances) {
      if (balance < 0) {
        findings.note('below 0', `account ${account} ${when} has ${balance}`, [call]);
      }
      const { low, high } = bounds.get(account)?.of(call) ?? { low: 0, high: 0 };
      const opened = first.get(account) ?? 0;
      if (balance >= opened + low && balance <= opened + high) continue;
      const text = `account ${account} ${when} has ${balance}, and must have from ${opened + low} to ${opened + high}`;
      findings.note('a transfer is lost, or counts twice', text, [call]);
    }
  }
}

function balancesOf(call: Call, value: unknown): Map<string, number> {
  const fields = Object.entries(fieldsOf(call, value));
  return new Map(fields.map(([account, balance]) => [account, numberOf(call, balance)]));
}

function sum(balances: ReadonlyMap<string, number>): number {
  return [...balances.values()].reduce((total, balance) => total + balance, 0);
}

function boundsOf(
  first: ReadonlyMap<string, number>,
  transfers: readonly Call[],
): Map<string, ChangeBounds> {
  const changes = new Map<string, Change[]>([...first.keys()].map((account) => [account, []]));
  for (const call of transfers) {
    const { from, to, by } = partiesOf(call);
    const { begin, end } = call;
    if (from === to) continue;
    changes.get(from)?.push({ by: -by, begin, end });
    changes.get(to)?.push({ by, begin, end });
  }
  return new Map([...changes].map(([account, list]) => [account, new ChangeBounds(list)]));
}

function partiesOf(call: Call): {
  readonly from: string;
  readonly to: string;
  readonly by: number;
} {
  const { from, to, amount } = fieldsOf(call, call.asked);
  if (typeof from !== 'string' || typeof to !== 'string') {
    throw badValue(call, call.asked, '{from, to, amount}');
  }
  return { from, to, by: numberOf(call, amount) };
}
