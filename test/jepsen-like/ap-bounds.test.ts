import { describe, expect, test } from 'vitest';
import { apChecker } from '../../jepsen-like/checkers/ap/ap-cells.js';
import type { FaultRecord, HistoryOperation } from '../../jepsen-like/history/operation.js';
import { FAIL, found, INFO, judge, lines, op, type Planned } from './histories.js';

const S = 1e9;

/** One at a replica, in seconds. */
function at(
  node: string,
  begin: number,
  f: string,
  asked: unknown,
  answer: unknown,
  more: Partial<Planned> = {},
): Planned {
  const end = { node, ...more.more };
  return op(begin * S, (begin + 1) * S, f, asked, answer, { key: 'c', ...more, more: end });
}

const add = (id: string, value: number, begin: number, node = 'n1'): Planned =>
  at(node, begin, 'add', { id, value }, undefined);
const take = (id: string, value: number, begin: number, node = 'n1'): Planned =>
  at(node, begin, 'take', { id, value }, true);
const read = (answer: number, begin: number, node = 'n1'): Planned =>
  at(node, begin, 'read', null, answer);
const finals = (answer: unknown, ...nodes: string[]): Planned[] =>
  nodes.map((node) => at(node, 90, 'final', null, answer));

/** `node` of the begin is that of the end. */
function sent(planned: readonly Planned[]): HistoryOperation[] {
  const all = lines(...planned);
  const nodes = new Map(
    all.flatMap(({ process, node }) => (node === undefined ? [] : [[process, node] as const])),
  );
  return all.map((line) => {
    const node = nodes.get(line.process);
    return line.type === 'invoke' && node !== undefined ? { ...line, node } : line;
  });
}

const anomalies = (...planned: Planned[]): Promise<string[]> => found(apChecker(), sent(planned));

describe('a read of a cell', () => {
  test('is no more than had been asked for by its end', async () => {
    expect(await anomalies(add('a', 1, 0), read(1000, 2), ...finals(1, 'n1'))).toEqual([
      'of nobody',
    ]);
    const escrow = [add('a', 5, 0), take('b', 1, 2, 'n2'), ...finals(4, 'n1', 'n2')];
    expect(await anomalies(...escrow, read(1000, 4))).toEqual(['of nobody']);
    expect(await anomalies(...escrow, read(6, 4))).toEqual(['of nobody']);
    // What the other side has done it may know or not.
    expect(await anomalies(...escrow, read(5, 4))).toEqual([]);
    expect(await anomalies(...escrow, read(4, 4))).toEqual([]);
    expect(
      await anomalies(add('a', 1, 0), read(3, 2), add('b', 2, 2.5), ...finals(3, 'n1')),
    ).toEqual([]);
  });

  test('shows what its replica itself has taken and added', async () => {
    const stock = [add('a', 5, 0), take('b', 4, 2), ...finals(1, 'n1')];
    expect(await anomalies(...stock, read(5, 4))).toEqual(['own change not shown']);
    expect(await anomalies(...stock, read(1, 4))).toEqual([]);
    // Not yet acknowledged when it was asked; or denied.
    expect(await anomalies(...stock, read(5, 2.5))).toEqual([]);
    const denied = at('n1', 2, 'take', { id: 'd', value: 9 }, false);
    expect(await anomalies(add('a', 5, 0), denied, read(5, 4), ...finals(5, 'n1'))).toEqual([]);
    // What another one takes of it may be shown already.
    const both = [add('a', 5, 0), take('b', 2, 2, 'n2'), ...finals(3, 'n1', 'n2')];
    expect(await anomalies(...both, read(3, 4))).toEqual([]);
    expect(await anomalies(...both, read(2, 4))).toEqual(['own change not shown']);
  });
});

