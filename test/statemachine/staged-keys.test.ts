import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toMapKey } from '../../src/base/bytes.js';
import { type StagedKey, StagedKeys } from '../../src/statemachine/staged-keys.js';

const RECORD: StagedKey = { key: new Uint8Array(), record: null, value: new Uint8Array() };
const nameOf = (n: number): string => toMapKey(Buffer.from(String(n).padStart(7, '0')));

const changes = fc.array(
  fc.oneof(
    fc.record({ type: fc.constantFrom('set', 'restore', 'keep-order'), n: fc.nat(40) }),
    fc.record({ type: fc.constant('between'), n: fc.nat(40), to: fc.option(fc.nat(40)) }),
  ),
  { maxLength: 80 },
);

describe('the keys that an entry has written', () => {
  test('are those of a range, in order, whatever was set and taken back', () => {
    fc.assert(
      fc.property(changes, (list) => {
        const staged = new StagedKeys();
        staged.keepOrder();
        const model = new Set<string>();
        for (const change of list) {
          const name = nameOf(change.n);
          if (change.type === 'set') {
            staged.set(name, RECORD);
            model.add(name);
          } else if (change.type === 'restore') {
            staged.restore(name, undefined);
            model.delete(name);
          } else if (change.type === 'keep-order') {
            staged.keepOrder();
          } else if ('to' in change) {
            const to = change.to === null ? null : nameOf(change.to);
            const expected = [...model].filter((key) => key >= name && (to === null || key < to));
            expected.sort();
            expect([...staged.within(name, to, false)]).toEqual(expected);
            expect([...staged.within(name, to, true)]).toEqual(expected.toReversed());
          }
        }
        expect([...staged.within('', null, false)]).toEqual([...model].sort());
        expect(staged.size).toBe(model.size);
      }),
    );
  });

  test('are as quickly put in order, in whatever order they come', () => {
    // As many as one entry may write (`entryReadKeysMax`). In a plain array this took a minute.
    const staged = new StagedKeys();
    staged.keepOrder();
    for (let n = 200_000; n > 0; n -= 1) staged.set(nameOf(n), RECORD);
    expect([...staged.within(nameOf(100), nameOf(103), false)]).toEqual(
      [100, 101, 102].map(nameOf),
    );
  });
});
