import { expect, test } from 'vitest';
import { apCells } from '../../jepsen-like/workloads/ap.js';
import type { Bench, WorkloadClient } from '../../jepsen-like/workloads/workload.js';

test('a client of one replica goes to another when that has left, also when a new one has its name', async () => {
  let address = 'h:1';
  const asked: string[] = [];
  const connected: string[] = [];
  const bench = {
    system: { names: ['n1'], cluster: { replica: () => ({ address }) } },
    connectTo: async () => {
      const at = address;
      connected.push(at);
      return {
        status: async () => ({ appliedIndex: 1 }),
        call: async () => {
          asked.push(at);
          return { result: 1, meta: {} };
        },
      };
    },
    processAt: () => ({ do: async (_what: unknown, work: () => Promise<unknown>) => work() }),
    fresh: () => 1,
  } as unknown as Bench;
  const client = { index: 0, random: { int: () => 0 } } as unknown as WorkloadClient;
  const step = await apCells.start(bench, client);

  await step();
  address = 'h:2';
  // It looks for a place, and asks there from then on.
  await step();
  await step();
  expect(connected).toEqual(['h:1', 'h:2']);
  expect(asked).toEqual(['h:1', 'h:2']);
});