describe('a replica that may have lost its data', () => {
  const mark = (time: number, phase: 'begin' | 'end', node = 'n1'): FaultRecord => ({
    ...{ time: time * S, fault: 'data-lost', nodes: [node], phase },
  });
  const hidden = ['own change not shown'];
  const changes = [add('a', 1, 0), add('b', 2, 20), ...finals(3, 'n1')];
  const lost = [mark(10, 'begin'), mark(12, 'end')];
  const seen = (value: number, begin: number, faults: readonly FaultRecord[]): Promise<string[]> =>
    found(apChecker({ faults }), sent([...changes, read(value, begin)]));

  test('shows what it had acknowledged before, before that', async () => {
    expect(await seen(0, 5, lost)).toEqual(hidden);
    expect(await seen(1, 5, lost)).toEqual([]);
    // While it lacks data nobody knows.
    expect(await seen(0, 11, lost)).toEqual([]);
    expect(await seen(0, 9.5, lost)).toEqual([]);
  });

  test('shows behind it what it has acknowledged since', async () => {
    expect(await seen(0, 15, lost)).toEqual([]);
    expect(await seen(0, 30, lost)).toEqual(hidden);
    expect(await seen(2, 30, lost)).toEqual([]);
    // It never got all of its data again, or was another one.
    expect(await seen(0, 30, [mark(10, 'begin')])).toEqual([]);
    expect(await seen(0, 30, [mark(10, 'begin', 'n2'), mark(12, 'end', 'n2')])).toEqual(hidden);
  });

  test('is told of by the marks alone, where there are any', async () => {
    const member: FaultRecord = { time: 0, fault: 'member-add', nodes: ['n1'], phase: 'begin' };
    expect(await seen(0, 30, [member])).toEqual([]);
    expect(await seen(0, 30, [member, ...lost])).toEqual(hidden);
  });

  test('leaves it unknown whether replicas show their own, when hardly a read can be compared', async () => {
    const reads = Array.from({ length: 60 }, (_, i) => read(1, 5 + i / 10));
    const verdictOf = (faults: readonly FaultRecord[]) =>
      judge(apChecker({ faults }), sent([add('a', 1, 0), ...finals(1, 'n1'), ...reads]));
    expect(await verdictOf([])).toMatchObject({ valid: true, details: { compared: 60 } });
    expect(await verdictOf([mark(2, 'begin')])).toMatchObject({
      valid: 'unknown',
      text: expect.stringContaining('of 60 reads only 0'),
    });
  });
});

describe('what the cells have come to', () => {
  const unknown = async (...planned: Planned[]): Promise<string> => {
    const { valid, text } = await judge(apChecker(), sent(planned));
    expect(valid).toBe('unknown');
    return text;
  };

  test('is known when every replica tells it', async () => {
    const failed = at('n2', 90, 'final', null, undefined, FAIL);
    expect(await unknown(add('a', 1, 0), ...finals(1, 'n1'), failed)).toContain('at n2');
    expect(await anomalies(add('a', 1, 0), ...finals(1, 'n1', 'n2'), failed)).toEqual([]);
    // It has served, and is not asked.
    expect(await unknown(add('a', 1, 0), read(0, 2, 'n2'), ...finals(1, 'n1'))).toContain('at n2');
    const faults: FaultRecord[] = [{ time: 0, fault: 'member-add', nodes: [], phase: 'begin' }];
    const history = sent([add('a', 1, 0), read(0, 2, 'n2'), ...finals(1, 'n1')]);
    expect(await found(apChecker({ faults }), history)).toEqual([]);
  });

  test('is not known from before the last change', async () => {
    expect(await unknown(...finals(0, 'n1'), add('a', 1, 95))).toContain('nothing tells');
  });

  test('is not known when no call was served', async () => {
    const failed: Planned = { ...add('a', 1, 1), type: 'fail' };
    const faults: FaultRecord[] = [{ time: 0, fault: 'kill', nodes: ['n1'], phase: 'begin' }];
    const verdict = await judge(apChecker({ faults }), sent([failed, ...finals(0, 'n1')]));
    expect(verdict).toMatchObject({ valid: 'unknown', text: 'no call was served' });
  });
});

describe('a call that is refused', () => {
  const refused = (fault: string, nodes: readonly string[]): Promise<string[]> => {
    const failed: Planned = { ...add('b', 1, 5), ...INFO, more: { node: 'n1', error: 'TIMEOUT' } };
    const faults: FaultRecord[] = [
      { time: 4 * S, fault, nodes, phase: 'begin' },
      { time: 4.5 * S, fault, nodes, phase: 'end' },
    ];
    return found(apChecker({ faults }), sent([add('a', 1, 0), failed, ...finals(1, 'n1')]));
  };

  test('is excused by what stops its replica', async () => {
    const stops = [
      ...['kill-leader', 'kill-all', 'lost-tail', 'restart-storm', 'rolling-upgrade', 'pause'],
      ...['clock-drift', 'failpoint', 'disk-stall', 'strace-sync-error', 'snapshot-storm'],
      ...['worker-loss', 'member-replace', 'member-may-leave'],
    ];
    for (const fault of stops) {
      expect(await refused(fault, ['n1']), fault).toEqual([]);
      expect(await refused(fault, ['n2']), fault).toEqual(['not available']);
    }
  });

  test('is not excused by what is done to the network, to clocks, to leaders or with clients', async () => {
    const others = [
      ...['partition-leader', 'links-slow', 'reset-storm', 'clients-cut-off', 'transfer'],
      ...['deploys', 'overload', 'clock-jump', 'clock-strobe', 'worker-kill', 'worker-pause'],
    ];
    for (const fault of others) {
      expect(await refused(fault, ['n1']), fault).toEqual(['not available']);
      expect(await refused(fault, []), fault).toEqual(['not available']);
    }
  });
});
