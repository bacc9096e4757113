import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../../src/base/errors.js';
import { procedureNotFound } from '../../../src/server/calls/call-lane.js';
import { CallLog, type LogLine } from '../../../src/server/calls/call-log.js';
import { refusedCall } from '../../../src/server/calls/call-types.js';
import { HandClock } from '../../compute/hand-clock.js';

const MiB = 1024 * 1024;

function linesOf(log: CallLog): LogLine[] {
  return log.about('logs') as LogLine[];
}

describe('what calls have logged', () => {
  test('is bounded by bytes as well: the last lines are kept', () => {
    const log = new CallLog(new HandClock());
    for (let n = 0; n < 1000; n += 1) log.note('p', `${n} ${'é'.repeat(3 * 1024)}`);
    const lines = linesOf(log);

    expect(lines.at(-1)?.line).toMatch(/^999 /);
    expect(lines.length).toBeGreaterThan(300);
    expect(Buffer.byteLength(JSON.stringify(lines))).toBeLessThan(2.1 * MiB);
  });

  test('counts a call as failed whose code has, though what belongs to it was applied', () => {
    const log = new CallLog(new HandClock());
    const answer = { ok: true, result: 'null', revision: 1, logs: [], repeated: false } as const;
    log.noting('p', () => {})({ ...answer, hash: 'h', failure: 'PROCEDURE_FAILED: no' });
    log.noting('p', () => {})({ ...answer, hash: 'h', failure: null });

    expect(log.about('stats')).toMatchObject([{ procedure: 'p', calls: 2, failures: 1 }]);
    expect(linesOf(log)).toEqual([]);
  });

  test('has no figures of names that stand for no procedure', () => {
    const log = new CallLog(new HandClock());
    for (let n = 0; n < 2000; n += 1) {
      log.noting(`none${n}`, () => {})(refusedCall(procedureNotFound(`none${n}`)));
    }
    const other = new BalsaError('PROCEDURE_NOT_FOUND', 'the code defines no procedure x');
    log.noting('p', () => {})(refusedCall(other));

    expect(log.about('stats')).toMatchObject([{ procedure: 'p', calls: 1, failures: 1 }]);
    expect(linesOf(log)).toHaveLength(1000);
  });

  test('is bounded by lines: the oldest go first', () => {
    const log = new CallLog(new HandClock());
    for (let n = 0; n < 2500; n += 1) log.note('p', String(n));

    expect(linesOf(log).map(({ line }) => line)).toEqual(
      Array.from({ length: 1000 }, (_, n) => String(1500 + n)),
    );
  });

  test('has the beginning of a line that is too long, and goes on', () => {
    const log = new CallLog(new HandClock());
    const error = new BalsaError('PROCEDURE_FAILED', 'x'.repeat(5 * MiB));
    log.noting('p', () => {})(refusedCall(error));
    log.note('p', 'next');

    expect(linesOf(log).map(({ line }) => line.slice(0, 20))).toEqual([
      ...['PROCEDURE_FAILED: xx', 'next'],
    ]);
    expect(linesOf(log)[0]?.line.length).toBeLessThan(10_000);
  });
});
