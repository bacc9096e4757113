import { describe, expect, test } from 'vitest';
import type { Client } from '../../src/client/kv-client.js';
import { Harness, watch } from './support/harness.js';
import { RealMachine } from './support/real-machine.js';

const JOB = { input: { list: [1] }, stages: { a: { task: 'nobody-has-it' } } };
const HOUR_MS = 3_600_000;

async function given(): Promise<{ h: Harness; db: Client }> {
  const h = new Harness();
  await RealMachine.behind(h);
  return { h, db: await h.connect() };
}

describe('waiting for a job that is looked at rarely', () => {
  test('ends at once when the signal is aborted while the caller has what was found', async () => {
    const { h, db } = await given();
    const job = await h.until(db.submit(JOB));
    const abort = new AbortController();
    const progress = job.progress({ signal: abort.signal, intervalMs: HOUR_MS });
    await h.until(progress.next());
    abort.abort(new Error('enough'));
    const error = await h.failure(progress.next());
    expect(error).toMatchObject({ code: 'CANCELLED', cause: new Error('enough') });
  });

  test('ends at once when the signal is aborted meanwhile', async () => {
    const { h, db } = await given();
    const job = await h.until(db.submit(JOB));
    const abort = new AbortController();
    const waiting = watch(job.wait({ signal: abort.signal, intervalMs: HOUR_MS }));
    await h.clock.advance(1000);
    abort.abort();
    await h.clock.settle();
    expect(waiting.error).toMatchObject({ code: 'CANCELLED' });
  });

  test('ends at once when the client is closed meanwhile', async () => {
    const { h, db } = await given();
    const job = await h.until(db.submit(JOB));
    const waiting = watch(job.wait({ intervalMs: HOUR_MS }));
    await h.clock.advance(1000);
    await db.close();
    await h.clock.settle();
    expect(waiting.error).toMatchObject({ code: 'CLIENT_CLOSED' });
  });

  test('ends when its time is up, and the client has no time limit of its own', async () => {
    const h = new Harness();
    await RealMachine.behind(h);
    const db = await h.connect({ timeoutMs: 0 });
    const job = await h.until(db.submit(JOB));
    const error = await h.failure(job.wait({ timeoutMs: 2000, intervalMs: HOUR_MS }));
    expect(error).toMatchObject({ code: 'TIMEOUT' });
  });

  test.each([
    ['timeoutMs', Number.NaN],
    ['timeoutMs', -1],
    ['intervalMs', Number.NaN],
    ['intervalMs', -1],
    ['intervalMs', '50'],
  ])('is refused with %s of %s', async (name, value) => {
    const { h, db } = await given();
    const job = await h.until(db.submit(JOB));
    const error = await h.failure(job.wait({ [name]: value }));
    expect(error).toMatchObject({
      ...{ code: 'INVALID_ARGUMENT', message: expect.stringContaining(name) },
    });
  });
});
