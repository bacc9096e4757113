import type { OtherCalls } from '../../src/cli/bench/drive.js';
import type { Operation } from '../../src/cli/bench/scenario.js';
import type { Client, JobDefinition } from '../../src/client/client.js';
import { bundleOf } from '../bundle-of.js';
import { forEach } from '../closed-loop.js';
import { TRANSFER, VIEW } from '../procedure-code.js';

const CODE = `
import { ap, counter, procedure, read } from 'balsa/procedures';
${TRANSFER}
${VIEW}
export const empty = read({ handler: () => null });
`;

const ACCOUNTS = 10_000;
const FILL_OUTSTANDING = 256;
/** Tasks of one job. */
const TASKS = 100;

const account = (i: number): string => `account/${String(i % ACCOUNTS).padStart(8, '0')}`;
const EMPTY: JobDefinition = {
  name: 'empty',
  stages: { work: { run: 'empty', speculate: false } },
};

/** What runs where the data is. Its code is deployed, and its accounts are made, before the first of such calls. */
export function computeCalls(db: Client): Partial<Record<Operation, OtherCalls>> {
  let deployed: Promise<void> | null = null;
  const begin = (): Promise<void> => {
    deployed ??= deploy(db);
    return deployed;
  };
  /** @param hotShare of the calls that are about the same two accounts */
  const transfers = (hotShare: number): OtherCalls => ({
    begin,
    call: () => {
      const n = Math.random() < hotShare ? 0 : Math.floor(Math.random() * ACCOUNTS);
      const step = n === 0 ? 1 : 1 + Math.floor(Math.random() * (ACCOUNTS - 1));
      return db.call('transfer', { from: account(n), to: account(n + step), amount: 1 });
    },
  });
  return {
    cp: transfers(0),
    'cp-50': transfers(0.5),
    'cp-80': transfers(0.8),
    'cp-100': transfers(1),
    ap: { begin, call: (key) => db.call('view', key.slice(-2), { consistency: 'ap-local' }) },
    job: {
      begin,
      call: async () => {
        const list = Array.from({ length: TASKS }, () => null);
        const handle = await db.submit(EMPTY, null, { input: { list } });
        const result = await handle.result();
        // Else it is kept for a day, and the cluster takes no more than `jobsMax` of them.
        await handle.remove();
        return result;
      },
    },
  };
}

async function deploy(db: Client): Promise<void> {
  await db.procedures.deploy(await bundleOf(CODE));
  await forEach(ACCOUNTS, FILL_OUTSTANDING, (i) => db.put(account(i), '1000'));
}
