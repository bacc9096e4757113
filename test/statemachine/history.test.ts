import { describe, expect, test } from 'vitest';
import type { HistoryQuery, WriteEvent } from '../../src/statemachine/types.js';
import { compact, delRange, grant, itemText, putWith, txn } from './operations.js';
import { bytes, del, put, Replica } from './replica.js';

function tell({ type, revision, sub, key, value }: WriteEvent): string {
  const place = `${String(key)}@${revision}.${sub}`;
  return type === 'put' ? `${place}=${String(value)}` : `-${place}`;
}

/** What the listener is told, entry by entry. */
function listen(replica: Replica): string[][] {
  const told: string[][] = [];
  replica.machine.onWrites((events) => {
    told.push(events.map(tell));
  });
  return told;
}

async function history(replica: Replica, query: Partial<HistoryQuery> = {}) {
  const page = await replica.machine.history({
    fromRevision: 1,
    eventsMax: 1000,
    bytesMax: 100_000,
    ...query,
  });
  return { told: page.events.map(tell), next: page.nextRevision };
}

describe('the listener', () => {
  test('is told once per entry what it wrote, in order, and nothing of one that wrote nothing', async () => {
    const replica = await Replica.start();
    const told = listen(replica);
    await replica.do(put('a', '1'), put('b', '1'), del('none'));
    replica.entry('noop');
    await replica.do(del('none'), grant(1), compact(1));
    await replica.do(txn([], [putWith('c', '1'), delRange('a', 'c')]), putWith('a', '2'));
    expect(told).toEqual([
      ['a@1.0=1', 'b@2.0=1'],
      ['c@3.0=1', '-a@3.1', '-b@3.2', 'a@4.0=2'],
    ]);
  });

  test('is told when the store has it', async () => {
    const replica = await Replica.start();
    const seen: unknown[] = [];
    replica.machine.onWrites(([event]) => {
      const key = bytes('a');
      const found = replica.machine.get(key, null);
      seen.push([
        found && itemText({ key, ...found }),
        replica.machine.appliedIndex,
        event?.revision,
      ]);
    });
    await replica.do(put('a', '1'));
    expect(seen).toEqual([['a=1@1', 1, 1]]);
  });

  test('is told nothing of a transaction that was refused', async () => {
    const replica = await Replica.start();
    const told = listen(replica);
    await replica.do(
      put('a', '1'),
      txn([], [putWith('b', '1'), putWith('b', '2')]),
      txn([], [putWith('c', '1')]),
    );
    expect(told).toEqual([['a@1.0=1', 'c@2.0=1']]);
  });

  test('is told of keys that go with their lease', async () => {
    const replica = await Replica.start();
    await replica.do(grant(1), putWith('b', '', { lease: 1 }), putWith('a', '', { lease: 1 }));
    const told = listen(replica);
    await replica.system(5000, { type: 'expire', leases: [1] });
    expect(told).toEqual([['-a@3.0', '-b@3.1']]);
  });

  test('that went is told nothing, and a later one nothing of before', async () => {
    const replica = await Replica.start();
    const first = listen(replica);
    replica.machine.onWrites(null);
    await replica.do(put('a', '1'));
    const second = listen(replica);
    await replica.do(put('a', '2'));
    expect([first, second]).toEqual([[], [['a@2.0=2']]]);
  });

  test('is told the same that the history holds, with all that is known of each', async () => {
    const replica = await Replica.start();
    const told: WriteEvent[] = [];
    replica.machine.onWrites((events) => {
      // Copies: keys and values are views of the entry.
      for (const event of events) {
        told.push({ ...event, key: Buffer.from(event.key), value: Buffer.from(event.value) });
      }
    });
    await replica.do(grant(5), put('a', '1'), putWith('a', '2', { lease: 5 }), del('a'));
    await replica.do(txn([], [putWith('b', '1'), putWith('a', '3')]), putWith('b', null));
    const page = await replica.machine.history({ fromRevision: 0, eventsMax: 99, bytesMax: 9999 });
    expect(page.events).toEqual(told);
    expect(told[1]).toMatchObject({
      createRevision: 1,
      version: 2,
      lease: 5,
      previous: { revision: 1, sub: 0 },
    });
    expect(told[2]).toMatchObject({ createRevision: 0, version: 0, lease: 0 });
  });
});

