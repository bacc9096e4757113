import { expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { checkJobOperation } from '../../../src/base/job-check.js';
import { LIMITS } from '../../../src/base/limits.js';
import { cutMessage, TASK_MESSAGE_BYTES_MAX } from '../../../src/base/task-message.js';
import { HASH } from '../../statemachine/call-records.js';
import { stage } from '../../statemachine/job-world.js';
import { ServiceWorld } from './service-world.js';

test.each([
  ['nothing', '', ''],
  ['as much as is kept', 'x'.repeat(4096), 'x'.repeat(4096)],
  ['more', 'x'.repeat(4097), `${'x'.repeat(4093)}…`],
  ['just as many bytes', 'é'.repeat(2048), 'é'.repeat(2048)],
  ['more bytes', 'é'.repeat(2049), `${'é'.repeat(2046)}…`],
  ['a mark at its beginning', `\ufeff${'x'.repeat(5000)}`, `\ufeff${'x'.repeat(4090)}…`],
])('of what is said of a failure 4 KiB are kept: %s', (_, message, kept) => {
  expect(cutMessage(message)).toBe(kept);
  expect(Buffer.byteLength(cutMessage(message))).toBeLessThanOrEqual(TASK_MESSAGE_BYTES_MAX);
});

test('so it is of a task that a replica has run', async () => {
  const world = await ServiceWorld.start();
  const sandboxed = stage('s', { where: 'sandbox', run: `p@${HASH}` });
  await world.jobs.submit([sandboxed], { input: { type: 'list', items: ['1'] } });
  world.ran = { error: new BalsaError('PROCEDURE_FAILED', 'x'.repeat(1_000_000)) };
  await world.tick(1000);
  await world.jobs.claim(world.demanded().worker, [[1, 0]], { home: 'n2' });
  world.service.applied();
  await world.quiet();
  const message = `${'x'.repeat(4093)}…`;
  expect(world.told()[0]?.[0]?.end).toEqual({ type: 'failed', code: 'PROCEDURE_FAILED', message });
});

test.each([
  ['taskMessageBytesMax', (text: string) => ({ type: 'crashed', message: text }) as const],
  [
    'taskMessageBytesMax',
    (text: string) => ({ type: 'failed', code: 'X', message: text }) as const,
  ],
  ['taskCodeBytesMax', (text: string) => ({ type: 'failed', code: text, message: '' }) as const],
])('a report of a worker that says much more is refused: %s', (limit, toReport) => {
  const check = (text: string): void =>
    checkJobOperation({ type: 'task-report', fence: 1, report: toReport(text) }, LIMITS);
  expect(() => check('x'.repeat(1024 * 1024))).not.toThrow();
  expect(() => check('x'.repeat(1024 * 1024 + 1))).toThrow(limit);
});
