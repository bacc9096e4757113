import { expect, test } from 'vitest';
import { systemClock } from '../../src/base/clock.js';
import { failureOf, oneProcedure, Sandbox } from './calls.js';
import { MemorySource } from './memory-source.js';

test('a call whose time is over is not answered any more, though nothing has interrupted it', async () => {
  let nowMs = 0;
  const slow = { ...systemClock, monotonicMs: () => (nowMs += 60) };
  const body = `for (let i = 0; i < 9; i += 1) { try { ctx.get('k' + i); } catch {} } return 1;`;
  const source = new MemorySource();
  const sandbox = await Sandbox.with(oneProcedure(body), {}, slow, () => 0);

  expect(failureOf(sandbox.call({ source }))).toMatch(/^PROCEDURE_LIMIT .*computeMsMax/);
  expect(source.gets).toBe(1);
});