describe('the history', () => {
  async function filled(): Promise<Replica> {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), put('b', '2'));
    await replica.do(txn([], [putWith('x', '3'), putWith('y', '3'), putWith('z', '3')]));
    await replica.do(del('a'), put('c', '5'));
    return replica;
  }

  test('gives what was written from a revision on, and where to go on', async () => {
    const replica = await filled();
    expect(await history(replica, { fromRevision: 2 })).toEqual({
      told: ['b@2.0=2', 'x@3.0=3', 'y@3.1=3', 'z@3.2=3', '-a@4.0', 'c@5.0=5'],
      next: 6,
    });
    expect(await history(replica, { fromRevision: 6 })).toEqual({ told: [], next: 6 });
    expect(await history(replica, { fromRevision: 9 })).toEqual({ told: [], next: 9 });
  });

  test('goes through a revision and no further', async () => {
    const replica = await filled();
    expect(await history(replica, { fromRevision: 3, throughRevision: 3 })).toEqual({
      told: ['x@3.0=3', 'y@3.1=3', 'z@3.2=3'],
      next: 4,
    });
    expect((await history(replica, { throughRevision: 99 })).next).toBe(6);
  });

  test.each([
    ['events', { eventsMax: 1, bytesMax: 1000 }],
    ['events, in pairs', { eventsMax: 2, bytesMax: 1000 }],
    ['events, in threes', { eventsMax: 3, bytesMax: 1000 }],
    ['bytes, in threes', { eventsMax: 1000, bytesMax: 6 }],
    ['bytes', { eventsMax: 1000, bytesMax: 1 }],
    ['bytes, in pairs', { eventsMax: 1000, bytesMax: 4 }],
  ])(
    'in pages bounded by %s never divides a revision, skips and repeats nothing',
    async (_what, bounds) => {
      const replica = await filled();
      const pages: string[][] = [];
      for (let fromRevision = 1; fromRevision <= 5; ) {
        const page = await history(replica, { fromRevision, ...bounds });
        expect(page.next).toBeGreaterThan(fromRevision);
        fromRevision = page.next;
        pages.push(page.told);
      }
      expect(pages.flat()).toEqual((await history(replica)).told);
      expect(pages.some((page) => page.length === 3)).toBe(true);
      for (const page of pages) expect(page.filter((one) => /@3/.test(one)).length % 3).toBe(0);
    },
  );

  test('larger than one reading of the store is given whole', async () => {
    const replica = await Replica.start();
    const steps = Array.from({ length: 1300 }, (_, n) => putWith(`k${n}`, ''));
    await replica.do(put('a', ''), txn([], steps), put('b', ''));
    const page = await history(replica, { fromRevision: 2, eventsMax: 10 });
    expect([page.told.length, page.next]).toEqual([1300, 3]);
  });

  test('does not show what is applied while it is read', async () => {
    const replica = await filled();
    const reading = history(replica, { fromRevision: 4 });
    await replica.do(put('late', ''));
    expect(await reading).toEqual({ told: ['-a@4.0', 'c@5.0=5'], next: 6 });
  });

  test('before the compacted revision is refused; from it on it is whole', async () => {
    const replica = await filled();
    await replica.do(compact(4));
    await replica.system(0, { type: 'sweep', records: 100 });
    await expect(history(replica, { fromRevision: 3 })).rejects.toThrow(
      expect.objectContaining({ code: 'COMPACTED', details: { revision: 3, oldest: 4 } }),
    );
    expect((await history(replica, { fromRevision: 4 })).told).toEqual(['-a@4.0', 'c@5.0=5']);
  });
});

describe('the value before a write', () => {
  test('is what the key held, while that is kept', async () => {
    const replica = await Replica.start();
    await replica.do(put('a', '1'), put('a', '2'), del('a'), put('a', '3'), put('a', '4'));
    const page = await replica.machine.history({ fromRevision: 1, eventsMax: 9, bytesMax: 999 });
    const valuesBefore = () =>
      page.events.map((event) => {
        const item = replica.machine.valueBefore(event);
        return item && itemText(item);
      });
    expect(valuesBefore()).toEqual([null, 'a=1@1', 'a=2@2', null, 'a=3@4']);
    await replica.do(compact(5));
    await replica.system(0, { type: 'sweep', records: 100 });
    expect(valuesBefore()).toEqual([null, null, null, null, null]);
    expect(replica.machine.get(bytes('a'), null)?.version).toBe(2);
  });
});
