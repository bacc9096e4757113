import { expect, test } from 'vitest';
import { HandWorker } from './hand-worker.js';
import { MachineStore } from './machine-store.js';

test('of what a task of a worker says of its failure the log has 4 KiB', async () => {
  const store = await MachineStore.open();
  const stages = { double: { task: 'double', retries: 0 } };
  await store.h.until(store.db.submit({ input: { list: [1] }, stages }, null, { id: 'bad' }));
  const worker = HandWorker.start(store.db);
  await store.sleepFor(500);
  const message = 'x'.repeat(1_000_000);
  worker.end({ type: 'failed', code: 'PROCEDURE_FAILED', message });
  await store.sleepFor(500);
  const kept = `${'x'.repeat(4093)}…`;
  const status = await store.json(['job', 'status', 'bad']);
  expect(status).toMatchObject({ phase: 'failed', failure: { message: kept } });
});
