import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { BalsaError } from '../../src/base/errors.js';
import { RefusalWatch } from '../../src/server/refusal-watch.js';

function watchOf(members: number) {
  const lines: string[] = [];
  const fatal: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
  const watch = new RefusalWatch({
    majority: () => Math.floor(members / 2) + 1,
    counts: (peer, code) => peer !== 'n9' && code === 'MEMBER_MISMATCH',
    log,
    onFatal: (error) => void fatal.push(error.code),
  });
  return { watch, lines, fatal };
}

const misfit = new BalsaError('MEMBER_MISMATCH', 'wiped');

describe('refusals between members', () => {
  test('of one peer are said once per reason, and stop nobody', () => {
    const { watch, lines, fatal } = watchOf(3);
    watch.refused('n2', misfit);
    watch.refused('n2', misfit);
    expect(lines).toHaveLength(1);
    watch.refused('n2', new BalsaError('CLUSTER_MISMATCH', 'another'));
    expect(lines).toHaveLength(2);
    expect(fatal).toEqual([]);
  });

  test('by a majority for what the replica is stop it', () => {
    const { watch, fatal } = watchOf(3);
    watch.refused('n2', misfit);
    watch.refused('n3', misfit);
    expect(fatal).toEqual(['MEMBER_MISMATCH']);
  });

  test('for other reasons do not count', () => {
    const { watch, fatal } = watchOf(3);
    watch.refused('n2', new BalsaError('SHUTTING_DOWN', 'stops'));
    watch.refused('n3', new BalsaError('FRAME_INVALID', 'noise'));
    expect(fatal).toEqual([]);
  });

  test('by those who have no vote do not count', () => {
    const { watch, fatal } = watchOf(3);
    watch.refused('n2', misfit);
    watch.refused('n9', misfit);
    expect(fatal).toEqual([]);
  });

  test('of a peer that was accepted since do not count', () => {
    const { watch, fatal } = watchOf(3);
    watch.refused('n2', misfit);
    watch.accepted('n2');
    watch.refused('n3', misfit);
    expect(fatal).toEqual([]);
  });
});
